"""Stills are videos of one frame, and name unusable files."""

import pickle

import numpy as np
import pytest
from PIL import Image

from vosjax.data import pipeline
from vosjax.data.formats.folders import image_files
from vosjax.data.formats.stills import StillsFolder
from vosjax.data.transforms import clips
from vosjax.data.video import Source, Video, read_clip

SIZE = (12, 16)


@pytest.fixture
def msra(tmp_path):
  """Images and masks with soft edges in one folder, as in MSRA10K."""
  for k, name in enumerate(("7", "12", "x.1")):
    Image.new("RGB", SIZE[::-1], (40 * k, 10, 10)).save(tmp_path / f"{name}.jpg")
    mask = np.zeros(SIZE, np.uint8)
    mask[2:9, k : k + 8], mask[9, k : k + 8], mask[10, k : k + 8] = 255, 128, 127
    Image.fromarray(mask).save(tmp_path / f"{name}.png")
  (tmp_path / "._7.jpg").write_bytes(b"left by an unpacker")
  return tmp_path


def test_images_and_masks_are_paired_by_name(msra):
  source = pickle.loads(pickle.dumps(StillsFolder(str(msra), str(msra))))
  assert isinstance(source, Source) and isinstance(source[0], Video)
  assert [still.name for still in source] == ["12", "7", "x.1"]
  still = source[2]
  assert len(still) == 1 and still.frame_names == ("x.1",) and still.classes == {}
  assert still.frame(0).shape == (*SIZE, 3) and abs(still.frame(0)[0, 0, 0] - 80.0) < 3
  expected = np.zeros(SIZE, np.uint8)
  expected[2:10, 2:10] = 1  # 128 is object, 127 is not
  np.testing.assert_array_equal(still.labels(0), expected)
  np.testing.assert_array_equal(read_clip(still, 0, 1)["labels"][0], expected)


def test_a_source_keeps_no_decoded_images(msra):
  source = StillsFolder(str(msra), str(msra))
  before = len(pickle.dumps(source))
  assert source[0].frame(0).size and source[0].labels(0).size
  assert len(pickle.dumps(source)) == before


def test_stills_go_through_the_pipeline(msra):
  steps = [
    clips.SampleClip(1, 10),
    clips.Resize((8, 8)),
    clips.ChooseObject(5),
  ]
  batches = pipeline.batches(
    [StillsFolder(str(msra), str(msra))], None, steps, batch_size=3, seed=0, num_steps=1
  )
  [batch] = list(batches)
  assert batch["frames"].shape == (3, 1, 8, 8, 3)
  assert batch["labels"].max() == 1 and len(set(batch["names"])) == 3


def test_files_without_a_counterpart_are_all_named(msra):
  (msra / "7.png").unlink()
  (msra / "12.jpg").unlink()
  with pytest.raises(ValueError, match=r"2 files are missing: .*7\.png.*12\.jpg"):
    StillsFolder(str(msra), str(msra))


def test_a_mask_of_another_size_is_named(msra):
  Image.new("L", (3, 4)).save(msra / "12.png")
  with pytest.raises(ValueError, match=r": 12: the annotation has 4x3 .* has 12x16"):
    StillsFolder(str(msra), str(msra))[0].labels(0)


def test_png_images_are_read_where_there_are_no_jpegs(msra, tmp_path_factory):
  masks = tmp_path_factory.mktemp("masks")
  for path in msra.glob("[!.]*.png"):
    path.rename(masks / path.name)
  for path in msra.glob("[!.]*.jpg"):
    Image.open(path).save(path.with_suffix(".png"))
    path.unlink()
  assert StillsFolder(str(msra), str(masks))[0].frame(0).shape == (*SIZE, 3)


def test_masks_alone_are_not_mistaken_for_images(msra):
  for path in msra.glob("[!.]*.jpg"):
    path.unlink()
  with pytest.raises(ValueError, match=r"3 files are missing: .*12\.jpg"):
    StillsFolder(str(msra), str(msra))


def test_wrong_folders_are_named(tmp_path):
  with pytest.raises(ValueError, match="images: no folder .*absent"):
    StillsFolder(str(tmp_path / "absent"), str(tmp_path))
  with pytest.raises(ValueError, match=r"images: no \.jpg or \.png files"):
    StillsFolder(str(tmp_path), str(tmp_path))


def test_images_of_one_name_are_refused(tmp_path):
  for name in ("0.jpg", "1.jpg", "1.png"):
    (tmp_path / name).touch()
  with pytest.raises(ValueError, match="1.jpg and 1.png have the same name"):
    image_files(tmp_path)
  assert [*image_files(tmp_path, (".png",))] == ["1"]
