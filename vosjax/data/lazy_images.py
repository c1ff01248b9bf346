"""Frames or label maps of a clip that are decoded when a batch takes them in."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

Picture = Image.Image | UInt8[np.ndarray, "h w *channels"]


@dataclasses.dataclass(frozen=True)
class Pictures:
  """A sequence of arrays that is read, and changed, an item at a time.

  Passes over the arrays of a whole clip take as long as decoding it: what is to happen
  to a picture is noted first, and done while the processor has it at hand.

  Attributes:
    read: gives picture t, counted from 0.
    shape: of the array of them all, [t h w 3] or [t h w].
  """

  read: Callable[[int], Picture]
  shape: tuple[int, ...]

  def __len__(self) -> int:
    return self.shape[0]

  def __getitem__(self, t: int) -> UInt8[np.ndarray, "h w *channels"]:
    return np.asarray(self.read(range(len(self))[t]))

  def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    del copy  # it always is one
    return np.stack(list(self)).astype(dtype or np.uint8, copy=False)


def change_each(
  pictures: Pictures | UInt8[np.ndarray, "t h w *channels"],
  change: Callable[[int, Picture], Picture],
  size: tuple[int, int] | None = None,
) -> Pictures | UInt8[np.ndarray, "t a b *channels"]:
  """Changes the pictures of a clip: those of an array now, others when they are read.

  Args:
    pictures: of a clip.
    change: of a picture, given its number and itself.
    size: height and width afterwards; None: as before.
  """
  if isinstance(pictures, np.ndarray):
    return np.stack([np.asarray(change(t, x)) for t, x in enumerate(pictures)])
  length, *old = pictures.shape
  return Pictures(
    lambda t: change(t, pictures.read(t)), (length, *(size or old[:2]), *old[2:])
  )


def as_image(picture: Picture) -> Image.Image:
  """A picture as Pillow's."""
  return picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
