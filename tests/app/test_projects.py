"""A project on disk is complete up to the latest stroke, whatever ends the server."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from vosjax.app import projects, results, videos
from vosjax.app.projects import Project
from vosjax.app.results import Result

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIZE = (32, 48)


@pytest.fixture
def reopen(video_folder, tmp_path):
  """Opens the project anew, as a server does that was killed before."""
  projects.write_json(tmp_path, {"format": projects.FORMAT, "video": str(video_folder)})
  made = []

  def open_project() -> Project:
    made.append(Project(tmp_path, videos.read(video_folder, False)))
    return made[-1]

  yield open_project
  for project in made:
    project.close()


def painted(value=1, column=5):
  labels = np.zeros(SIZE, np.uint8)
  labels[4:12, column : column + 8] = value
  return labels


def found(key="k", objects=(1,)):
  return Result(key, objects, (0.5,) * len(objects), (False,) * len(objects))


def test_what_is_painted_is_a_mask_for_the_command_line(reopen, tmp_path):
  project = reopen()
  labels = painted()
  labels[20:] = 2
  project.paint(3, labels, [1])
  with Image.open(tmp_path / "given" / "00003.png") as image:
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image), np.where(labels == 1, 1, 0))
  again = reopen()
  assert again.given == project.given and set(again.objects) == {1}
  np.testing.assert_array_equal(again.labels(3), np.where(labels == 1, 1, 0))


def test_what_is_painted_lies_over_what_was_segmented(reopen):
  project = reopen()
  project.paint(0, painted(1), [1])
  project.paint(0, np.maximum(painted(1), painted(2, 20)), [1, 2])
  segmented = np.maximum(painted(1, 9), painted(2, 30)).astype(np.int32)
  probs = np.stack([segmented == 1, segmented == 2]).astype(np.float32)
  project.results.record(2, found(objects=(1, 2)), segmented, probs)
  project.paint(2, painted(1, 0), [1])
  expected = np.where(segmented == 2, 2, 0)
  expected[painted(1, 0) > 0] = 1
  np.testing.assert_array_equal(project.labels(2), expected)
  project.paint(2, project.labels(2), [])
  np.testing.assert_array_equal(project.labels(2), segmented)
  assert 2 not in reopen().given


def test_an_object_without_a_pixel_is_absent(reopen):
  project = reopen()
  project.paint(1, painted(), [1, 4])
  assert (project.given[1].objects, project.given[1].absent) == ((1,), (4,))
  assert reopen().given == project.given
  project.paint(1, np.zeros(SIZE, np.uint8), [4])
  assert (reopen().given[1].objects, reopen().given[1].absent) == ((), (4,))


def test_a_line_that_was_cut_and_a_draft_are_ignored(reopen, tmp_path):
  project = reopen()
  for k in (0, 1):
    project.results.record(
      k, found(), painted().astype(np.int32), np.ones((1, *SIZE), np.float32)
    )
  with open(tmp_path / results.LOG, "a") as file:
    file.write('{"frame": "00002", "part": "masks", "key": "k", "obj')
  (tmp_path / "masks" / ".00002.77.part.png").write_bytes(b"x")
  (tmp_path / "masks" / "00001.png").unlink()
  again = reopen()
  assert set(again.results.final) == {0}
  assert not list((tmp_path / "masks").glob(".*"))
  again.results.record(
    2, found("new"), painted().astype(np.int32), np.ones((1, *SIZE), np.float32)
  )
  assert reopen().results.final[2].key == "new"


def test_probabilities_are_kept_to_8_bits(reopen):
  project = reopen()
  probs = np.random.default_rng(0).random((2, *SIZE)).astype(np.float32)
  project.paint(0, np.maximum(painted(1), painted(6, 20)), [1, 6])
  project.results.record(5, found(objects=(1, 6)), painted().astype(np.int32), probs)
  project.results.record_backward(
    5, found(objects=(1, 6)), painted(6).astype(np.int32), probs
  )
  kept = reopen().results.probabilities(5)
  assert set(kept) == {1, 6}
  np.testing.assert_allclose(np.stack([kept[1], kept[6]]), probs, atol=1 / 510 + 1e-6)
  result, labels, backward = reopen().results.backward_result(5)
  assert result.objects == (1, 6)
  np.testing.assert_array_equal(labels, painted(6))
  np.testing.assert_array_equal(np.rint(backward * 255), np.rint(probs * 255))


def test_a_deleted_object_disappears_everywhere(reopen, tmp_path):
  project = reopen()
  both = np.maximum(painted(1), painted(2, 20))
  project.paint(0, both, [1, 2])
  probs = np.stack([both == 1, both == 2]).astype(np.float32)
  project.results.record(1, found(objects=(1, 2)), both.astype(np.int32), probs)
  infos = project.describe()["objects"]
  project.set_objects([info for info in infos if info["id"] == 1])
  for k in (0, 1):
    assert set(np.unique(reopen().labels(k))) == {0, 1}
  assert reopen().given[0].objects == (1,)


def test_a_video_of_another_length_is_refused(reopen, video_folder, tmp_path):
  reopen().paint(0, painted(), [1])
  shorter = videos.read(video_folder, False)[:5]
  with pytest.raises(ValueError, match="it had 8 frames of 48x32, and has 5 of 48x32"):
    Project(tmp_path, shorter)


def test_a_changed_file_makes_another_version(reopen, video_folder):
  version = reopen().version
  assert reopen().version == version
  path = video_folder / "00003.png"
  before = path.stat()
  os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
  assert reopen().version != version


def test_names_and_colours_are_kept(reopen):
  project = reopen()
  project.paint(0, painted(), [1])
  info = project.describe()["objects"][0] | {"name": "Schwan ü", "color": "#00ff7f"}
  project.set_objects([info | {"locked": True}])
  assert reopen().describe()["objects"] == [info | {"locked": True}]


@pytest.mark.parametrize(
  "content", ["", "{", "[]", '{"format": 99, "video": "x"}', '{"format": 1}']
)
def test_a_file_of_another_kind_is_refused_by_name(tmp_path, content):
  (tmp_path / projects.PROJECT_FILE).write_text(content)
  with pytest.raises(ValueError, match=r"project\.json: is not a project"):
    projects.read_json(tmp_path)


def test_the_file_is_plain_json(reopen, tmp_path):
  reopen().paint(0, painted(), [1])
  value = json.loads((tmp_path / projects.PROJECT_FILE).read_text())
  assert value["objects"][0]["name"] == "Object 1"


PAINTER = """
import sys, numpy as np, pathlib
from vosjax.app import projects, videos
project = projects.Project(
  pathlib.Path(sys.argv[1]), videos.read(pathlib.Path(sys.argv[2]), False)
)
for k in range(10_000):
  labels = np.full(project.video.size, 1 + k % 200, np.uint8)
  project.paint(k % 8, labels, [1 + k % 200])
  print(k, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill_at_any_moment(
  reopen, video_folder, tmp_path
):
  command = [sys.executable, "-c", PAINTER, str(tmp_path), str(video_folder)]
  environment = os.environ | {"PYTHONPATH": str(ROOT)}
  process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
  for _ in range(30):  # the rest is painted while the kill is on its way
    process.stdout.readline()
  process.kill()
  seen = [int(line) for line in process.stdout.read().split()]
  process.stdout.close()
  process.wait()
  last = max([29, *seen])
  project = reopen()
  for k in range(last - 6, last + 1):
    value = project.labels(k % 8).max()
    assert value in (1 + k % 200, 1 + (k + 8) % 200), k
