"""What the colours of a mask mean: ids of a usual palette, or one object a colour."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Integer, UInt8

from vosjax.data.codecs.label_values import (
  SOFT,
  WHITE,
  Color,
  Interpretation,
  check_rims,
  get_border,
  half_transparent,
  interpret_gray,
  lossy_error,
)
from vosjax.data.codecs.neighbours import is_dithered, is_solid
from vosjax.data.codecs.soft_edges import (
  Edges,
  find_blended_colors,
  find_edges,
  may_be_soft,
  pack_colors,
)
from vosjax.data.codecs.usual_palettes import (
  UnknownColorsError,
  as_color,
  describe_unknown,
  find_palette,
  known_palettes,
  num_standard,
  unpack_color,
)
from vosjax.labels import VOID

_FAR_OFF = 48  # of 255: what resizing adds to the blend of two colours is less
_FEW = 4  # pixels
_NEARLY_GRAY = 16  # difference between channels that lossy compression makes
_MANY_COLORS = 1000  # more than blended edges of a mask have
_BLOCK = 8  # pixels; in masks, only blocks at edges have no area of one colour
_BLOCKS_OF_PHOTOS = 0.25


def interpret_palette(
  indices: UInt8[np.ndarray, "h w"],
  colors: bytes,
  alpha: bytes = b"",
  numbers: Mapping[Color, int] | None = None,
) -> Interpretation:
  """Palette indices as ids, unless the colour table was written in another order.

  Args:
    indices: of the pixels.
    colors: the colour table, red, green and blue of each index.
    alpha: of the first indices.
    numbers: see `interpret_colors`.

  Raises:
    ValueError: borders are blended, or the order of the table is unclear.
  """
  highest = indices.max()
  if numbers is None and highest < num_standard(colors):
    return _sharp_ids(indices) if highest > 1 else Interpretation(indices)
  table = np.zeros((256, 3), np.uint8)
  rows = np.frombuffer(colors, np.uint8)[: len(colors) // 3 * 3].reshape(-1, 3)[:256]
  table[: len(rows)] = rows
  opacity = np.full(256, 255, np.uint8)
  opacity[: len(alpha)] = np.frombuffer(alpha, np.uint8)[:256]
  used = np.flatnonzero(np.bincount(indices.reshape(-1), minlength=256))
  if opacity[0] == 255 and (opacity[used] < 255).any():
    rgba = np.concatenate([table, opacity[:, None]], axis=1)[indices]
    return interpret_transparent(rgba, numbers)
  if numbers is not None:
    return interpret_colors(table[indices], numbers)
  reordered = table[0].any() and opacity[0] == 255
  black = (~table[used].any(axis=1)).any()
  if (table[used] == table[used, :1]).all() and not (reordered and black):
    if (table[used, 0] == used).all():
      return _sharp_ids(indices)  # 255 is void here, as in any other palette
    if find_edges(table[:, 0][indices]).kind != "sharp":
      return interpret_gray(table[:, 0][indices])
  if reordered and black:
    return _reordered(table[indices])
  if not _is_background_first(indices, used, table):
    if not table[_background(indices)].any():  # another entry is black as well
      return _reordered(table[indices])
    raise _unknown_background(as_color(table[_background(indices)]))
  if may_be_soft(indices) and find_blended_colors(table[indices]) is not None:
    return interpret_colors(table[indices])
  packed = pack_colors(rows).tolist()
  order = {
    i: as_color(table[i])
    for i in used.tolist()
    if 0 < i < len(packed) and packed.count(packed[i]) == 1
  }
  return dataclasses.replace(_sharp_ids(indices), table=order)


def interpret_colors(
  colors: UInt8[np.ndarray, "h w 3"],
  numbers: Mapping[Color, int] | None = None,
  *,
  lossy: bool = False,
) -> Interpretation:
  """Colours as ids.

  Gray is read as by `interpret_gray`, and the exact colours of the palettes of DAVIS,
  PASCAL VOC, CVAT and YouTube-VOS as their ids.

  Args:
    colors: of the pixels.
    numbers: ids by colour, 0 for the background; replaces all of these rules.
    lossy: compression has changed the colours.

  Raises:
    UnknownColorsError: a colour has no id.
    ValueError: colours blend, or see `interpret_gray`.
  """
  if numbers is None:
    spread = int((colors.max(axis=2) - colors.min(axis=2)).max())
    if spread == 0:
      return _number_gray(interpret_gray(colors[:, :, 0], lossy=lossy))
    if spread <= _NEARLY_GRAY and find_edges(colors[:, :, 1]).kind == "thin":
      return interpret_gray(colors[:, :, 1], lossy=lossy)
  if lossy:
    _refuse_photo(colors)
    raise lossy_error()
  areas = find_blended_colors(colors)
  note = ""
  if areas is not None:
    _refuse_photo(colors)
    blended = set(np.unique(pack_colors(colors)).tolist())
    if len(areas) != 2 or _has_others(colors, *areas):
      raise ValueError(
        f"{len(blended)} colours, of which some only blend others along their borders. "
        "Draw masks without anti-aliasing, resize them with nearest neighbour, and "
        "save PNGs."
      )
    blended -= set(pack_colors(areas).tolist())
    check_rims([unpack_color(color) for color in sorted(blended)], "others")
    colors = _nearest(colors, areas)
    note = SOFT
  values, pixels = np.unique(pack_colors(colors), return_inverse=True)
  if len(values) > _MANY_COLORS:
    _refuse_photo(colors)
  present = [unpack_color(value) for value in values.tolist()]
  if numbers is None:
    name, numbers = find_palette(present)
    note = f"{note}; " * bool(note) + f"ids by the colours of {name}"
    if len(present) > 1 and unpack_color(_background(pack_colors(colors))) == WHITE:
      raise _unknown_background(WHITE)
  if unknown := [color for color in present if color not in numbers]:
    raise UnknownColorsError(describe_unknown(unknown))
  ids = np.array([numbers[color] for color in present], np.uint8)
  labels = ids[pixels].reshape(colors.shape[:2])
  table = {numbers[color]: color for color in present if numbers[color]}
  return Interpretation(labels, note, table=table)


def interpret_transparent(
  rgba: UInt8[np.ndarray, "h w 4"], numbers: Mapping[Color, int] | None = None
) -> Interpretation:
  """Object ids from colour and alpha, which must not disagree.

  Alpha counts where all of the opaque part is white, or one gray; otherwise, what is no
  background by its colour must be what is opaque. With `numbers`, what is less than
  half opaque is black.

  Raises:
    ValueError: colour and alpha show different objects, or see `interpret_colors`.
  """
  colors, alpha = rgba[:, :, :3], rgba[:, :, 3]
  if alpha.min() == alpha.max() and alpha.max() > 0:
    return interpret_colors(colors, numbers)
  if numbers is not None:
    return interpret_colors(np.where(alpha[:, :, None] < 128, 0, colors), numbers)
  opaque = half_transparent(alpha) if alpha.any() else alpha > 0
  seen = np.unique(pack_colors(colors[opaque])).tolist()
  if not seen and len(np.unique(pack_colors(colors))) == 1:
    return Interpretation(opaque.view(np.uint8), "nothing is opaque (alpha)")
  if len(seen) == 1:
    red, green, blue = unpack_color(seen[0])
    if red == green == blue:
      if red < 255 and get_border(opaque).mean() > 0.5:
        raise ValueError(
          "an alpha channel whose opaque part is not white and surrounds the rest, so "
          "it is unclear which is the object. Save the mask without alpha, as ids."
        )
      note = "the object is what is opaque (alpha)"
      return Interpretation(opaque.view(np.uint8), note, black_and_white=True)
    colors = np.where(opaque[:, :, None], colors, 0).astype(np.uint8)
  found = interpret_colors(colors)
  differ = (found.labels > 0) != opaque
  if (is_solid(differ) & differ).any():
    raise ValueError(
      "colour and alpha channel show different objects. Save the mask without alpha, "
      "as a palette or gray PNG."
    )
  labels = np.where(opaque, found.labels, 0).astype(np.uint8)
  note = found.note or "colour and alpha agree"
  return dataclasses.replace(found, labels=labels, note=note)


def count_border(colors: UInt8[np.ndarray, "h w 3"]) -> dict[Color, int]:
  """Pixels at the border of the image by colour, also of colours that do not touch it.

  Colours that only blend two others are left out.

  Raises:
    ValueError: it is a photo.
  """
  _refuse_photo(colors)
  areas = find_blended_colors(colors)
  if areas is not None and len(areas) == 2:
    colors = _nearest(colors, areas)
  packed = pack_colors(colors)
  border = get_border(packed)
  return {
    unpack_color(c): int(np.count_nonzero(border == c))
    for c in np.unique(packed).tolist()
  }


def _refuse_photo(colors: UInt8[np.ndarray, "h w 3"]) -> None:
  """Raises a ValueError for a photo, or a frame that was painted over."""
  packed = pack_colors(colors)
  number = len(np.unique(packed))
  height, width = (length // _BLOCK for length in packed.shape)
  if number <= _MANY_COLORS or not height * width:
    return
  solid = is_solid(packed)[: height * _BLOCK, : width * _BLOCK]
  blocks = solid.reshape(height, _BLOCK, width, _BLOCK).any(axis=(1, 3))
  if 1 - blocks.mean() > _BLOCKS_OF_PHOTOS:
    raise ValueError(
      f"a picture of {number} colours, such as a photo, a frame of the video or one "
      "that was painted over, and no mask. Paint the objects on a black background "
      "instead of the picture, in plain colours without soft edges, and save a PNG; or "
      "give a mask of object ids."
    )


def _sharp_ids(indices: UInt8[np.ndarray, "h w"]) -> Interpretation:
  """Indices as ids, or as one object whose borders are blended."""
  if not may_be_soft(indices):
    return Interpretation(indices)
  edges = Edges("gradual") if is_dithered(indices) else find_edges(indices)
  if edges.kind == "sharp":
    return Interpretation(indices)
  if edges.kind == "gradual":
    raise ValueError(
      "palette indices that form no areas, as after dithering or in a soft mask. Save "
      "object ids, one index per object, without dithering."
    )
  return interpret_gray(indices)


def _number_gray(found: Interpretation) -> Interpretation:
  """Gray values of an RGB image as ids, if they are not black and white.

  One gray alone is the id of a usual palette that has it, such as 7 in that of DAVIS,
  as it is next to other colours.
  """
  present = np.flatnonzero(np.bincount(found.labels.reshape(-1), minlength=256))
  values = [i for i in present.tolist() if i]
  if found.black_and_white or not values:
    return found
  gray = {value: (value, value, value) for value in values}
  number = known_palettes()["DAVIS"].get(gray[values[0]])
  if len(values) > 1 or number is None:
    return dataclasses.replace(found, table=gray)
  labels = np.where(found.labels > 0, number, 0).astype(np.uint8)
  note = f"{found.note}; " * bool(found.note) + "ids by the colours of DAVIS"
  return Interpretation(labels, note, table={number: gray[values[0]]})


def _reordered(colors: UInt8[np.ndarray, "h w 3"]) -> Interpretation:
  """Ids by colour where black is not the first entry of the colour table."""
  packed = pack_colors(colors)
  if _background(packed) != 0:
    raise UnknownColorsError(
      "a colour table in which black is not index 0 and does not surround the objects: "
      "it is unclear which colour is the background. Save object ids, 0 = background."
    )
  found = interpret_colors(colors)
  soft = f"{SOFT}; " if found.note.startswith(SOFT) else ""
  note = f"{soft}colour table in another order, read by colour"
  return dataclasses.replace(found, note=note)


def _is_background_first(
  indices: UInt8[np.ndarray, "h w"],
  used: Integer[np.ndarray, " n"],
  table: UInt8[np.ndarray, "256 3"],
) -> bool:
  """Whether index 0 of an unusual colour table may be the background.

  A large object may cover most of the border, but hardly all of it, and white may be
  the paper that others are painted on. A mask in black and white is believed.

  Args:
    indices: of the pixels.
    used: indices that occur, in ascending order.
    table: colours of the indices.
  """
  border = get_border(indices)
  if len(used) == 1 or _background(indices) == 0:
    return True
  surrounding = as_color(table[_background(indices)])
  if used.tolist() == [0, 1] and surrounding == WHITE and not table[0].any():
    return True
  if VOID in used and table[VOID].tolist() != list(WHITE):
    border = border[border != VOID]
  if not len(border):
    return bool(used[0] == 0)
  return bool((border == 0).any() and surrounding != WHITE)


def _unknown_background(color: Color) -> UnknownColorsError:
  """Says that a colour surrounds the objects which does not mean background."""
  return UnknownColorsError(
    f"the colour {color} surrounds the rest, but is not that of the background. Save "
    "object ids, 0 = background."
  )


def _has_others(
  colors: UInt8[np.ndarray, "h w 3"],
  one: UInt8[np.ndarray, "3"],
  other: UInt8[np.ndarray, "3"],
) -> bool:
  """Whether some colours are no blends of two, as those of a small third object."""
  step = other.astype(float) - one
  offset = colors.astype(float) - one
  along = (offset @ step / (step @ step)).clip(0, 1)
  distance = np.abs(offset - along[:, :, None] * step).max(axis=2)
  return bool(np.count_nonzero(distance > _FAR_OFF) > _FEW)


def _nearest(
  colors: UInt8[np.ndarray, "h w 3"], areas: UInt8[np.ndarray, "n 3"]
) -> UInt8[np.ndarray, "h w 3"]:
  distance = ((colors[:, :, None].astype(int) - areas) ** 2).sum(axis=-1)
  return areas[distance.argmin(axis=-1)]


def _background(values: np.ndarray) -> int:
  """The value of most of the border."""
  present, count = np.unique(get_border(values), return_counts=True)
  return int(present[count.argmax()])
