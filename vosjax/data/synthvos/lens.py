"""From light to file: exposure, focus, sensor noise and JPEG."""

import dataclasses
import io

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from scipy import special

from vosjax.data.synthvos.motion import Path, Times, wander

NORMAL = special.ndtri((np.arange(256) + 0.5) / 256).astype(np.float32)  # quantiles


@dataclasses.dataclass(frozen=True)
class Lens:
  """What happens between the scene and the file.

  Attributes:
    shutter: exposure time, in frames; 0 = no motion blur.
    soften: number of passes of a 3-tap blur.
    noise: standard deviation of the sensor noise, where white is 1.
    quality: of JPEG; 0 = no compression.
    light: logarithm of the brightness over time.
    cast: colour of the light, as factors of red, green and blue.
    vignette: darkening of the corners, 0 to 1.
  """

  shutter: float
  soften: int
  noise: float
  quality: int
  light: Path
  cast: np.ndarray
  vignette: float

  @property
  def moments(self) -> Float[np.ndarray, " m"]:
    """Times within the exposure that are averaged, relative to the frame's time."""
    return np.linspace(-0.5, 0.5, 4) * self.shutter if self.shutter else np.zeros(1)

  def develop(
    self, frames: Float[np.ndarray, "3 t h w"], t: Times, key: tuple[int, ...]
  ) -> UInt8[np.ndarray, "t h w 3"]:
    """The images of a scene given in linear colours; noise depends on `key` and `t`."""
    h, w = frames.shape[2:]
    y, x = np.linspace(-1, 1, h)[:, None], np.linspace(-1, 1, w)
    corners = 1 - self.vignette * (y**2 + x**2) / 2
    gain = self.cast[:, None] * np.exp(self.light(t))
    out = np.empty((len(t), h, w, 3), np.uint8)
    for k, moment in enumerate(t):
      frame = frames[:, k] * (gain[:, k, None, None] * corners).astype(np.float32)
      for _ in range(self.soften):
        frame = smooth(smooth(frame).swapaxes(1, 2)).swapaxes(1, 2)
      if self.noise:
        rng = np.random.default_rng([*key, int(moment)])
        grain = rng.integers(0, 256, frame.shape, np.uint8)
        frame += (np.float32(self.noise) * NORMAL).take(grain)
      frame = np.clip(frame, 0, 1) * np.float32(255) + np.float32(0.5)
      out[k] = np.moveaxis(frame, 0, -1)
      if self.quality:
        out[k] = compress(out[k], self.quality)
    return out


def draw_lens(rng: np.random.Generator) -> Lens:
  """A random lens, sharp and clean or not."""
  return Lens(
    shutter=rng.uniform(0.2, 0.9) if rng.random() < 0.25 else 0.0,
    soften=int(rng.choice([0, 1, 2], p=[0.6, 0.3, 0.1])),
    noise=rng.uniform(0.005, 0.04) if rng.random() < 0.6 else 0.0,
    quality=int(rng.integers(35, 92)) if rng.random() < 0.35 else 0,
    light=wander(rng, rng.choice([0.03, 0.3]), rng.choice([0.003, 0.03])),
    cast=rng.normal(1, 0.05, 3) * rng.uniform(0.75, 1.15),
    vignette=rng.uniform(0, 0.4),
  )


def smooth(frame: Float[np.ndarray, "3 y x"]) -> Float[np.ndarray, "3 y x"]:
  """A vertical 1-2-1 blur; the first and last row stay as they are."""
  out = frame.copy()
  out[:, 1:-1] = (frame[:, :-2] + 2 * frame[:, 1:-1] + frame[:, 2:]) / 4
  return out


def compress(
  image: UInt8[np.ndarray, "h w 3"], quality: int
) -> UInt8[np.ndarray, "h w 3"]:
  """A round trip through JPEG."""
  file = io.BytesIO()
  Image.fromarray(image).save(file, "JPEG", quality=quality)
  return np.asarray(Image.open(file))
