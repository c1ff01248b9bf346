"""PASCAL VOC: instance ids as labels, and the class of each."""

import pickle

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from PIL import Image

from vosjax.data.formats.voc import (
  CLASSES,
  AugmentedVocFolder,
  SbdFolder,
  VocFolder,
  class_numbers,
  keep_classes,
)
from vosjax.data.video import Source

SIZE = (12, 16)


def save_palette(path, labels):
  path.parent.mkdir(parents=True, exist_ok=True)
  image = Image.fromarray(labels)
  image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
  image.save(path)


@pytest.fixture
def voc(tmp_path):
  """Two images: a dog next to a person with void between them, and a train."""
  (tmp_path / "JPEGImages").mkdir()
  maps = {
    "2007_000032": [
      (np.s_[2:8, 1:6], 1, 12),
      (np.s_[2:8, 7:12], 2, 15),
      (np.s_[2:8, 6], 255, 255),
    ],
    "2007_000033": [(np.s_[:5], 1, 19), (np.s_[0, 0], 1, 3)],  # one pixel amiss
  }
  for name, parts in maps.items():
    Image.new("RGB", SIZE[::-1]).save(tmp_path / f"JPEGImages/{name}.jpg")
    objects, classes = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    for where, instance, kind in parts:
      objects[where], classes[where] = instance, kind
    save_palette(tmp_path / f"SegmentationObject/{name}.png", objects)
    save_palette(tmp_path / f"SegmentationClass/{name}.png", classes)
  lists = tmp_path / "ImageSets/Segmentation"
  lists.mkdir(parents=True)
  (lists / "train.txt").write_text("2007_000033\n2007_000032\n")
  (lists / "val.txt").write_text("2007_000032\n")
  return tmp_path


def test_labels_are_instances_with_classes(voc):
  source = pickle.loads(pickle.dumps(VocFolder(str(voc), "train")))
  assert isinstance(source, Source)
  assert [still.name for still in source] == ["2007_000033", "2007_000032"]
  assert source[0].classes == {1: CLASSES.index("train")}
  still = source[1]
  assert {i: CLASSES[k] for i, k in still.classes.items()} == {1: "dog", 2: "person"}
  expected = np.zeros(SIZE, np.uint8)
  expected[2:8, 1:6], expected[2:8, 7:12], expected[2:8, 6] = 1, 2, 255
  np.testing.assert_array_equal(still.labels(0), expected)
  assert [still.name for still in VocFolder(str(voc), "val")] == ["2007_000032"]


def test_only_some_classes_are_kept(voc, sbd):
  whole = AugmentedVocFolder(str(voc), str(sbd))
  kept = class_numbers(("person", "train"))
  source = pickle.loads(pickle.dumps(keep_classes(whole, kept)))
  found = {still.name: still.classes for still in source}
  assert found == {"2007_000033": {1: 19}, "2008_000002": {1: 15}}  # was 2
  labels = {still.name: np.unique(still.labels(0)).tolist() for still in source}
  assert labels == {"2007_000033": [0, 1], "2008_000002": [0, 1]}
  dogs = class_numbers(["dog"])
  (still,) = keep_classes(VocFolder(str(voc), "val"), dogs)
  assert np.unique(still.labels(0)).tolist() == [0, 1, 255]  # void stays
  assert keep_classes(whole, dogs) == keep_classes(whole, dogs)
  with pytest.raises(ValueError, match=r"unknown classes \['human'\]; known: \['aero"):
    class_numbers(("human", "dog"))


def test_images_are_not_decoded_to_find_classes(voc):
  (voc / "JPEGImages/2007_000032.jpg").write_bytes(b"")
  source = keep_classes(VocFolder(str(voc), "train"), class_numbers(("dog",)))
  assert [still.name for still in source.stills] == ["2007_000032"]
  (voc / "SegmentationClass/2007_000033.png").write_bytes(b"")
  with pytest.raises(ValueError, match="2007_000033"):
    keep_classes(VocFolder(str(voc), "train"), class_numbers(("dog",)))


def test_missing_files_and_lists_are_named(voc):
  (voc / "SegmentationClass/2007_000032.png").unlink()
  (voc / "JPEGImages/2007_000033.jpg").unlink()
  with pytest.raises(ValueError, match="2 files are missing: JPEGImages/2007_000033"):
    VocFolder(str(voc), "train")
  with pytest.raises(ValueError, match=r"'trainval' .* has \['train', 'val'\]"):
    VocFolder(str(voc), "trainval")


def test_an_instance_on_background_is_refused(voc):
  save_palette(voc / "SegmentationClass/2007_000032.png", np.zeros(SIZE, np.uint8))
  with pytest.raises(
    ValueError, match=r"2007_000032: instances \[1, 2\] are background"
  ):
    _ = VocFolder(str(voc), "val")[0].classes


def save_sbd(root, name, labels, classes):
  """Writes the files of an image in SBD, as its authors' MATLAB wrote them."""
  outlines = np.empty((len(classes), 1), object)
  for k in range(len(classes)):
    outlines[k, 0] = scipy.sparse.csc_matrix(labels == k + 1, dtype=float)
  for folder, key, fields in (
    ("inst", "GTinst", {"Categories": np.array(classes, float)[:, None]}),
    ("cls", "GTcls", {"CategoriesPresent": np.array(classes, float)[:, None]}),
  ):
    (root / folder).mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(
      root / f"{folder}/{name}.mat",
      {
        key: {"Segmentation": labels, "Boundaries": outlines, **fields},
      },
      do_compression=True,
    )
  (root / "img").mkdir(exist_ok=True)
  Image.new("RGB", SIZE[::-1]).save(root / f"img/{name}.jpg")


@pytest.fixture
def sbd(tmp_path):
  """One image of VOC's train list, one of its val list, and two that only SBD has."""
  root = tmp_path / "benchmark_RELEASE/dataset"
  labels = np.zeros(SIZE, np.uint8)
  labels[:3, :3] = 1
  save_sbd(root, "2007_000033", labels, [7])
  save_sbd(root, "2008_000007", labels, [4])  # a single instance
  labels[5:9] = 2
  save_sbd(root, "2007_000032", labels, [12, 15])
  save_sbd(root, "2008_000002", labels, [20, 15])
  (root / "train.txt").write_text("2008_000002\n2007_000032\n2007_000033\n")
  (root / "val.txt").write_text("2008_000007\n")
  return root


def test_sbd_has_instances_and_classes(sbd):
  source = pickle.loads(pickle.dumps(SbdFolder(str(sbd), "train")))
  still = source[0]
  assert still.name == "2008_000002" and still.classes == {1: 20, 2: 15}
  assert still.labels(0)[0, 0] == 1 and (still.labels(0)[5:9] == 2).all()
  assert SbdFolder(str(sbd), "val")[0].classes == {1: 4}


def test_damaged_files_of_sbd_are_named(sbd):
  (sbd / "inst/2008_000007.mat").write_bytes(b"no MATLAB")
  with pytest.raises(ValueError, match="2008_000007: not a MATLAB file"):
    _ = SbdFolder(str(sbd), "val")[0].classes
  save_sbd(sbd, "2008_000007", np.full(SIZE, 3, np.uint8), [4])
  with pytest.raises(
    ValueError, match="2008_000007: instance 3 has no class; only 1 are listed"
  ):
    _ = SbdFolder(str(sbd), "val")[0].classes


def test_the_augmented_set_leaves_val_out_and_prefers_voc(voc, sbd):
  (voc / "ImageSets/Segmentation/train.txt").write_text("2007_000033\n")
  source = AugmentedVocFolder(str(voc), str(sbd))
  assert [still.name for still in source] == [
    "2007_000033",
    "2008_000002",
    "2008_000007",
  ]
  assert source[0].classes == {1: 19} and source[2].classes == {1: 4}
