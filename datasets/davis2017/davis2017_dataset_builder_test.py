"""The DAVIS 2017 builder copies every byte and refuses incomplete folders."""

import json
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from vosjax.data.formats.davis import DavisFolder
from vosjax.data.records.videos import PreparedFolder

pytestmark = pytest.mark.filterwarnings("default")  # tfds and its dependencies


@pytest.fixture
def prepare(build, davis_tree, monkeypatch):
  monkeypatch.setattr(
    build.builder_class("davis2017"), "NUM_VIDEOS", {"train": 2, "validation": 1}
  )
  out = davis_tree.parent / "out"

  def run(*options):
    code = build.main(
      [
        "davis2017",
        f"--manual_dir={davis_tree}",
        f"--data_dir={out}",
        "--workers=1",
        *options,
      ]
    )
    return code, out / "davis2017"

  return run


@pytest.mark.parametrize(
  "config, annotations",
  [
    ("semi_supervised_480p", "Annotations"),
    ("unsupervised_480p", "Annotations_unsupervised"),
  ],
)
def test_records_hold_the_files_of_the_folder(prepare, davis_tree, config, annotations):
  code, out = prepare(f"--config={config}")
  assert code == 0
  for split, subset in (("train", "train"), ("validation", "val")):
    prepared = pickle.loads(
      pickle.dumps(PreparedFolder(str(out / config / "1.0.0"), split))
    )
    originals = {
      v.name: v for v in DavisFolder(str(davis_tree), subset, annotations=annotations)
    }
    assert {video.name for video in prepared} == set(originals)
    for video in prepared:
      original = originals[video.name]
      assert video.frame_names == original.frame_names
      for t, stored in enumerate(video.frames):
        assert stored.frame == original.frame_files[t].read_bytes()
        assert stored.mask == original.label_files[t].read_bytes()
        np.testing.assert_array_equal(video.frame(t), original.frame(t))
        np.testing.assert_array_equal(video.labels(t), original.labels(t))


def test_objects_have_the_categories_of_the_archive_for_them(build_videos, davis_tree):
  counts = {"train": 2, "validation": 1}
  (davis_tree / "davis_semantics.json").write_text(
    json.dumps({"swan": {"1": "bird", "2": "person"}, "elsewhere": {"1": "bird"}})
  )
  (davis_tree / "categories.json").write_text(
    json.dumps({"bird": {"id": 6, "super_category": "animal"}})
  )
  for task in ("semi_supervised", "unsupervised"):
    train = build_videos(
      "davis2017", davis_tree, config=f"{task}_480p", NUM_VIDEOS=counts
    )["train"]
    assert train["swan"].objects == {
      1: {"category": "bird", "super_category": "animal"},
      2: {"category": "person"},
    }
    assert train["swan"].categories == {1: "bird", 2: "person"}
    assert train["bus"].objects == {}


def test_a_broken_file_of_categories_is_named(build_videos, davis_tree, capsys):
  for text in ('{"swan": ["bird"]}', "{"):
    (davis_tree / "davis_semantics.json").write_text(text)
    assert (
      build_videos("davis2017", davis_tree, NUM_VIDEOS={"train": 2, "validation": 1})
      is None
    )
    assert (
      "davis_semantics.json: not the file that DAVIS publishes"
      in capsys.readouterr().err
    )


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


def test_an_annotation_of_another_size_than_its_frame_is_refused(prepare, davis_tree):
  path = davis_tree / "Annotations/480p/camel/00002.png"
  Image.open(path).resize((12, 8)).save(path)
  code, out = prepare()
  assert code == 0
  [video] = PreparedFolder(str(out / "semi_supervised_480p/1.0.0"), "validation")
  with pytest.raises(ValueError, match=r"camel/00002: .* \(8, 12\) .* \(16, 24\)"):
    video.labels(2)


def test_folders_that_hold_no_prepared_videos_are_refused(tmp_path):
  with pytest.raises(ValueError, match="directory: no prepared dataset in"):
    PreparedFolder(str(tmp_path))


def test_the_archive_is_asked_for_when_it_is_absent(build, tmp_path, capsys):
  assert (
    build.main(
      [
        "davis2017",
        f"--manual_dir={tmp_path / 'nowhere'}",
        f"--data_dir={tmp_path / 'out'}",
      ]
    )
    == 2
  )
  assert "https://davischallenge.org" in capsys.readouterr().err


@pytest.fixture
def test_tree(davis_tree):
  """The archives of both test-dev sets unpacked over the tree."""
  (davis_tree / "ImageSets/2019").mkdir()
  (davis_tree / "ImageSets/2017/test-dev.txt").write_text("camel\n")
  (davis_tree / "ImageSets/2019/test-dev.txt").write_text("bus\nswan\n")
  for t in (1, 2):
    (davis_tree / f"Annotations/480p/camel/{t:05}.png").unlink()
  shutil.rmtree(davis_tree / "Annotations_unsupervised")
  return davis_tree


def test_test_sets_hold_first_annotations_or_none(build_videos, test_tree):
  videos = build_videos(
    "davis2017",
    test_tree,
    config="semi_supervised_test_dev_480p",
    NUM_VIDEOS={"test_dev": 1},
  )["test_dev"]
  first = test_tree / "Annotations/480p/camel/00000.png"
  assert [videos["camel"].mask_files(t) for t in range(3)] == [
    [first.read_bytes()],
    [],
    [],
  ]
  videos = build_videos(
    "davis2017",
    test_tree,
    config="unsupervised_test_dev_480p",
    NUM_VIDEOS={"test_dev": 2},
  )["test_dev"]
  assert set(videos) == {"bus", "swan"}
  for name, video in videos.items():
    assert all(video.labels(t) is None for t in range(3))
    for t, stored in enumerate(video.frames):
      assert (
        stored.frame == (test_tree / f"JPEGImages/480p/{name}/{t:05}.jpg").read_bytes()
      )


def test_what_a_test_set_lacks_is_named(build_videos, test_tree, capsys):
  (test_tree / "Annotations/480p/camel/00000.png").rename(
    test_tree / "Annotations/480p/camel/00001.png"
  )
  shutil.rmtree(test_tree / "JPEGImages/480p/bus")
  for task in ("semi_supervised", "unsupervised"):
    assert (
      build_videos(
        "davis2017",
        test_tree,
        config=f"{task}_test_dev_480p",
        NUM_VIDEOS={"test_dev": 1},
      )
      is None
    )
  message = capsys.readouterr().err
  assert "camel: its first frame has no annotation" in message
  assert "no frames of bus" in message
  assert (
    build_videos("davis2017", test_tree, config="unsupervised_test_challenge_480p")
    is None
  )
  assert "no list ImageSets/2019/test-challenge.txt" in capsys.readouterr().err
