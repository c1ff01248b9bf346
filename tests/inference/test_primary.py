"""The primary object is guessed and followed back; most of the guesses decide."""

import dataclasses
import types

import numpy as np
import pytest

from vosjax import metrics, weights
from vosjax.data import synthvos
from vosjax.inference import primary
from vosjax.inference.engine import VideoSegmenter
from vosjax.labels import find_ids

SIZE = (24, 40)


def video(length, size=SIZE):
  """Frames whose first pixel is their number."""
  frames = np.zeros((length, *size, 3), np.uint8)
  frames[:, 0, 0, 0] = np.arange(length)
  return frames


def square(column, size=SIZE, side=8):
  mask = np.zeros(size, bool)
  mask[8 : 8 + side, column : column + side] = True
  return mask


class Finder(VideoSegmenter):
  """Finds what `guess` says for the number of a frame; counts frames."""

  def __init__(self, guess):
    self.guess, self.seen = guess, []

  def run(self, frames):
    for frame in frames:
      self.seen.append(int(frame[0, 0, 0]))
      yield types.SimpleNamespace(labels=self.guess(self.seen[-1]).astype(np.int32))


class Follower(VideoSegmenter):
  """Copies the mask, as an object that is there from frame `first` on."""

  def __init__(self, first=0):
    self.first, self.runs = first, []

  def run(self, frames, mask):
    numbers = [int(frame[0, 0, 0]) for frame in frames]
    self.runs.append(numbers)
    for number in numbers:
      yield types.SimpleNamespace(probs=(mask * (number >= self.first))[None] * 0.9)


def test_most_of_four_guesses_decide_on_the_first_frame():
  right, wrong = square(4), square(24)
  finder = Finder(lambda number: wrong if number < 12 else right)
  follower = Follower()
  ticks = []
  number, labels = primary.find_primary(
    video(60), finder, follower, progress=lambda: ticks.append(1)
  )
  assert number == 0
  np.testing.assert_array_equal(labels, right)
  assert finder.seen == list(range(48))  # one section was enough
  assert follower.runs == [list(range(guess, -1, -1)) for guess in (6, 18, 30, 42)]
  assert len(ticks) == 48 + 7 + 19 + 31 + 43


@pytest.mark.parametrize("first", [0, 20, 45])
def test_guesses_are_spread_over_the_frames_in_which_an_object_is_seen(first):
  """Which may be the last ones of a section."""
  empty = np.zeros(SIZE, bool)
  finder = Finder(lambda number: square(4) if number >= first else empty)
  follower = Follower(first)
  number, _ = primary.find_primary(video(48), finder, follower)
  assert number == first
  assert len(follower.runs) == min(4, 48 - first)
  assert all(run[0] >= first for run in follower.runs)


def test_where_guesses_disagree_the_one_that_overlaps_most_counts():
  """No two of them agree on half of the pixels of any; 1 and 2 overlap most."""
  columns = {6: 0, 18: 12, 30: 15, 42: 30}
  finder = Finder(lambda number: square(columns.get(number, 0)))
  number, labels = primary.find_primary(video(48), finder, Follower())
  assert number == 0
  overlap = [(labels > 0)[square(columns[guess])].mean() for guess in (18, 30)]
  assert max(overlap) == 1 and min(overlap) < 1


def test_a_tie_is_no_majority():
  """Two guesses against two: later frames, which fewer of them reach, do not decide."""
  finder = Finder(lambda number: square(4) if number < 24 else square(24))
  number, labels = primary.find_primary(video(48), finder, Follower())
  assert number == 0
  assert (labels > 0).sum() == square(4).sum()


def test_an_object_may_appear_later():
  number, labels = primary.find_primary(
    video(60), Finder(lambda _: square(4)), Follower(first=20)
  )
  assert number == 20
  np.testing.assert_array_equal(labels, square(4))


def test_later_sections_are_searched_where_the_first_shows_nothing():
  empty = np.zeros(SIZE, bool)
  finder = Finder(lambda number: square(4) if number >= 50 else empty)
  number, _ = primary.find_primary(video(60), finder, Follower(first=50))
  assert number == 50
  assert primary.find_primary(video(60), Finder(lambda _: empty), Follower()) is None


def test_a_single_frame_is_its_own_guess():
  number, labels = primary.find_primary(
    video(1), Finder(lambda _: square(4)), Follower()
  )
  assert number == 0
  np.testing.assert_array_equal(labels, square(4))


@pytest.mark.parametrize("size", [(480, 640), (640, 480)])
def test_large_frames_are_searched_at_a_smaller_size(size):
  small = (240, 320) if size[0] < size[1] else (320, 240)
  seen = []

  class Small(Finder):
    def run(self, frames):
      seen.extend(frame.shape for frame in frames)
      return super().run(frames)

  finder = Small(lambda _: square(60, small, 20))
  _, labels = primary.find_primary(video(2, size), finder, Follower())
  assert seen == [(*small, 3)] * 2
  assert labels.shape == size
  rows, columns = np.nonzero(labels)  # twice as large
  assert (rows.min(), rows.max()) == pytest.approx((16, 55), abs=2)
  assert (columns.min(), columns.max()) == pytest.approx((120, 159), abs=2)


@pytest.mark.slow
def test_the_weights_in_the_package_find_a_drawn_object():
  """A subject near the middle of the frame, before background things at rest."""
  settings = dataclasses.asdict(synthvos.PRIMARY)
  source = synthvos.SynthVos(
    size=(240, 432), length=12, seed=1, num_videos=4, **settings
  )
  frames, truth = source[0].clip(0, 12)
  finder, follower = (
    VideoSegmenter(*weights.load(name)) for name in ("cosnet-lite", "agame-lite")
  )
  number, labels = primary.find_primary(frames, finder, follower)
  ids = find_ids(truth[number])
  best = max(metrics.region_similarity(labels > 0, truth[number] == i) for i in ids)
  assert best > 0.8
