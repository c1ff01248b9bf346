"""The DAVIS 2017 builder copies every byte and refuses incomplete folders."""

import pickle

import numpy as np
import pytest

from vosjax.data.folders import DavisFolder
from vosjax.data.prepared import PreparedFolder

pytestmark = pytest.mark.filterwarnings("default")  # tfds and its dependencies


@pytest.fixture
def prepare(build, davis_tree, monkeypatch):
  monkeypatch.setattr(
      build.builder_class("davis2017"), "NUM_VIDEOS", {"train": 2, "validation": 1})
  out = davis_tree.parent / "out"

  def run(*options):
    code = build.main([
        "davis2017", f"--manual_dir={davis_tree}", f"--data_dir={out}", *options])
    return code, out / "davis2017"

  return run


@pytest.mark.parametrize("config, annotations", [
    ("semi_supervised_480p", "Annotations"),
    ("unsupervised_480p", "Annotations_unsupervised")])
def test_records_hold_the_files_of_the_folder(prepare, davis_tree, config, annotations):
  code, out = prepare(f"--config={config}")
  assert code == 0
  for split, subset in (("train", "train"), ("validation", "val")):
    prepared = pickle.loads(pickle.dumps(PreparedFolder(
        str(out / config / "1.0.0"), split)))
    originals = {v.name: v for v in DavisFolder(
        str(davis_tree), subset, annotations=annotations)}
    assert {video.name for video in prepared} == set(originals)
    for video in prepared:
      original = originals[video.name]
      assert video.frame_names == original.frame_names
      for t, stored in enumerate(video.frames):
        assert stored.frame == original.frame_files[t].read_bytes()
        assert stored.mask == original.label_files[t].read_bytes()
        np.testing.assert_array_equal(video.frame(t), original.frame(t))
        np.testing.assert_array_equal(video.labels(t), original.labels(t))


def test_what_is_missing_is_named_and_nothing_is_written(prepare, davis_tree, capsys):
  (davis_tree / "Annotations/480p/bus/00002.png").unlink()
  (davis_tree / "JPEGImages/480p/swan/00001.jpg").unlink()
  code, out = prepare()
  assert code == 2 and not list(out.rglob("*.array_record*"))
  message = capsys.readouterr().err
  assert "bus/00002.png" in message and "swan/00001.jpg" in message


def test_a_short_list_or_a_gap_in_the_numbers_is_named(prepare, davis_tree, capsys):
  (davis_tree / "ImageSets/2017/train.txt").write_text("swan\n")
  for folder, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
    for t in (3, 5):
      path = davis_tree / folder / "480p/camel"
      (path / f"{t:05}.{suffix}").write_bytes((path / f"00000.{suffix}").read_bytes())
  assert prepare()[0] == 2
  message = capsys.readouterr().err
  assert "train: 1 of 2 videos" in message and "camel: no frame 00004" in message


def test_folders_that_hold_no_prepared_videos_are_refused(tmp_path):
  with pytest.raises(ValueError, match="directory: no prepared data set in"):
    PreparedFolder(str(tmp_path))


def test_the_archive_is_asked_for_when_it_is_absent(build, tmp_path, capsys):
  assert build.main(["davis2017", f"--manual_dir={tmp_path / 'nowhere'}",
                     f"--data_dir={tmp_path / 'out'}"]) == 2
  assert "https://davischallenge.org" in capsys.readouterr().err
