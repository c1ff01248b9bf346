"""A project on disk is complete up to the latest stroke, whatever ends the server."""

import errno
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
from vosjax.data.codecs import label_images

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
  project.paint(2, project.labels(2), [], [1])
  np.testing.assert_array_equal(project.labels(2), segmented)
  assert 2 not in reopen().given


def test_an_object_without_a_pixel_is_absent(reopen):
  project = reopen()
  project.paint(1, painted(), [1, 4])
  assert (project.given[1].objects, project.given[1].absent) == ((1,), (4,))
  assert reopen().given == project.given
  project.paint(1, np.zeros(SIZE, np.uint8), [4], [1])
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


@pytest.mark.parametrize("part", ["masks", "backward"])
@pytest.mark.parametrize("step", ["_put", "_line"])
def test_a_key_never_outlives_the_pixels_it_is_of(reopen, monkeypatch, part, step):
  probs = np.ones((1, *SIZE), np.float32)

  def record(project, key, value):
    labels = painted(value).astype(np.int32)
    if part == "masks":
      project.results.record(5, found(key), labels, probs)
    else:
      project.results.record_backward(5, found(key), labels, probs)

  project = reopen()
  record(project, "old", 1)
  monkeypatch.setattr(results.Results, step, _killed)
  with pytest.raises(SystemExit):
    record(project, "new", 2)
  monkeypatch.undo()
  project = reopen()
  assert not project.results.final and not project.results.backward
  for key in ("new", "newest"):
    record(project, key, 2)
  kept = reopen().results
  assert (kept.final if part == "masks" else kept.backward)[5].key == "newest"


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
  project.delete_object(2)
  for k in (0, 1):
    assert set(np.unique(reopen().labels(k))) == {0, 1}
  again = reopen()
  assert again.given[0].objects == (1,) and set(again.objects) == {1}
  assert again.describe()["results"][1]["objects"] == [1]
  with pytest.raises(KeyError):
    again.delete_object(9)


@pytest.mark.parametrize(
  "change",
  [
    lambda project: project.paint(0, painted(1, 30), [1]),
    lambda project: project.paint(0, painted(0), [1]),  # erased
    lambda project: project.paint(0, painted(1), [], [1]),  # released
    lambda project: project.paint(2, painted(1), [1]),
    lambda project: project.paint(0, painted(2), [2]),  # over what was painted
    lambda project: project.paint(1, painted(2, 9), [2]),  # over what was followed
    lambda project: project.delete_object(1),
  ],
)
def test_nothing_changes_a_locked_object(reopen, change):
  project = reopen()
  project.paint(0, painted(1), [1])
  followed = painted(1, 9).astype(np.int32)
  project.results.record(1, found(), followed, (followed == 1)[None].astype(np.float32))
  info = project.describe()["objects"][0] | {"name": "Swan", "locked": True}
  project.update_objects([info])
  before = [project.labels(k) for k in range(3)]
  with pytest.raises(ValueError, match="Swan is locked.*: unlock it to change it"):
    change(project)
  for k, labels in enumerate(before):
    np.testing.assert_array_equal(reopen().labels(k), labels)
  project.paint(0, np.maximum(painted(1), painted(2, 20)), [2])  # beside it
  project.update_objects([info | {"locked": False}])
  change(project)


def test_an_object_that_a_window_does_not_know_stays(reopen):
  project = reopen()
  project.paint(0, np.maximum(painted(1), painted(2, 20)), [1, 2])
  info = project.describe()["objects"][0] | {"hidden": True}
  project.update_objects([info])
  again = reopen()
  assert again.given[0].objects == (1, 2) and set(again.objects) == {1, 2}
  assert again.objects[1].hidden


def test_a_stroke_leaves_what_another_window_painted(reopen):
  project = reopen()
  project.paint(0, painted(1), [1])
  project.paint(0, painted(2, 20), [2])  # by a window that does not show object 1
  both = np.maximum(painted(1), painted(2, 20))
  np.testing.assert_array_equal(reopen().labels(0), both)
  project.paint(0, np.zeros(SIZE, np.uint8), [], [2])
  assert reopen().given[0].objects == (1,)


def test_the_id_of_a_deleted_object_is_not_used_again(reopen):
  project = reopen()
  project.paint(0, np.maximum(painted(1), painted(2, 20)), [1, 2])
  info = project.describe()["objects"][1]
  project.delete_object(2)
  for again in (project, reopen()):
    with pytest.raises(ValueError, match="object 2 was deleted"):
      again.paint(0, painted(2), [2])
    with pytest.raises(ValueError, match="object 2 was deleted"):
      again.update_objects([info])
  assert again.describe()["deleted"] == [2]


def test_a_full_disk_while_an_object_is_deleted_leaves_nothing_of_it(
  reopen, monkeypatch
):
  project = reopen()
  for index in (0, 1):
    labels = np.zeros(project.video.size, np.uint8)
    labels[:4], labels[4:8] = 1, 2
    project.paint(index, labels, [1, 2])

  def full(path, labels):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  with monkeypatch.context() as patched:
    patched.setattr(projects, "write_labels", full)
    with pytest.raises(OSError, match="No space left"):
      project.delete_object(2)
  for index in (0, 1):
    assert 2 not in project.labels(index) and 2 not in project.given[index].objects
  prompts = project.prompts(project.given)
  assert all(2 not in labels for labels in prompts.values())
  again = reopen()
  assert 2 not in label_images.read_labels(again._given_path(1))


def test_a_kill_while_an_object_is_deleted_leaves_nothing_of_it(reopen, monkeypatch):
  project = reopen()
  project.paint(0, np.maximum(painted(1), painted(2, 20)), [1, 2])
  project.paint(1, painted(2), [1, 2])
  monkeypatch.setattr(projects.Project, "_write_given", _killed)
  with pytest.raises(SystemExit):
    project.delete_object(2)
  monkeypatch.undo()
  again = reopen()
  assert (again.given[0].objects, again.given[0].absent) == ((1,), ())
  assert (again.given[1].objects, again.given[1].absent) == ((), (1,))
  assert set(again.objects) == {1} and again.labels(1).max() == 0


def _killed(*_):
  raise SystemExit


@pytest.mark.parametrize("step", ["_write_given", "_list", "_save"])
def test_a_kill_between_two_files_loses_nothing(reopen, monkeypatch, step):
  project = reopen()
  project.paint(0, np.maximum(painted(1), painted(2, 20)), [1, 2, 4])
  monkeypatch.setattr(projects.Project, step, _killed)
  with pytest.raises(SystemExit):
    project.paint(0, np.maximum(painted(3, 12), painted(4, 36)), [1, 3, 4])
  monkeypatch.undo()
  again = reopen()
  given = again.given[0]
  if step == "_write_given":  # as before the stroke
    assert (given.objects, given.absent) == ((1, 2), (4,))
  else:
    assert (given.objects, given.absent) == ((2, 3, 4), (1,))
  assert set(again.objects) >= {*given.objects, *given.absent}


@pytest.mark.parametrize("change", [{"id": True}, {"name": "\ud83d"}])
def test_what_cannot_be_kept_is_refused(reopen, change):
  project = reopen()
  project.paint(0, painted(), [1])
  info = project.describe()["objects"][0] | change
  with pytest.raises(ValueError, match="expected an id from 1 to 254"):
    project.update_objects([info])


def test_a_project_is_described_while_results_come(reopen, monkeypatch):
  project = reopen()
  project.results.final.update({k: found() for k in range(4)})
  describe = Project._describe

  def and_another_comes(self, result):
    self.results.final[len(self.results.final)] = found()
    return describe(self, result)

  monkeypatch.setattr(Project, "_describe", and_another_comes)
  assert set(project.describe()["results"]) == {0, 1, 2, 3}
  project.paint(0, painted(), [1])
  for _ in project.given:  # as an export does
    project.paint(1, painted(), [1])


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
  project.update_objects([info | {"locked": True}])
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
