"""A brighter variant of the colour map of DAVIS and PASCAL VOC."""

import functools

import numpy as np
from jaxtyping import UInt8

from vosjax.labels import palette


@functools.cache
def bright_palette() -> UInt8[np.ndarray, "256 3"]:
  """A brighter `palette` that stands out on video, with the same hues.

  Its colours are as distinct as the original ones. The array is read-only.
  """
  bright = 255.0 * (palette() / 255.0) ** 0.45
  bright[1:] = 28 + bright[1:] * (227 / 255)  # softer than pure hues on real images
  colors = bright.round().astype(np.uint8)
  colors.setflags(write=False)
  return colors
