"""What values of label maps mean: 0 is background, `VOID` is void, others are ids.

Needs nothing but NumPy, because data workers and evaluations load no JAX.
"""

import functools

import numpy as np
from jaxtyping import Integer, UInt8

VOID = 255  # pixels that belong to nothing that is known


def find_ids(labels: Integer[np.ndarray, "h w"]) -> tuple[int, ...]:
  """Finds the ids of the objects in a frame, in ascending order."""
  return tuple(i for i in np.unique(labels).tolist() if i not in (0, VOID))


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
