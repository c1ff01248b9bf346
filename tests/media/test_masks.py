"""Masks of a video: which frames and objects they are of, and what is said of them."""

import numpy as np
import pytest
from PIL import Image

from vosjax.labels import palette
from vosjax.media import masks as media_masks
from vosjax.media.masks import read_masks

SIZE = (24, 34)
NAMES = tuple(f"{t:05d}" for t in range(4))
BOX, OTHER = np.s_[4:10, 4:10], np.s_[8:20, 8:20]  # the second covers 4 of the first


def write(path, values=None, **boxes):
  """Writes a gray mask with `one` and `other` as values of the two boxes."""
  labels = np.zeros(SIZE, np.uint8) if values is None else values
  for name, box in (("one", BOX), ("other", OTHER)):
    if name in boxes:
      labels[box] = boxes[name]
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(labels).save(path)
  return path


def ids_of(masks, index):
  return set(np.unique(masks.labels(index)).tolist()) - {0}


def test_masks_of_a_folder_are_read_by_the_name_of_their_frame(tmp_path):
  write(tmp_path / "00001.png", one=7)
  masks = read_masks(tmp_path, NAMES, SIZE)
  assert len(masks) == 4 and masks.name == str(tmp_path) and masks.frames == (1,)
  assert masks.labels(0) is None and ids_of(masks, 1) == {7}
  assert masks.describe() == "00001.png: object 7 (4.4 %); void 0.0 %"


def test_one_file_belongs_to_the_frame_that_it_is_named_after(tmp_path):
  masks = read_masks(write(tmp_path / "00002.png", one=1), NAMES, SIZE)
  assert masks.frames == (2,) and masks.notes == ("00002.png: the mask of frame 00002",)
  assert read_masks(write(tmp_path / "first.png", one=1), NAMES, SIZE).frames == (0,)
  masks = read_masks(write(tmp_path / "shot7.png", one=1), NAMES, SIZE)
  assert masks.frames == (0,)
  assert masks.warnings == ("shot7.png: taken as the mask of the first frame, 00000",)
  with pytest.raises(ValueError, match="00000, is damaged .* name it .* 00001.png"):
    read_masks(tmp_path / "shot7.png", NAMES[1:], SIZE, lost_first="00000")


def test_names_are_matched_or_refused(tmp_path):
  for number in (1, 2, 3, 4):
    write(tmp_path / "shifted" / f"{number}.png", one=1)
  masks = read_masks(tmp_path / "shifted", NAMES, SIZE)
  assert masks.frames == (0, 1, 2, 3)
  assert "1..4 are matched to frames 00000..00003" in masks.describe()
  write(tmp_path / "stray" / "00009.png", one=1)
  with pytest.raises(ValueError, match=r"00009\.png: no frame is named '00009'"):
    read_masks(tmp_path / "stray", NAMES, SIZE)
  (tmp_path / "empty").mkdir()
  for path, message in (("empty", "contains no masks"), ("absent", "no such mask")):
    with pytest.raises(ValueError, match=message):
      read_masks(tmp_path / path, NAMES, SIZE)


def test_files_and_folders_of_one_object_each(tmp_path):
  files = [
    write(tmp_path / "files" / "dog.png", one=255),
    write(tmp_path / "files" / "cat.png", other=255),
  ]
  masks = read_masks(files, NAMES, SIZE)
  assert masks.frames == (0,)
  labels = masks.labels(0)
  assert (labels[OTHER] == 2).all() and np.count_nonzero(labels == 1) == 36 - 4
  assert "dog.png is object 1, cat.png is object 2" in masks.describe()
  assert "objects overlap in 2.3 % of their pixels" in masks.describe()
  assert ids_of(read_masks(tmp_path / "files", NAMES, SIZE), 0) == {1, 2}
  write(tmp_path / "folders" / "003" / "00001.png", one=255)
  write(tmp_path / "folders" / "007" / "00002.png", other=255)
  masks = read_masks(tmp_path / "folders", NAMES, SIZE)
  assert masks.frames == (1, 2) and ids_of(masks, 1) == {3} and ids_of(masks, 2) == {7}
  both = write(tmp_path / "both.png", one=1, other=2)
  with pytest.raises(ValueError, match=r"both\.png: holds the objects 1, 2"):
    read_masks([files[0], both], NAMES, SIZE)


def test_files_given_one_by_one_may_be_of_several_frames(tmp_path):
  files = [write(tmp_path / f"{name}.png", one=1) for name in ("first", "00003")]
  masks = read_masks(files, NAMES, SIZE)
  assert masks.frames == (0, 3) and ids_of(masks, 3) == {1}
  assert "first.png is of frame 00000, 00003.png is of frame 00003" in masks.describe()
  with pytest.raises(ValueError, match="first.png: belongs to the first frame"):
    read_masks(files, NAMES[1:], SIZE, lost_first="00000")
  files = [write(tmp_path / folder / "00002.png", one=1) for folder in ("dog", "cat")]
  masks = read_masks(files, NAMES, SIZE)
  assert masks.frames == (2,) and "cat/00002.png is object 2" in masks.describe()
  with pytest.raises(ValueError, match="one folder per object"):
    read_masks([*files, tmp_path / "00003.png"], NAMES, SIZE)


def test_masks_numbered_from_1_are_warned_of_where_frames_count_from_0(tmp_path):
  write(tmp_path / "0001.png", one=1)
  masks = read_masks(tmp_path, NAMES, SIZE, numbered=True)
  assert masks.frames == (1,)
  assert "frame 00001, the second one" in masks.warnings[0]
  assert "is 00000.png" in masks.warnings[0]
  assert not read_masks(tmp_path, NAMES, SIZE).warnings  # frames have their own names
  write(tmp_path / "0000.png", one=1)
  assert not read_masks(tmp_path, NAMES, SIZE, numbered=True).warnings


def test_folders_of_frames_with_a_file_per_object(tmp_path):
  write(tmp_path / "00001" / "1.png", one=255)
  write(tmp_path / "00001" / "2.png", other=255)
  masks = read_masks(tmp_path, NAMES, SIZE)
  assert masks.frames == (1,) and ids_of(masks, 1) == {1, 2}
  (tmp_path / "00001" / "2.png").unlink()
  (tmp_path / "00001" / "1.png").rename(tmp_path / "00001" / "00000.png")
  with pytest.raises(ValueError, match="unclear which are objects"):
    read_masks(tmp_path, NAMES, SIZE)


def test_an_inverted_mask_is_warned_of(tmp_path):
  values = np.full(SIZE, 255, np.uint8)
  masks = read_masks(write(tmp_path / "first.png", values, other=0), NAMES, SIZE)
  assert "invert the mask" in masks.warnings[0]


def test_other_sizes_are_refused_with_the_way_out(tmp_path):
  small = write(tmp_path / "00000.png", np.zeros((12, 17), np.uint8), one=1)
  with pytest.raises(ValueError, match="17x12, .* 34x24.*nearest neighbour"):
    read_masks(small, NAMES, SIZE)


def test_white_is_the_same_object_in_all_masks(tmp_path):
  write(tmp_path / "00000.png", one=255)
  write(tmp_path / "00001.png", one=250)
  masks = read_masks(tmp_path, NAMES, SIZE)
  assert ids_of(masks, 0) == ids_of(masks, 1) == {1}
  assert masks.describe().count("object 1 (4.4 %)") == 2
  write(tmp_path / "00002.png", one=1, other=2)
  for value in (2, 255):  # beside 1, white is another object, or void
    write(tmp_path / "00002.png", one=1, other=value)
    with pytest.raises(ValueError, match="00000.png is black and white, but 00002.png"):
      read_masks(tmp_path, NAMES, SIZE)


def test_colours_are_objects_if_asked_for(tmp_path):
  red, green = (255, 0, 0), (0, 255, 0)
  for name, box, color in (("00000", BOX, red), ("00001", OTHER, green)):
    image = np.zeros((*SIZE, 3), np.uint8)
    image[box] = color
    write(tmp_path / f"{name}.png", image)
  with pytest.raises(ValueError, match="RGB colours .*Or use --colors"):
    read_masks(tmp_path, NAMES, SIZE)
  masks = read_masks(tmp_path, NAMES, SIZE, colors=True)
  assert ids_of(masks, 0) == {2} and ids_of(masks, 1) == {1}
  assert "1 is (0, 255, 0), 2 is (255, 0, 0)" in masks.describe()


def test_colour_tables_that_differ_are_refused(tmp_path):
  for name, order in (("00000", (0, 2, 1)), ("00001", (0, 3, 2))):
    image = Image.fromarray(np.zeros(SIZE, np.uint8))
    image.putdata([1] * 100 + [2] * 100 + [0] * (SIZE[0] * SIZE[1] - 200))
    image.putpalette(palette()[list(order)].tobytes())
    image.save(tmp_path / f"{name}.png")
  with pytest.raises(ValueError, match="id 1 is .*Or use --colors"):
    read_masks(tmp_path, NAMES, SIZE)
  masks = read_masks(tmp_path, NAMES, SIZE, colors=True)
  assert masks.labels(0)[0, 0] == 2 and masks.labels(1)[0, 0] == 3


def test_a_colour_with_two_ids_is_refused(tmp_path):
  red, gray = (255, 0, 0), (9, 9, 9)
  for name, index, colors in (("00000", 1, (red, gray)), ("00001", 2, (gray, red))):
    image = Image.fromarray(np.zeros(SIZE, np.uint8))
    image.paste(index, (4, 4, 9, 9))
    image.putpalette([0, 0, 0, *colors[0], *colors[1]])
    image.save(tmp_path / f"{name}.png")
  with pytest.raises(ValueError, match=r"\(255, 0, 0\) is id 1 in .* but 2 in"):
    read_masks(tmp_path, NAMES, SIZE)


def test_white_of_a_usual_palette_is_not_object_1_in_another_mask(tmp_path):
  image = np.zeros((*SIZE, 3), np.uint8)
  image[BOX] = 255
  write(tmp_path / "00000.png", image)
  image[OTHER] = 236, 95, 103  # object 1 of YouTube-VOS, where white is 9
  write(tmp_path / "00001.png", image)
  with pytest.raises(ValueError, match=r"\(255, 255, 255\) is id 1 in .* but 9 in"):
    read_masks(tmp_path, NAMES, SIZE)


def test_of_many_masks_some_are_checked_at_once(tmp_path, monkeypatch):
  monkeypatch.setattr(media_masks, "_CHECKED", 2)
  for name in NAMES:
    write(tmp_path / f"{name}.png", one=1)
  masks = read_masks(tmp_path, NAMES, SIZE)
  assert set(masks.counts) == {0, 2}
  assert "2 masks are checked when their turn comes" in masks.describe()
  for name in NAMES:
    write(tmp_path / f"{name}.png", one=2)
  write(tmp_path / "00001.png", one=255)
  masks = read_masks(tmp_path, NAMES, SIZE)
  assert ids_of(masks, 3) == {2}
  with pytest.raises(ValueError, match="00001.png is black and white, but other masks"):
    masks.labels(1)
  write(tmp_path / "00001.png", np.zeros((12, 17), np.uint8))
  with pytest.raises(ValueError, match=r"00001\.png: the mask is 17x12"):
    read_masks(tmp_path, NAMES, SIZE)
