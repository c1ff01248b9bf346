"""Textures with the statistics of natural images: 1/f spectra, few hues, edges."""

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw
from scipy import fft

Field = Float[np.ndarray, "h w"]  # about 0 to 1
Picture = Float[np.ndarray, "h w 3"]  # 0 to 1
Palette = Float[np.ndarray, "256 3"]  # colours along a field


def fractal(rng: np.random.Generator, h: int, w: int, decay: float) -> Field:
  """Noise with amplitude spectrum 1 / f**decay; 1 is natural, 2 is cloudy."""
  rows, columns = fft.next_fast_len(h, True), fft.next_fast_len(w, True)
  fy = np.fft.fftfreq(rows)[:, None] * rows
  fx = np.fft.rfftfreq(columns)[None] * columns
  power = (fx**2 + fy**2).astype(np.float32)
  power[0, 0] = np.inf
  parts = rng.random((2, *power.shape), dtype=np.float32) - np.float32(0.5)
  spectrum = (parts[0] + 1j * parts[1]) * power ** np.float32(-decay / 2)
  noise = fft.irfft2(spectrum, (rows, columns))[:h, :w]
  return np.clip(0.5 + noise / (4 * noise.std() + 1e-12), 0, 1).astype(np.float32)


def palette(rng: np.random.Generator) -> Palette:
  """Four colours, mostly one hue at several brightnesses, joined smoothly."""
  hue = rng.uniform() + rng.normal(0, rng.choice([0.03, 0.08, 0.3]), 4)
  saturation = np.clip(rng.beta(1.3, 2.2) + rng.normal(0, 0.08, 4), 0, 1)
  value = np.clip(rng.uniform(0.2, 0.85) + rng.normal(0, 0.2, 4), 0.03, 1)
  shade = np.clip(np.abs((hue[:, None] * 6 + [0, 4, 2]) % 6 - 3) - 1, 0, 1)
  colours = value[:, None] * (1 - saturation[:, None] * (1 - shade))
  at = np.linspace(0, 255, 4)
  steps = np.arange(256)
  channels = [np.interp(steps, at, colours[:, c]) for c in range(3)]
  return np.stack(channels, axis=1).astype(np.float32)


def similar(rng: np.random.Generator, colours: Palette) -> Palette:
  """Nearly the same colours: what colour alone cannot tell apart."""
  change = rng.normal(1, 0.07, 3) * rng.normal(1, 0.1)
  return np.clip(colours * change, 0, 1).astype(np.float32)


def texture(rng: np.random.Generator, h: int, w: int, colours: Palette) -> Picture:
  """A surface: noise, stripes, checks, spots or a gradient, with fine detail."""
  kind = rng.choice(
    ["noise", "stripes", "checks", "spots", "gradient"], p=[0.35, 0.2, 0.1, 0.15, 0.2]
  )
  grain = fractal(rng, h, w, rng.uniform(0.7, 1.8))
  y, x = np.mgrid[:h, :w].astype(np.float32)
  angle = rng.uniform(0, np.pi)
  across = np.cos(angle) * x + np.sin(angle) * y
  along = np.cos(angle) * y - np.sin(angle) * x
  size = np.sqrt(h * w)
  period = size * rng.uniform(0.08, 0.3)
  bend = (grain - 0.5) * rng.choice([0.0, 2.0, 8.0])
  sharp = rng.uniform(1, 6)
  if kind == "noise":
    field = grain
  elif kind == "stripes":
    field = 0.5 + 0.5 * np.tanh(sharp * np.sin(2 * np.pi * across / period + bend))
  elif kind == "checks":
    wave = np.sin(2 * np.pi * across / period + bend)
    wave *= np.sin(2 * np.pi * along / period)
    field = 0.5 + 0.5 * np.tanh(2 * sharp * wave)
  elif kind == "spots":
    coarse = fractal(rng, h, w, rng.uniform(1.2, 2.0))
    field = 0.5 + 0.5 * np.tanh(sharp * 4 * (coarse - rng.uniform(0.4, 0.6)))
  else:
    field = (across - across.min()) / (np.ptp(across) + 1)
  picture = colours.take((np.clip(field, 0, 1) * 255).astype(np.int32), axis=0)
  # A second kind of variation on top: illumination, dirt, fur.
  strength = np.float32(rng.choice([0.15, 0.5, 1.0]))
  return picture * (1 + strength * (grain - 0.5))[..., None]


def clutter(rng: np.random.Generator, picture: Picture, pieces: int) -> Picture:
  """Paints flat and textured things over a picture: boxes, stones, posts."""
  h, w = picture.shape[:2]
  size = np.sqrt(h * w)
  cover = Image.new("RGBA", (w, h))
  draw = ImageDraw.Draw(cover)
  hues = [palette(rng) for _ in range(3)]
  for _ in range(pieces):
    y, x = rng.uniform(0, h), rng.uniform(0, w)
    # Sizes follow a power law, as in the dead-leaves model of natural images.
    reach = size * min(0.02 * rng.pareto(1.5) + 0.015, 0.3)
    colour = hues[rng.integers(3)][rng.integers(256)] * 255
    fill = (*colour.astype(int).tolist(), int(rng.uniform(180, 255)))
    stretch = np.exp(rng.normal(0, 0.6))
    corners = rng.choice([3, 4, 4, 6, 24])
    turn = rng.choice([0, np.pi / 4, rng.uniform(0, np.pi)])
    angles = (
      turn + 2 * np.pi * (np.arange(corners) + rng.normal(0, 0.12, corners)) / corners
    )
    px, py = x + reach * stretch * np.cos(angles), y + reach / stretch * np.sin(angles)
    draw.polygon(list(zip(px.tolist(), py.tolist())), fill=fill)
  painted = np.asarray(cover, np.float32) / 255
  alpha = painted[..., 3:]
  rough = 0.75 + 0.5 * fractal(rng, h, w, 1.0)[..., None]
  return picture * (1 - alpha) + painted[..., :3] * alpha * rough


def scenery(
  rng: np.random.Generator, h: int, w: int, palettes: list[Palette]
) -> Picture:
  """A background: grounds split by a horizon or patches, with clutter on it."""
  picture = texture(rng, h, w, palettes[0])
  y = np.linspace(0, 1, h, dtype=np.float32)[:, None]
  for colours in palettes[1:]:
    ridge = fractal(rng, h, w, rng.uniform(1.3, 2.0))
    if rng.random() < 0.6:  # horizon: a ragged line
      inside = y + (ridge - 0.5) * rng.choice([0.05, 0.3]) - rng.uniform(0.3, 0.7)
    else:
      inside = ridge - rng.uniform(0.4, 0.65)
    blend = np.clip(0.5 + inside * rng.choice([20, 100]), 0, 1)[..., None]
    picture = picture + blend * (texture(rng, h, w, colours) - picture)
  if rng.random() < 0.7:
    picture = clutter(rng, picture, int(rng.integers(5, 60)))
  light = 1 + rng.uniform(0, 0.6) * (fractal(rng, h, w, 2.2) - 0.5)
  return (picture * light[..., None]).astype(np.float32)
