"""What the colours of a mask mean: ids of a usual palette, or one object a colour."""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from vosjax.data.codecs.label_values import (
  SOFT,
  Color,
  Interpretation,
  get_border,
  half_transparent,
  interpret_gray,
  lossy_error,
)
from vosjax.data.codecs.soft_edges import (
  find_blended_colors,
  find_edges,
  is_solid,
  may_be_soft,
  pack_colors,
)
from vosjax.labels import palette

BLACK = (0, 0, 0)

# Colours of the annotations of YouTube-VOS 2018 and 2019, whose index is the id.
_YOUTUBE_VOS = (
  BLACK,
  (236, 95, 103),
  (249, 145, 87),
  (250, 200, 99),
  (153, 199, 148),
  (98, 179, 178),
  (102, 153, 204),
  (197, 148, 197),
  (171, 121, 103),
  (255, 255, 255),
  (101, 115, 126),
)
_NEARLY_GRAY = 16  # difference between channels that lossy compression makes
_MAX_COLORS = 254  # objects of a video


class UnknownColorsError(ValueError):
  """Colours that belong to no usual palette."""


@functools.cache
def known_palettes() -> Mapping[str, Mapping[Color, int]]:
  """Ids by colour, by the name of the palette."""
  # CVAT numbers its default colours in the same way as DAVIS and PASCAL VOC.
  davis = {_color(row): i for i, row in enumerate(palette())}
  youtube = {color: i for i, color in enumerate(_YOUTUBE_VOS)}
  return {"DAVIS": davis, "YouTube-VOS": youtube}


@functools.lru_cache(64)
def num_standard(colors: bytes) -> int:
  """How many leading entries of a colour table have ids as indices.

  So they have in the palettes of DAVIS and YouTube-VOS, and in a gray ramp.
  """
  table = np.frombuffer(colors, np.uint8)[: len(colors) // 3 * 3].reshape(-1, 3)
  ramp = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)
  counts = []
  for standard in (palette(), np.array(_YOUTUBE_VOS, np.uint8), ramp):
    size = min(len(table), len(standard))
    differ = (table[:size] != standard[:size]).any(axis=1)
    counts.append(int(differ.argmax()) if differ.any() else size)
  return max(counts)


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
  if reordered:
    if black:
      return _reordered(table[indices])
    background = _background(indices)
    if background != 0 and not (get_border(indices) == 0).any():
      raise UnknownColorsError(
        f"a colour table without black, in which index {background} surrounds the "
        "objects instead of 0. Save object ids, 0 = background."
      )
  if may_be_soft(indices) and find_blended_colors(table[indices]) is not None:
    return interpret_colors(table[indices])
  order = {i: _color(table[i]) for i in used.tolist() if i}
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
      return interpret_gray(colors[:, :, 0], lossy=lossy)
    if spread <= _NEARLY_GRAY and find_edges(colors[:, :, 1]).kind == "thin":
      return interpret_gray(colors[:, :, 1], lossy=lossy)
  if lossy:
    raise lossy_error()
  areas = find_blended_colors(colors)
  note = ""
  if areas is not None:
    if len(areas) != 2:
      number = len(np.unique(pack_colors(colors)))
      raise ValueError(
        f"{number} colours, of which some only blend others along their borders. Draw "
        "masks without anti-aliasing, resize them with nearest neighbour, and save PNGs."
      )
    colors = _nearest(colors, areas)
    note = SOFT
  values, pixels = np.unique(pack_colors(colors), return_inverse=True)
  present = [_unpack(value) for value in values.tolist()]
  if numbers is None:
    name, numbers = _known(present)
    note = f"{note}; " * bool(note) + f"ids by the colours of {name}"
  if unknown := [color for color in present if color not in numbers]:
    raise UnknownColorsError(_unknown(unknown))
  ids = np.array([numbers[color] for color in present], np.uint8)
  labels = ids[pixels].reshape(colors.shape[:2])
  return Interpretation(labels, note)


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
    red, green, blue = _unpack(seen[0])
    if red == green == blue:
      if red < 255 and get_border(opaque).mean() > 0.5:
        raise ValueError(
          "an alpha channel whose opaque part is no white and surrounds the rest, so it "
          "is unclear which is the object. Save the mask without alpha, as ids."
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
  """
  areas = find_blended_colors(colors)
  if areas is not None and len(areas) == 2:
    colors = _nearest(colors, areas)
  packed = pack_colors(colors)
  border = get_border(packed)
  return {
    _unpack(c): int(np.count_nonzero(border == c)) for c in np.unique(packed).tolist()
  }


def number_colors(border: Mapping[Color, int]) -> dict[Color, int]:
  """Numbers the colours of a video: those of a usual palette by it, others in order.

  Args:
    border: pixels at the borders of all masks, by colour.

  Returns:
    Ids by colour. The background is the colour of most of the border: black, or
    another one if black is not at the border.

  Raises:
    ValueError: no colour is the background for sure, or there are too many.
  """
  total = sum(border.values())
  background = max(border, key=lambda color: border[color])
  rival = 0 if background == BLACK else border.get(BLACK, 0)
  if background != BLACK and (
    border[background] * 2 <= total
    or rival * 20 > total
    or (BLACK in border and border[background] * 10 <= 9 * total)
  ):
    raise ValueError(
      "no colour surrounds the objects in all masks, so it is unclear which is the "
      "background. Make the background black, or save object ids, 0 = background."
    )
  objects = sorted(set(border) - {background})
  if len(objects) > _MAX_COLORS:
    raise ValueError(
      f"{len(objects)} colours, which looks like soft edges or lossy compression. Save "
      "masks as PNG, without anti-aliasing."
    )
  for numbers in known_palettes().values():
    if background == BLACK and set(objects) <= set(numbers):
      return {color: numbers[color] for color in (BLACK, *objects)}
  return {background: 0} | {color: i for i, color in enumerate(objects, 1)}


def _sharp_ids(indices: UInt8[np.ndarray, "h w"]) -> Interpretation:
  """Indices as ids, or as one object whose borders are blended."""
  if not may_be_soft(indices) or (edges := find_edges(indices)).kind == "sharp":
    return Interpretation(indices)
  if edges.kind == "gradual":
    raise ValueError(
      "palette indices that form no areas, as after dithering or in a soft mask. Save "
      "object ids, one index per object, without dithering."
    )
  return interpret_gray(indices)


def _reordered(colors: UInt8[np.ndarray, "h w 3"]) -> Interpretation:
  """Ids by colour where black is not the first entry of the colour table."""
  packed = pack_colors(colors)
  if _background(packed) != 0:
    raise ValueError(
      "a colour table in which black is not index 0 and does not surround the objects: "
      "it is unclear which colour is the background. Save object ids, 0 = background."
    )
  note = "colour table in another order, read by colour"
  return dataclasses.replace(interpret_colors(colors), note=note)


def _known(present: list[Color]) -> tuple[str, Mapping[Color, int]]:
  """The first usual palette that has all of these colours."""
  for name, numbers in known_palettes().items():
    if all(color in numbers for color in present):
      return name, numbers
  unknown = min(
    ([c for c in present if c not in n] for n in known_palettes().values()), key=len
  )
  raise UnknownColorsError(_unknown(unknown))


def _unknown(colors: list[Color]) -> str:
  few = ", ".join(f"({r}, {g}, {b})" for r, g, b in colors[:3])
  more = f" and {len(colors) - 3} more" if len(colors) > 3 else ""
  return (
    f"a label map of RGB colours {few}{more}, which are in no usual palette, expected "
    "object ids (palette or gray PNG, 0 = background). Save it in palette mode, one "
    "index per object: with Pillow, Image.fromarray(ids_uint8, mode='P')."
  )


def _nearest(
  colors: UInt8[np.ndarray, "h w 3"], areas: UInt8[np.ndarray, "n 3"]
) -> UInt8[np.ndarray, "h w 3"]:
  distance = ((colors[:, :, None].astype(int) - areas) ** 2).sum(axis=-1)
  return areas[distance.argmin(axis=-1)]


def _background(values: np.ndarray) -> int:
  """The value of most of the border."""
  present, count = np.unique(get_border(values), return_counts=True)
  return int(present[count.argmax()])


def _unpack(packed: int) -> Color:
  return packed >> 16, packed >> 8 & 255, packed & 255


def _color(row: np.ndarray) -> Color:
  return int(row[0]), int(row[1]), int(row[2])
