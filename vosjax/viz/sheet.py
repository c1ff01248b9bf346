"""Contact sheets: images in rows and columns, with captions."""

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

PAPER = (250, 250, 248)
INK = (38, 38, 42)
GAP = 6  # pixels between images and around the sheet


def contact_sheet(
  rows: Sequence[Sequence[UInt8[np.ndarray, "_ _ 3"]]],
  *,
  captions: Sequence[str] = (),
  row_captions: Sequence[str] = (),
  cell_width: int | None = None,
) -> UInt8[np.ndarray, "_ _ 3"]:
  """Lays out images in rows.

  Args:
    rows: RGB images, left to right and top to bottom; rows may differ in length and
      images in size.
    captions: text above each column.
    row_captions: text above the first image of each row.
    cell_width: width in pixels to which every image is resized, keeping its aspect
      ratio; by default, the width of the first image.

  Raises:
    ValueError: there is no image, or the number of captions differs from the number of
      columns or rows.
  """
  _check(rows, captions, row_captions)
  cell_width = cell_width or rows[0][0].shape[1]
  cells = [[_resize(image, cell_width) for image in row] for row in rows]
  columns = max(len(row) for row in cells)
  font = _font(max(11, min(22, cell_width // 16)))
  line = int(1.6 * font.size)

  heights = [max((cell.height for cell in row), default=0) for row in cells]
  row_line = line if row_captions else 0
  height = GAP + (line if captions else 0) + sum(row_line + h + GAP for h in heights)
  sheet = Image.new("RGB", (GAP + columns * (cell_width + GAP), height), PAPER)
  draw = ImageDraw.Draw(sheet)

  def write(text: str, x: int, y: int) -> None:
    draw.text(
      (x, y + line // 2),
      _shorten(text, font, cell_width),
      fill=INK,
      font=font,
      anchor="lm",
    )

  for column, text in enumerate(captions):
    write(text, GAP + column * (cell_width + GAP), GAP // 2)
  y = GAP + (line if captions else 0)
  for index, (row, row_height) in enumerate(zip(cells, heights)):
    if row_captions:
      write(row_captions[index], GAP, y - GAP // 2)
    y += row_line
    for column, cell in enumerate(row):
      sheet.paste(cell, (GAP + column * (cell_width + GAP), y))
    y += row_height + GAP
  return np.array(sheet)


def side_by_side(
  images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
  *,
  captions: Sequence[str] = (),
  cell_width: int | None = None,
) -> UInt8[np.ndarray, "_ _ 3"]:
  """Lays out images in one row, each below its caption."""
  return contact_sheet([images], captions=captions, cell_width=cell_width)


def _check(
  rows: Sequence[Sequence[np.ndarray]],
  captions: Sequence[str],
  row_captions: Sequence[str],
) -> None:
  columns = max((len(row) for row in rows), default=0)
  if not columns or not rows[0]:
    raise ValueError(
      "contact_sheet(): rows contain no image, or the first row contains none."
    )
  if captions and len(captions) != columns:
    raise ValueError(
      f"contact_sheet(): {len(captions)} captions for {columns} columns."
    )
  if row_captions and len(row_captions) != len(rows):
    raise ValueError(
      f"contact_sheet(): {len(row_captions)} row_captions for {len(rows)} rows."
    )


def _resize(pixels: UInt8[np.ndarray, "_ _ 3"], width: int) -> Image.Image:
  image = Image.fromarray(pixels)
  if image.width == width:
    return image
  height = max(1, round(image.height * width / image.width))
  return image.resize((width, height), Image.Resampling.LANCZOS)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
  font = ImageFont.load_default(size)
  assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
  return font


def _shorten(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
  """Cuts a text that is wider than `width` pixels and ends it with an ellipsis."""
  if font.getlength(text) <= width:
    return text
  while text and font.getlength(text + "…") > width:
    text = text[:-1]
  return text.rstrip() + "…"
