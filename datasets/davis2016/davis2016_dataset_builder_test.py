"""The DAVIS 2016 builder keeps bytes and attributes; readers see one object."""

import numpy as np
import pytest

from vosjax.data.records.videos import PreparedFolder

pytestmark = pytest.mark.filterwarnings("default")  # tfds and its dependencies

INFO = """
attributes: [FM, OCC, ROT]
sequences:
- attributes: [FM, OCC]
  name: swan
  num_frames: 3
  set: train
  eval_t: False
- attributes: []
  name: camel
  num_frames: 3
  set: test
  eval_t: True
"""


def test_records_hold_one_object_and_the_original_bytes(build, davis_tree, monkeypatch):
  monkeypatch.setattr(
    build.builder_class("davis2016"), "NUM_VIDEOS", {"train": 2, "validation": 1}
  )
  out = davis_tree.parent / "out"
  assert (
    build.main(
      ["davis2016", f"--manual_dir={davis_tree}", f"--data_dir={out}", "--workers=1"]
    )
    == 0
  )
  [video] = PreparedFolder(str(out / "davis2016/480p/1.0.0"), "validation")
  files = davis_tree / "Annotations/480p/camel"
  for t in range(3):
    assert video.frames[t].mask == (files / f"{t:05}.png").read_bytes()
    np.testing.assert_array_equal(np.unique(video.labels(t)), [0, 1])


def test_attributes_come_from_the_archive(build_videos, davis_tree):
  (davis_tree / "Annotations/db_info.yml").write_text(INFO)
  splits = build_videos(
    "davis2016", davis_tree, NUM_VIDEOS={"train": 2, "validation": 1}
  )
  videos = splits["train"] | splits["validation"]
  assert {name: video.attributes for name, video in videos.items()} == {
    "swan": ("FM", "OCC"),
    "bus": (),
    "camel": (),
  }


@pytest.mark.parametrize(
  "text, said",
  [
    (
      INFO.replace("num_frames: 3\n  set: test", "num_frames: 4\n  set: test"),
      "camel: 3 of 4 frames",
    ),
    ("sequences: 7", "db_info.yml: not the file that DAVIS publishes"),
    ("a: [", "db_info.yml: not the file that DAVIS publishes"),
  ],
)
def test_what_contradicts_the_archive_is_named(
  build_videos, davis_tree, capsys, text, said
):
  (davis_tree / "Annotations/db_info.yml").write_text(text)
  assert (
    build_videos("davis2016", davis_tree, NUM_VIDEOS={"train": 2, "validation": 1})
    is None
  )
  assert said in capsys.readouterr().err
