"""Parts of videos as videos, and parts of sources as sources."""

import dataclasses

import numpy as np
import pytest

from vosjax.data.cache import ArrayVideo
from vosjax.data.records.videos import EncodedFrame, PreparedVideo
from vosjax.data.transforms.clips import WholeClip
from vosjax.data.video import Source
from vosjax.data.views import EveryFrame, FrameSubset, SuccessiveClips

RNG = np.random.default_rng


def test_a_view_shows_some_frames_of_a_video():
  frames = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones(
    (2, 3, 3), np.uint8
  )
  video = ArrayVideo("v", tuple("abcde"), frames, frames[..., 0], {1: 7})
  view = FrameSubset(video, (4, 1))
  assert (view.name, view.frame_names, len(view)) == ("v", ("e", "b"), 2)
  assert (view.size, view.classes, view.categories) == ((2, 3), {1: 7}, {})
  assert [view.frame(t)[0, 0, 0] for t in range(2)] == [4, 1]
  assert [view.labels(t)[0, 0] for t in range(2)] == [4, 1]


@dataclasses.dataclass(frozen=True)
class Sparse(ArrayVideo):
  """A video of which some frames are annotated."""

  annotated_frames: tuple = ()


def video(name, length, annotated=None):
  frames = np.zeros((length, 4, 6, 3), np.uint8)
  frames += np.arange(length, dtype=np.uint8)[:, None, None, None]
  arrays = frames, frames[..., 0]
  names = tuple(f"{t:05d}" for t in range(length))
  if annotated is None:
    return ArrayVideo(name, names, *arrays)
  return Sparse(name, names, *arrays, annotated_frames=annotated)


class Videos(Source):
  """Videos in memory."""

  def __init__(self, *videos):
    self._videos = videos

  def __len__(self):
    return len(self._videos)

  def __getitem__(self, index):
    return self._videos[index]


def frames_of(source):
  clips = (WholeClip().random_map(item, RNG(0)) for item in source)
  return [(c["name"], np.asarray(c["frames"])[:, 0, 0, 0].tolist()) for c in clips]


def test_clips_are_consecutive_and_leave_the_rest_out():
  clips = SuccessiveClips(Videos(video("a", 7), video("short", 2), video("b", 3)), 3)
  assert len(clips) == 3
  assert frames_of(clips[i] for i in range(3)) == [
    ("a/00000", [0, 1, 2]),
    ("a/00003", [3, 4, 5]),
    ("b/00000", [0, 1, 2]),
  ]


@pytest.mark.parametrize("annotated", [(0, 5, 10, 15)])
def test_frames_without_annotation_are_skipped(annotated):
  clips = SuccessiveClips(Videos(video("a", 20, annotated)), 2)
  assert frames_of(clips[i] for i in range(2)) == [
    ("a/00000", [0, 5]),
    ("a/00010", [10, 15]),
  ]


def test_prepared_frames_without_annotation_are_skipped():
  frames = tuple(
    EncodedFrame(f"{t:05d}", b"jpeg", b"png" if t % 5 == 0 else b"") for t in range(20)
  )
  clips = SuccessiveClips(Videos(PreparedVideo("a", frames, "nowhere")), 2)
  assert [clip.indices for clip in clips] == [(0, 5), (10, 15)]


def test_an_epoch_shows_every_frame_once():
  videos = Videos(video("a", 3), video("b", 1), video("c", 2))
  source = EveryFrame(videos)
  targets = [(source[i].name, *source[i].indices) for i in range(len(source))]
  assert targets == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("c", 0), ("c", 1)]
  for index in (-1, 6):
    with pytest.raises(IndexError):
      source[index]
