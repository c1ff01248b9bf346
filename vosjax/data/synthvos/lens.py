"""From light to file: exposure, focus, sensor noise and JPEG."""

import dataclasses
import io
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image
from scipy import special

from vosjax.data.synthvos.motion import Path, wander

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

  def develop(
    self,
    exposures: Iterable[Float[np.ndarray, "h w 3"]],
    index: Int[np.ndarray, " t"],
    key: tuple[int, ...],
  ) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The images of exposures in linear colours, 0 to 255, which it may change.

    Noise depends on `key` and the frame numbers `index`.
    """
    shade = None
    gains = np.exp(self.light(index.astype(np.float64))).astype(np.float32)
    for t, gain, frame in zip(index.tolist(), gains, exposures):
      if shade is None:
        shade = self._shade(*frame.shape[:2])
      frame *= shade
      frame *= gain
      for _ in range(self.soften):
        frame = smooth(smooth(frame).swapaxes(0, 1)).swapaxes(0, 1)
      if self.noise:
        rng = np.random.default_rng([*key, t])
        grain = rng.integers(0, 256, frame.shape, np.uint8)
        frame += (np.float32(255 * self.noise) * NORMAL).take(grain)
      frame += np.float32(0.5)
      image = np.clip(frame, 0, 255, out=frame).astype(np.uint8)
      yield compress(image, self.quality) if self.quality else image

  def _shade(self, h: int, w: int) -> Float[np.ndarray, "h w 3"]:
    """Factors of the colours: the cast, and corners that are darker."""
    y, x = np.linspace(-1, 1, h)[:, None], np.linspace(-1, 1, w)
    corners = 1 - self.vignette * (y**2 + x**2) / 2
    return (corners[..., None] * self.cast).astype(np.float32)


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


def smooth(frame: Float[np.ndarray, "y x 3"]) -> Float[np.ndarray, "y x 3"]:
  """A vertical 1-2-1 blur; the first and last row stay as they are."""
  out = frame.copy()
  out[1:-1] = (frame[:-2] + 2 * frame[1:-1] + frame[2:]) / 4
  return out


def compress(
  image: UInt8[np.ndarray, "h w 3"], quality: int
) -> UInt8[np.ndarray, "h w 3"]:
  """A round trip through JPEG."""
  file = io.BytesIO()
  Image.fromarray(image).save(file, "JPEG", quality=quality)
  return np.asarray(Image.open(file))
