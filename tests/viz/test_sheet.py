"""Contact sheets."""

import numpy as np
import pytest

from vosjax import viz


def image(height, width, value):
  return np.full((height, width, 3), value, np.uint8)


def test_images_are_in_reading_order():
  rows = [[image(30, 40, 10), image(30, 40, 60)], [image(30, 40, 110)]]
  sheet = viz.contact_sheet(rows)
  assert (sheet[20, 20, 0], sheet[20, 70, 0], sheet[60, 20, 0]) == (10, 60, 110)
  assert sheet[60, 70, 0] == 250  # empty where a row is shorter


def test_resized_images_keep_their_aspect_ratio():
  sheet = viz.side_by_side([image(30, 40, 10), image(120, 80, 60)])
  column = sheet[:, 75, 0] == 60
  assert column.sum() == 60  # 80x120 at width 40


def test_captions_are_written_above_the_images():
  bare = viz.side_by_side([image(90, 160, 0)] * 2)
  sheet = viz.side_by_side([image(90, 160, 0)] * 2, captions=["one", "two"])
  added = sheet.shape[0] - bare.shape[0]
  assert added > 0
  for half in np.array_split(sheet[:added], 2, axis=1):
    assert (half < 100).any()


def test_long_captions_stay_within_their_column():
  sheet = viz.side_by_side([image(90, 160, 255)] * 2, captions=["long " * 40, ""])
  right = sheet[:, 6 + 160 + 6 :]
  assert right.min() > 200


@pytest.mark.parametrize(
  ("rows", "options", "text"),
  [
    ([], {}, "no image"),
    ([[image(4, 4, 0)]], {"captions": ["a", "b"]}, "2 captions for 1 columns"),
    ([[image(4, 4, 0)]], {"row_captions": ["a", "b"]}, "2 row_captions for 1 rows"),
  ],
)
def test_impossible_layouts_are_named(rows, options, text):
  with pytest.raises(ValueError, match=text):
    viz.contact_sheet(rows, **options)
