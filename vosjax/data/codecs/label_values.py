"""What the values of a mask mean: object ids, or one object in black and white.

Functions here know no files: the message of an error is a reason, which the caller puts
behind the name of the file.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Shaped, UInt8

from vosjax.data.codecs.soft_edges import (
  SHARP,
  are_consecutive,
  find_edges,
  may_be_soft,
)

Color = tuple[int, int, int]  # red, green, blue
WHITE = (255, 255, 255)

_MAX_GRAY_VALUES = 64  # a mask with more distinct gray values was interpolated
_DARK, _BRIGHT = 25, 230  # of 255: levels that lossy compression leaves of 0 and 255
_WHITE = 250  # from here on, a value is white, whose edges may have few values
_MAX_RIMS = 2  # values of a rim; soft edges have more
_DEEP = 65535  # white in 16 bits


SOFT = "soft edges thresholded at 50 %"
_SHARPEN = (
  "Resize masks with nearest neighbour and draw them without anti-aliasing, or save "
  "one binary mask per object"
)


@dataclasses.dataclass(frozen=True)
class Interpretation:
  """A mask as object ids.

  Attributes:
    labels: 0 is background, 255 is void, others are ids.
    note: what was done to get there, for the user; empty if the file holds ids, or
      nothing but black and white.
    black_and_white: white is object 1, whatever its value.
    table: colours of the ids, where colours tell them or the colour table is in none
      of the usual orders.
  """

  labels: UInt8[np.ndarray, "h w"]
  note: str = ""
  black_and_white: bool = False
  table: Mapping[int, Color] = dataclasses.field(default_factory=dict)


def interpret_gray(
  values: UInt8[np.ndarray, "h w"], *, lossy: bool = False
) -> Interpretation:
  """Gray values as ids; 0 and 255 alone are background and object 1 (DAVIS 2016).

  Two values that blend along their border are background and one object, whose outline
  is half-way between.

  Args:
    values: of the pixels.
    lossy: compression has changed them, so that they cannot be ids.

  Raises:
    ValueError: several values blend, or there are no areas of one value.
  """
  present = np.flatnonzero(np.bincount(values.reshape(-1), minlength=256))
  if len(present) <= 2 or (are_consecutive(present) and not may_be_soft(values)):
    edges = SHARP
  else:
    edges = find_edges(values)
  if edges.kind == "thin":
    return _threshold(values, *edges.levels, lossy=lossy)
  if lossy and not set(present.tolist()) <= {0, 255}:
    raise lossy_error()
  if edges.kind == "blended":
    raise ValueError(
      f"several gray values ({_join(edges.levels)}) that blend along their borders, "
      f"which makes false objects of the edges. {_SHARPEN}."
    )
  if edges.kind == "gradual" or len(present) > _MAX_GRAY_VALUES:
    raise ValueError(
      f"{len(present)} different gray values, which looks like a soft or interpolated "
      "mask instead of object ids. Resize masks with nearest neighbour, or threshold "
      "this one."
    )
  if present[-1] == 255 and set(present.tolist()) <= {0, 255}:
    return _one_object(values != 0)
  return Interpretation(values)


def check_rims(rims: Sequence[object], inner: str) -> None:
  """Refuses one or two values that line an area, as soft edges or as objects.

  Args:
    rims: ids or colours that form no areas, but lie between two that do.
    inner: the area that they line, for the message.

  Raises:
    ValueError: they are so few that they may be objects.
  """
  if 0 < len(rims) <= _MAX_RIMS:
    listed = " and ".join(map(str, rims))
    raise ValueError(
      f"{listed} only at the border of {inner}: soft edges, or another object. If "
      "there is one object, save it with sharp edges, as ids 0 and 1; otherwise give "
      "each object in a file of its own, or exchange the numbers of rim and interior."
    )


def interpret_numbers(values: Shaped[np.ndarray, "h w"]) -> Interpretation:
  """Values of any type as ids, or as an object that is at full scale.

  White is 65535 in 16 bits and 1.0 in fractions.

  Raises:
    ValueError: an id is above 255, or see `interpret_gray`.
  """
  if values.dtype == bool:
    return _one_object(values)
  if values.dtype.kind not in "uif" or not values.size:
    raise ValueError(f"values of type {values.dtype}, expected integers. Save uint8.")
  if values.dtype == np.uint8:
    return interpret_gray(values)
  if values.dtype.kind == "f":
    if not np.isfinite(values).all():
      raise ValueError("values that are no numbers. Save object ids as 8-bit integers.")
    if (values != np.rint(values)).any():
      return _interpret_fractions(values)
  lowest, highest = int(values.min()), int(values.max())
  if lowest < 0:
    raise ValueError(f"the value {lowest}, expected ids from 0 to 255. Renumber them.")
  if highest <= 255:
    return interpret_gray(values.astype(np.uint8))
  scaled = (values.astype(np.float64) * (255 / _DEEP)).round().clip(0, 255)
  if highest <= _DEEP and scaled.max() >= _BRIGHT:
    gray = scaled.astype(np.uint8)
    if ((values == 0) | (values == _DEEP)).all():
      return _one_object(gray > 0, "white is object 1")
    edges = find_edges(gray)
    if edges.kind == "thin":
      return _threshold(gray, *edges.levels)
  kind = "16-bit" if highest <= _DEEP else "32-bit"
  raise ValueError(
    f"object id {highest} in a {kind} label map, ids are 0 to 255 "
    "(255 = void). Renumber the objects and save 8 bits."
  )


def half_transparent(alpha: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
  """Where a mask is opaque, by half if its edges are soft.

  Raises:
    ValueError: there are several degrees of transparency.
  """
  edges = find_edges(alpha)
  if edges.kind == "sharp" and len(np.unique(alpha)) <= 2:
    return alpha == alpha.max()
  if edges.kind == "thin":
    return alpha > sum(edges.levels) / 2
  raise ValueError(
    "an alpha channel of several degrees, expected opaque and transparent alone. Save "
    "the mask without alpha, as a palette or gray PNG."
  )


def _interpret_fractions(values: Shaped[np.ndarray, "h w"]) -> Interpretation:
  if values.min() < 0 or values.max() > 1:
    raise ValueError(
      f"fractions from {values.min():.4g} to {values.max():.4g}, expected ids. Save "
      "object ids as 8-bit integers."
    )
  gray = np.rint(values * 255).astype(np.uint8)
  edges = find_edges(gray)
  if edges.kind != "thin":
    raise ValueError(
      "fractions between 0 and 1, which looks like a map of probabilities. Threshold "
      "it, and save object ids as 8-bit integers."
    )
  return _threshold(gray, *edges.levels)


def _threshold(
  values: UInt8[np.ndarray, "h w"], low: int, high: int, *, lossy: bool = False
) -> Interpretation:
  """One object, with id 1 if it is white and else with its value."""
  if low > _DARK or (lossy and high < _BRIGHT):
    if lossy:
      raise lossy_error()
    raise ValueError(
      f"the gray values {low} and {high} with soft edges, but no black background. "
      "Save the mask in black and white, or as ids."
    )
  if high < _WHITE and not lossy:
    margin = high // 32
    rims = np.unique(values[(values > low + margin) & (values < high - margin)])
    check_rims(rims.tolist(), f"object {high}")
  inside = values > (low + high) / 2
  if high >= _BRIGHT:
    return _one_object(inside, SOFT)
  return Interpretation(np.where(inside, high, 0).astype(np.uint8), SOFT)


def _one_object(inside: Bool[np.ndarray, "h w"], note: str = "") -> Interpretation:
  return Interpretation(inside.astype(np.uint8), note, black_and_white=True)


def get_border(values: Shaped[np.ndarray, "h w"]) -> Shaped[np.ndarray, " n"]:
  """The pixels of the first and last rows and columns, one after the other."""
  return np.concatenate((values[0], values[-1], values[:, 0], values[:, -1]))


def lossy_error() -> ValueError:
  """Says that a mask other than one in black and white must not be a JPEG."""
  return ValueError(
    "a label map as JPEG, whose compression changes ids. Save the original mask as "
    "palette PNG."
  )


def _join(values: tuple[int, ...]) -> str:
  return ", ".join(str(value) for value in values if value)
