"""Exports show what the page shows."""

import concurrent.futures
import dataclasses
import json
import pathlib
import zipfile

import numpy as np
import pytest
from PIL import Image

from vosjax.app import exporting, projects, videos
from vosjax.app.projects import Project
from vosjax.app.results import Result
from vosjax.media.outputs import KINDS

pytest.importorskip("av", reason="needs vosjax[video]")

SIZE = (32, 48)


@pytest.fixture
def project(video_folder, tmp_path):
  """Object 1 painted in frame 0, objects 1 and 2 segmented in frames 1 to 3."""
  folder = tmp_path / "project"
  folder.mkdir()
  projects.write_json(folder, {"format": projects.FORMAT, "video": str(video_folder)})
  made = Project(folder, videos.read(video_folder, False))
  labels = np.zeros(SIZE, np.uint8)
  labels[4:12, 4:12] = 1
  labels[20:28, 20:40] = 2
  made.paint(0, labels, [1, 2])
  probs = np.stack([labels == 1, labels == 2]) * np.float32(0.75)
  for k in (1, 2, 3):
    result = Result("k", (1, 2), (0.9, 0.3), (False, True))
    made.results.record(k, result, labels.astype(np.int32), probs)
  made.update_objects([dataclasses.asdict(made.objects[2]) | {"name": "Ben"}])
  made.paint(2, np.zeros(SIZE, np.uint8), [2])
  yield made
  made.close()


def test_masks_and_records_are_those_of_the_page(project, tmp_path):
  done = []
  out = tmp_path / "out"
  out.mkdir()
  exporting.export(project, ["masks", "coco", "results", "probs"], out, done.append)
  assert done[-1] == 8
  coco = json.loads((out / "coco.json").read_text())
  assert [one["name"] for one in coco["categories"]] == ["object", "Ben"]
  assert coco["images"][1]["file_name"] == "00001.png"  # as the video's
  for k in range(8):
    with Image.open(out / f"{k:05d}.png") as image:
      np.testing.assert_array_equal(np.asarray(image), project.labels(k))
  results = json.loads((out / "results.json").read_text())
  frames = {frame["name"]: frame for frame in results["frames"]}
  assert frames["00001"]["objects"] == [1, 2]
  assert frames["00002"]["objects"] == [1]
  with Image.open(out / "probs" / "1" / "00001.png") as image:
    assert np.asarray(image).max() == pytest.approx(0.75 * 65535, abs=130)
  with Image.open(out / "probs" / "1" / "00000.png") as image:
    assert np.asarray(image).max() == 65535  # what was painted is certain


def test_objects_that_are_hidden_can_be_left_out(project, tmp_path):
  project.update_objects([dataclasses.asdict(project.objects[2]) | {"hidden": True}])
  exports = exporting.Exports(lambda _: None)
  exports.start(project, ["masks", "coco"], hidden=False)
  exports.wait(project.id)
  folder = pathlib.Path(exports.status(project.id)["folder"])
  assert folder.is_absolute()
  with Image.open(folder / "00001.png") as image:
    assert set(np.unique(np.asarray(image))) == {0, 1}
  assert "Ben" not in (folder / "coco.json").read_text()
  project.update_objects([dataclasses.asdict(project.objects[1]) | {"hidden": True}])
  with pytest.raises(ValueError, match="all objects are hidden"):
    exports.start(project, ["masks"], hidden=False)
  exports.start(project, ["masks"])
  exports.wait(project.id)
  with Image.open(folder / "00001.png") as image:
    assert set(np.unique(np.asarray(image))) == {0, 1, 2}


def test_every_kind_can_be_exported_and_downloaded(project):
  status = []
  exports = exporting.Exports(lambda _: status.append(exports.status(project.id)))
  exports.start(project, list(KINDS))
  exports.wait(project.id)
  last = exports.status(project.id)
  assert last["state"] == "done", last
  assert status[0]["state"] == "running"
  for name in last["files"]:
    path = exporting.download(project, name)
    assert path.stat().st_size > 0
  with zipfile.ZipFile(exporting.download(project, "masks.zip")) as archive:
    assert archive.namelist() == [f"{k:05d}.png" for k in range(8)]
  with pytest.raises(KeyError):
    exporting.download(project, "project.json")


def test_an_archive_is_packed_once_and_not_before_the_export_is_complete(
  project, monkeypatch
):
  packed, plain, early = [], exporting.zipfile.ZipFile, []

  def pack(*arguments):
    packed.append(arguments)
    return plain(*arguments)

  def progress(name):
    if not 1 <= exports.status(name)["done"] < 8:
      return
    with pytest.raises(KeyError):
      exporting.download(project, "masks.zip")
    early.append(1)

  exports = exporting.Exports(progress)
  monkeypatch.setattr(exporting.zipfile, "ZipFile", pack)
  for turn in (1, 2):
    exports.start(project, ["masks"])
    exports.wait(project.id)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
      paths = list(
        pool.map(lambda _: exporting.download(project, "masks.zip"), range(8))
      )
    assert len(packed) == turn and len(early) == 7 * turn
    with plain(paths[0]) as archive:
      assert archive.testzip() is None and len(archive.namelist()) == 8


def test_a_failure_is_told(project, monkeypatch):
  def fail(*_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(exporting, "export", fail)
  exports = exporting.Exports(lambda _: None)
  exports.start(project, ["masks"])
  exports.wait(project.id)
  assert exports.status(project.id)["state"] == "failed"
  assert "No space left" in exports.status(project.id)["message"]
