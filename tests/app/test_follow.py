"""Following gives what `VideoSegmenter.run` gives, and computes nothing twice."""

import numpy as np
import pytest

from vosjax.app import projects, videos
from vosjax.app.follow import Follower

PATIENCE = 60.0


@pytest.fixture
def make(segmenter, video_folder, tmp_path):
  """Opens the project of the video, as a new server would."""
  video = videos.read(video_folder, False)
  written, made = [], []

  def announce(frame):
    if frame is not None:
      written.append(frame)

  def open_project():
    if not (tmp_path / projects.PROJECT_FILE).exists():
      value = {"format": projects.FORMAT, "video": str(video_folder)}
      projects.write_json(tmp_path, value)
    project = projects.Project(tmp_path, video)
    made.append(project)
    return project, Follower(segmenter, "tiny", project, video, announce), written

  yield open_project
  for project in made:
    project.close()


def follow(follower, direction):
  follower.start(direction)
  follower.wait(PATIENCE)
  assert follower.status.state == "done", follower.status


def square(frame, height=32, width=48, value=1):
  labels = np.zeros((height, width), np.uint8)
  labels[8:20, 4 + 3 * frame : 16 + 3 * frame] = value
  return labels


def expected(segmenter, project, direction):
  """Labels by `run`, with what is painted as prompts."""
  prompts = {k: project.given_labels(k) for k, one in project.given.items()}
  results = segmenter.run(project.video, prompts=prompts, direction=direction)
  return [result.labels for result in results]


def check(segmenter, project, direction):
  for k, labels in enumerate(expected(segmenter, project, direction)):
    np.testing.assert_array_equal(project.labels(k), labels, err_msg=f"frame {k}")


@pytest.mark.parametrize(
  ("direction", "frames"),
  [
    ("forward", [0]),
    ("forward", [2, 5]),
    ("backward", [2, 6]),
    ("both", [3]),
    ("both", [1, 6]),
  ],
)
def test_results_equal_those_of_run(segmenter, make, direction, frames):
  project, follower, _ = make()
  for k in frames:
    project.paint(k, square(k), [1])
  follow(follower, direction)
  check(segmenter, project, direction)


def test_two_objects_given_in_different_frames_are_mixed_as_run_does(segmenter, make):
  project, follower, _ = make()
  for k, value in ((0, 1), (4, 1), (2, 7), (6, 7)):
    labels = np.where(square(k, value=value), value, 0).astype(np.uint8)
    project.paint(k, np.roll(labels, value, axis=0), [value])
  follow(follower, "both")
  check(segmenter, project, "both")
  # Backward from 6 to 0, forward from 0 to 7, and no more than that is mixed.
  assert follower.status.left == 0 and 8 < follower.status.steps <= 15


def test_a_correction_changes_only_what_comes_after_it(segmenter, make):
  project, follower, written = make()
  project.paint(0, square(0), [1])
  follow(follower, "forward")
  assert written == list(range(8))
  assert follower.fresh() == (list(range(8)), 8)
  before = [project.labels(k) for k in range(8)]
  written.clear()
  project.paint(5, square(5), [1])
  assert follower.fresh() == ([0, 1, 2, 3, 4], 8)
  follow(follower, "forward")
  assert written == [5, 6, 7]
  check(segmenter, project, "forward")
  for k in range(5):
    np.testing.assert_array_equal(project.labels(k), before[k])


def test_another_direction_needs_only_what_it_changes(segmenter, make):
  project, follower, written = make()
  project.paint(2, square(2), [1])
  project.paint(5, square(5), [1])
  follow(follower, "forward")
  written.clear()
  follow(follower, "both")
  # The backward pass from 5 to 0, then what is mixed: 5 to 7 stay as they are.
  assert written == [5, 4, 3, 2, 1, 0, 3, 4] or written == [4, 3, 2, 1, 0, 3, 4]
  check(segmenter, project, "both")


def test_taking_a_correction_back_needs_the_frames_after_it_again(make):
  project, follower, written = make()
  project.paint(0, square(0), [1])
  project.paint(5, square(5), [1])
  follow(follower, "forward")
  written.clear()
  project.paint(5, project.labels(5), [], [1])
  follow(follower, "forward")
  assert written == [5, 6, 7]


def test_a_restarted_server_goes_on_where_it_was_paused(segmenter, make, monkeypatch):
  project, follower, written = make()
  project.paint(0, square(0), [1])
  stop_at(follower, project, 1)
  done = len(written)
  assert 0 < done < 8
  project, follower, written = make()
  assert len(project.results.final) == done
  read = []
  monkeypatch.setattr(
    type(project.video), "_read", recording_read(type(project.video)._read, read)
  )
  follow(follower, "forward")
  assert sorted(written) == list(range(8))  # each frame once
  assert min(read) >= done  # no earlier frame is segmented again
  monkeypatch.undo()
  check(segmenter, project, "forward")


def recording_read(read, numbers):
  def recording(video, index):
    numbers.append(index)
    return read(video, index)

  return recording


def stop_at(follower, project, frame):
  """Pauses while following, once a frame has been written."""
  record = project.results.record

  def recording(index, *rest):
    record(index, *rest)
    if index == frame:
      follower.request_pause()

  project.results.record = recording
  follower.start("forward")
  follower.wait(PATIENCE)
  assert follower.status.state == "paused"


def test_what_is_painted_while_following_is_taken_into_account(segmenter, make):
  project, follower, _ = make()
  project.paint(0, square(0), [1])
  record = project.results.record

  def recording(index, *rest):
    record(index, *rest)
    if index == 4 and 2 not in project.given:
      project.paint(2, square(2), [1])

  project.results.record = recording
  follow(follower, "forward")
  check(segmenter, project, "forward")


def test_an_object_marked_as_absent_has_no_pixel_there(make):
  project, follower, _ = make()
  project.paint(0, square(0), [1])
  project.paint(3, np.zeros_like(square(0)), [1])
  follow(follower, "forward")
  assert not project.labels(3).any()
  assert 3 in project.results.final and len(project.results.final) == 8


def test_nothing_can_be_followed_before_something_is_painted(make):
  _, follower, _ = make()
  with pytest.raises(ValueError, match="nothing is painted yet"):
    follower.start("both")


def test_a_damaged_frame_is_reported_with_its_name(make, monkeypatch):
  project, follower, _ = make()
  project.paint(0, square(0), [1])
  read = type(project.video)._read

  def damaged(video, index):
    if index == 4:
      raise ValueError("00004.png: damaged")
    return read(video, index)

  monkeypatch.setattr(type(project.video), "_read", damaged)
  follower.start("forward")
  follower.wait(PATIENCE)
  assert follower.status.state == "failed"
  assert "00004.png" in follower.status.message
