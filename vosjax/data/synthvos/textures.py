"""Textures with the statistics of natural images: 1/f spectra, few hues, edges."""

import functools

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from scipy import fft

Field = Float[np.ndarray, "h w"]  # about 0 to 1
Colours = list[Field]  # red, green and blue, 0 to 1
Palette = Float[np.ndarray, "256 3"]  # colour of each level of a field

EARTH_TO_SKY = (0.03, 0.07, 0.1, 0.15, 0.25, 0.3, 0.55, 0.6)  # hues, 0 to 1


@functools.cache
def keep_memory() -> None:
  """Makes the allocator keep the memory of large arrays for the next ones.

  glibc returns it to the operating system otherwise, and getting it back takes longer
  than all arithmetic on a texture. How much is kept follows from the largest block ever
  freed, of which those above 32 MiB do not count. Other allocators are not affected.
  """
  np.empty(31 * 2**20, np.uint8)


def fractal(rng: np.random.Generator, h: int, w: int, decay: float) -> Field:
  """Noise with amplitude spectrum 1 / f**decay; 1 looks natural, 2 cloudy."""
  rows, columns = fft.next_fast_len(h, True), fft.next_fast_len(w, True)
  octaves = log_frequency(rows, columns)
  parts = rng.random((2, *octaves.shape), dtype=np.float32) - np.float32(0.5)
  spectrum = np.empty(octaves.shape, np.complex64)
  fall = np.exp(np.float32(-decay) * octaves)
  np.multiply(parts[0], fall, out=spectrum.real)
  np.multiply(parts[1], fall, out=spectrum.imag)
  noise = fft.irfft2(spectrum, (rows, columns), overwrite_x=True)[:h, :w]
  noise = noise * np.float32(1 / (4 * noise.std() + 1e-12))
  noise += np.float32(0.5)
  return np.clip(noise, 0, 1, out=noise)


@functools.lru_cache(maxsize=256)
def log_frequency(rows: int, columns: int) -> Field:
  """Logarithm of the frequency at each position of a real spectrum."""
  y = np.fft.fftfreq(rows)[:, None] * rows
  x = np.fft.rfftfreq(columns) * columns
  frequency = np.hypot(y, x).astype(np.float32)
  frequency[0, 0] = 1e30  # removes the mean
  return np.log(frequency)


def to_bytes(colours: Colours) -> UInt8[np.ndarray, "h w 3"]:
  """Colours as bytes; what is brighter than white becomes white."""
  image = np.empty((*colours[0].shape, 3), np.uint8)
  for k, plane in enumerate(colours):
    levels = np.clip(plane, 0, 1)
    levels *= np.float32(255)
    levels += np.float32(0.5)
    image[..., k] = levels
  return image


def palette(rng: np.random.Generator, natural: float = 0.4) -> Palette:
  """Four colours, mostly one hue at several brightnesses, joined smoothly.

  Args:
    rng: random generator.
    natural: probability of the muted hues of earth, skin, plants, stone and sky.
  """
  if rng.random() < natural:
    hue, spread = rng.choice(EARTH_TO_SKY) + rng.normal(0, 0.03), 0.03
    saturation = rng.beta(1.5, 3.5)
  else:
    hue, spread = rng.random(), rng.choice([0.03, 0.08, 0.3])
    saturation = rng.beta(1.3, 2.2)
  hues = hue + rng.normal(0, spread, 4)[:, None]
  tints = np.clip(saturation + rng.normal(0, 0.08, 4), 0, 1)[:, None]
  values = np.clip(rng.uniform(0.2, 0.85) + rng.normal(0, 0.2, 4), 0.03, 1)[:, None]
  shade = np.clip(np.abs((hues * 6 + [0, 4, 2]) % 6 - 3) - 1, 0, 1)
  colours = values * (1 - tints * (1 - shade))
  at, steps = np.linspace(0, 255, 4), np.arange(256)
  channels = [np.interp(steps, at, colours[:, c]) for c in range(3)]
  return np.stack(channels, axis=1).astype(np.float32)


def similar(rng: np.random.Generator, colours: Palette) -> Palette:
  """Nearly the same colours, which colour alone cannot tell apart."""
  change = rng.normal(1, 0.07, 3) * rng.normal(1, 0.1)
  return np.clip(colours * change, 0, 1).astype(np.float32)


def texture(rng: np.random.Generator, h: int, w: int, colours: Palette) -> Colours:
  """A surface: noise, stripes, checks, spots or a gradient, with fine detail."""
  kind = rng.choice(
    ["noise", "stripes", "checks", "spots", "gradient"], p=[0.35, 0.2, 0.1, 0.15, 0.2]
  )
  grain = fractal(rng, h, w, rng.uniform(0.7, 1.8))
  angle = rng.uniform(0, np.pi)
  sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
  y, x = (axis.astype(np.float32) for axis in np.ogrid[:h, :w])
  frequency = np.float32(2 * np.pi / (np.sqrt(h * w) * rng.uniform(0.08, 0.3)))
  bend, sharp = np.float32(rng.choice([0, 2, 8])), np.float32(rng.uniform(1, 6))
  if kind == "noise":
    field = grain
  elif kind == "spots":
    coarse = fractal(rng, h, w, rng.uniform(1.2, 2.0))
    field = 0.5 + 0.5 * np.tanh(
      4 * sharp * (coarse - np.float32(rng.uniform(0.4, 0.6)))
    )
  elif kind == "gradient":
    across = cosine * x + sine * y
    field = (across - across.min()) / (np.ptp(across) + 1)
  else:
    wave = np.sin(frequency * (cosine * x + sine * y) + bend * (grain - 0.5))
    if kind == "checks":
      wave *= 2 * np.sin(frequency * (cosine * y - sine * x))
    field = 0.5 + 0.5 * np.tanh(sharp * wave)
  levels = (np.clip(field, 0, 1) * 255).astype(np.intp)  # or else each take converts
  image = [plane.take(levels) for plane in np.ascontiguousarray(colours.T)]
  # Another variation on top: illumination, dirt, fur.
  strength = np.float32(rng.choice([0.15, 0.5, 1.0]))
  multiply(image, 1 + strength * (grain - np.float32(0.5)))
  return image


def multiply(image: Colours, factors: Field) -> None:
  """Multiplies each colour by the factors, in place."""
  for plane in image:
    plane *= factors


def mix(image: Colours, other: Colours, share: Field) -> None:
  """Blends `other`, which it changes, into the image, in place."""
  for plane, over in zip(image, other):
    over -= plane
    over *= share
    plane += over


def clutter(rng: np.random.Generator, image: Colours, pieces: int) -> None:
  """Paints flat and textured things over an image: boxes, stones, posts."""
  h, w = image[0].shape
  cover = Image.new("RGBA", (w, h))
  draw = ImageDraw.Draw(cover)
  hues = np.concatenate([palette(rng) for _ in range(3)])
  fills = np.empty((pieces, 4), int)
  fills[:, :3] = hues[rng.integers(len(hues), size=pieces)] * 255
  fills[:, 3] = rng.integers(180, 256, pieces)
  # Sizes follow a power law, as in the dead-leaves model of natural images.
  reach = np.minimum(0.02 * rng.pareto(1.5, pieces) + 0.015, 0.3) * np.sqrt(h * w)
  stretch = np.exp(rng.normal(0, 0.6, pieces))
  turn = rng.choice([0, np.pi / 4, 1.0], pieces)
  corners = rng.choice([3, 4, 4, 6, 24], pieces)
  middle = rng.uniform(0, w, pieces) + 1j * rng.uniform(0, h, pieces)
  for k in range(pieces):
    steps = np.arange(corners[k]) + rng.normal(0, 0.12, corners[k])
    around = np.exp(1j * (turn[k] + 2 * np.pi * steps / corners[k]))
    x = middle[k].real + reach[k] * stretch[k] * around.real
    y = middle[k].imag + reach[k] / stretch[k] * around.imag
    draw.polygon(
      np.stack([x, y], axis=1).ravel().tolist(), fill=tuple(fills[k].tolist())
    )
  *paints, alpha = (np.asarray(band, np.float32) / 255 for band in cover.split())
  multiply(image, 1 - alpha)
  alpha *= np.float32(0.75) + np.float32(0.5) * fractal(rng, h, w, 1.0)
  for plane, paint in zip(image, paints):
    paint *= alpha
    plane += paint


def scenery(
  rng: np.random.Generator, h: int, w: int, palettes: list[Palette]
) -> Colours:
  """A background: grounds divided by a horizon or in patches, with clutter on them."""
  image = texture(rng, h, w, palettes[0])
  y = np.linspace(0, 1, h, dtype=np.float32)[:, None]
  for colours in palettes[1:]:
    ridge = fractal(rng, h, w, rng.uniform(1.3, 2.0))
    if rng.random() < 0.6:  # a ragged horizon
      height = np.float32(rng.choice([0.05, 0.3]))
      inside = y + (ridge - 0.5) * height - np.float32(rng.uniform(0.3, 0.7))
    else:
      inside = ridge - np.float32(rng.uniform(0.4, 0.65))
    sharp = np.float32(rng.choice([20, 100]))
    blend = np.clip(np.float32(0.5) + inside * sharp, 0, 1)
    mix(image, texture(rng, h, w, colours), blend)
  if rng.random() < 0.7:
    clutter(rng, image, int(rng.integers(5, 60)))
  contrast = np.float32(rng.uniform(0, 0.6))
  multiply(image, 1 + contrast * (fractal(rng, h, w, 2.2) - np.float32(0.5)))
  return image
