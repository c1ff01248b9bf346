"""The colour map that DAVIS and PASCAL VOC share."""

import functools

import numpy as np
from jaxtyping import UInt8

VOID = 255


@functools.cache
def palette() -> UInt8[np.ndarray, "256 3"]:
  """RGB colour of each label, as the palettes of DAVIS's annotations hold them.

  The bits of a label are dealt to red, green and blue in turn, from the highest bit
  of the colour downwards, so that low labels differ most. Label 0 is black, 255 the
  pale yellow of void. The array is read-only.

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
  """`palette` lifted until it glows on video: same hues, in the same order.

  Read-only, and as distinct as the original.
  """
  lifted = 255.0 * (palette() / 255.0) ** 0.45
  lifted[1:] = 28 + lifted[1:] * (227 / 255)  # no pure hue: softer beside real pixels
  colors = lifted.round().astype(np.uint8)
  colors.setflags(write=False)
  return colors
