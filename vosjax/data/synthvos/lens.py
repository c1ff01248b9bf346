"""From light to file: exposure, focus, sensor noise and JPEG."""

import dataclasses
import io
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image
from scipy import special

from vosjax.data.synthvos.motion import STILL, Path, wander

NORMAL = special.ndtri((np.arange(256) + 0.5) / 256)  # quantiles

Frame = UInt8[np.ndarray, "h w 3"]
Frames = Int[np.ndarray, " t"]


@dataclasses.dataclass(frozen=True)
class Lens:
  """What happens between the scene and the file.

  Attributes:
    shutter: exposure time, in frames; 0 = no motion blur.
    soften: number of passes of a 1-2-1 blur in both directions.
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
    self, exposures: Iterable[Image.Image], index: Frames, key: tuple[int, ...]
  ) -> Iterator[Frame]:
    """The images of RGB exposures in linear colours.

    Noise depends on `key` and the frame numbers `index`.
    """
    gains = np.exp(self.light(index.astype(np.float64)))
    noise = np.round(128 + 255 * self.noise * NORMAL).clip(0, 255).astype(int).tolist()
    corners: Image.Image | None = None
    for t, gain, image in zip(index.tolist(), gains, exposures):
      if corners is None:
        corners = self._corners(image.size)
      levels = np.arange(256) * gain * self.cast[:, None]
      image = image.point(levels.clip(0, 255).ravel().tolist())
      image.paste((0, 0, 0), mask=corners)
      frame = np.asarray(image)
      for _ in range(self.soften):
        frame = soften(frame)
      if self.noise:
        rng = np.random.default_rng([*key, t])
        grain = Image.frombytes("RGB", image.size, rng.bytes(frame.size)).point(
          3 * noise
        )
        frame = _add_grain(frame, np.asarray(grain))
      yield compress(frame, self.quality) if self.quality else frame

  def _corners(self, size: tuple[int, int]) -> Image.Image:
    """How much darker the corners are, 0 to 255."""
    x, y = (np.linspace(-1, 1, side) for side in size)
    darker = self.vignette * (y[:, None] ** 2 + x**2) / 2
    return Image.fromarray(np.round(255 * darker).astype(np.uint8))


# Changes nothing.
CLEAR = Lens(
  shutter=0.0,
  soften=0,
  noise=0.0,
  quality=0,
  light=STILL,
  cast=np.ones(3),
  vignette=0.0,
)


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


def soften(frame: Frame) -> Frame:
  """A 1-2-1 blur in both directions; the outermost pixels stay as they are."""
  levels = frame.astype(np.uint16)
  down = levels[:-2] + levels[2:] + 2 * levels[1:-1]
  total = down[:, :-2] + down[:, 2:] + 2 * down[:, 1:-1]
  total += 8
  total >>= 4
  soft = frame.copy()
  soft[1:-1, 1:-1] = total
  return soft


def _add_grain(frame: Frame, grain: Frame) -> Frame:
  """The frame and what the grain is above 128."""
  levels = frame.astype(np.int16)
  levels += grain
  levels -= 128
  return np.clip(levels, 0, 255, out=levels).astype(np.uint8)


def compress(frame: Frame, quality: int) -> Frame:
  """A round trip through JPEG."""
  file = io.BytesIO()
  Image.fromarray(frame).save(file, "JPEG", quality=quality)
  return np.asarray(Image.open(file))
