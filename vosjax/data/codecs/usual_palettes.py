"""The colours that usual palettes give to object ids, and numbers for other colours."""

import functools
from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from vosjax.data.codecs.label_values import Color
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
_MAX_COLORS = 254  # objects of a video


class UnknownColorsError(ValueError):
  """Colours that belong to no usual palette."""


@functools.cache
def known_palettes() -> Mapping[str, Mapping[Color, int]]:
  """Ids by colour, by the name of the palette."""
  # CVAT numbers its default colours in the same way as DAVIS and PASCAL VOC.
  davis = {as_color(row): i for i, row in enumerate(palette())}
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


def find_palette(present: list[Color]) -> tuple[str, Mapping[Color, int]]:
  """Name and ids of the first usual palette that has all of these colours.

  Raises:
    UnknownColorsError: none has.
  """
  for name, numbers in known_palettes().items():
    if all(color in numbers for color in present):
      return name, numbers
  unknown = min(
    ([c for c in present if c not in n] for n in known_palettes().values()), key=len
  )
  raise UnknownColorsError(describe_unknown(unknown))


def describe_unknown(colors: list[Color]) -> str:
  """Says that colours have no ids, and what to do about it."""
  few = ", ".join(f"({r}, {g}, {b})" for r, g, b in colors[:3])
  more = f" and {len(colors) - 3} more" if len(colors) > 3 else ""
  return (
    f"a label map of RGB colours {few}{more}, which are in no usual palette, expected "
    "object ids (palette or gray PNG, 0 = background). Save it in palette mode, one "
    "index per object: with Pillow, Image.fromarray(ids_uint8, mode='P')."
  )


def number_colors(border: Mapping[Color, int]) -> dict[Color, int]:
  """Numbers the colours of a video: those of a usual palette by it, others in order.

  Args:
    border: pixels at the borders of all masks, by colour.

  Returns:
    Ids by colour. The background is the colour of most of the border; if that is not
    black although a mask has black, nearly all of the border must have it.

  Raises:
    ValueError: no colour is the background for sure, or there are too many.
  """
  background = max(border, key=lambda color: border[color])
  share = border[background] / sum(border.values())
  if background != BLACK and share < (0.95 if BLACK in border else 0.5):
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


def unpack_color(packed: int) -> Color:
  """The colour of a number from `soft_edges.pack_colors`."""
  return packed >> 16, packed >> 8 & 255, packed & 255


def as_color(row: UInt8[np.ndarray, "3"]) -> Color:
  """A row of a colour table as a colour."""
  return int(row[0]), int(row[1]), int(row[2])
