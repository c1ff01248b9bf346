"""The DAVIS 2016 builder keeps the bytes; readers see one object."""

import numpy as np
import pytest

from vosjax.data.prepared import PreparedFolder


@pytest.mark.filterwarnings("default")  # tfds and its dependencies
def test_records_hold_one_object_and_the_original_bytes(build, davis_tree, monkeypatch):
  monkeypatch.setattr(
      build.builder_class("davis2016"), "NUM_VIDEOS", {"train": 2, "validation": 1})
  out = davis_tree.parent / "out"
  assert build.main(
      ["davis2016", f"--manual_dir={davis_tree}", f"--data_dir={out}",
       "--workers=1"]) == 0
  [video] = PreparedFolder(str(out / "davis2016/480p/1.0.0"), "validation")
  files = davis_tree / "Annotations/480p/camel"
  for t in range(3):
    assert video.frames[t].mask == (files / f"{t:05}.png").read_bytes()
    np.testing.assert_array_equal(np.unique(video.labels(t)), [0, 1])
