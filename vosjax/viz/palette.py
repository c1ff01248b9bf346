"""The colour map of DAVIS and PASCAL VOC."""

import functools

import numpy as np
from jaxtyping import UInt8


@functools.cache
def palette() -> UInt8[np.ndarray, "256 3"]:
  """RGB colour of each label, as in the palette of DAVIS annotations.

  The bits of a label go to red, green and blue in turn, starting with the highest bit
  of each colour, so that small labels differ most. Label 0 is black, 255 (void) is
  pale yellow. The array is read-only.

  Source: Everingham et al., PASCAL VOC development kit (VOClabelcolormap).
  """
  labels = np.arange(256)
  colors = np.zeros((256, 3), np.uint8)
  for bit in range(8):
    for channel in range(3):
      colors[:, channel] |= ((labels >> (3 * bit + channel) & 1) << (7 - bit)).astype(
        np.uint8
      )
  colors.setflags(write=False)
  return colors


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
