import dataclasses

import numpy as np
import pytest

from vosjax.data.cache import ArrayVideo
from vosjax.data.records.videos import EncodedFrame, PreparedVideo
from vosjax.data.transforms.affine import RandomAffine, SuccessiveClips, WholeClip
from vosjax.data.video import Source

RNG = np.random.default_rng


class Highest(np.random.Generator):
  """A generator that returns the upper end of every range."""

  def uniform(self, low, high, size=None):  # noqa: ARG002
    return high if size is None else np.full(size, high)


def clip(h=20, w=30, t=3):
  labels = RNG(0).integers(0, 9, (t, h, w), np.uint8)
  frames = np.repeat(labels[..., None] * 20, 3, axis=-1)
  return {"frames": frames, "labels": labels, "name": "v/0"}


def expected_source(h, w):
  """The input pixel of each output pixel, from the four maps one after the other."""
  angle, shear = np.deg2rad([10.0, 0.1])
  rows, columns = np.mgrid[:h, :w] - np.array([h / 2 - 0.5, w / 2 - 0.5])[:, None, None]
  rows, columns = 1.4 * rows, 1.4 * columns
  rows, columns = rows - np.sin(shear) * columns, np.cos(shear) * columns
  rows, columns = rows + 0.1 * h, columns + 0.1 * w
  rows, columns = (
    np.cos(angle) * rows - np.sin(angle) * columns,
    np.sin(angle) * rows + np.cos(angle) * columns,
  )
  return (
    np.rint(rows + h / 2 - 0.5).clip(0, h - 1).astype(int),
    np.rint(columns + w / 2 - 0.5).clip(0, w - 1).astype(int),
  )


def test_pixels_come_from_where_the_official_matrix_says():
  given = clip()
  seen = RandomAffine().random_map(given, Highest(np.random.PCG64()))
  rows, columns = expected_source(20, 30)
  np.testing.assert_array_equal(seen["labels"], given["labels"][:, rows, columns])
  np.testing.assert_array_equal(seen["frames"], given["frames"][:, rows, columns])


def test_zoom_above_one_shrinks_and_repeats_the_border():
  given = clip()
  given["labels"][:] = 1
  given["labels"][:, 5:15, 5:25] = 2
  seen = RandomAffine(0.0, 0.0, 0.0, (1.5, 1.5)).random_map(given, RNG(0))["labels"]
  assert 0 < (seen == 2).sum() < (given["labels"] == 2).sum()
  assert (seen[:, 0] == 1).all()


def test_frames_and_labels_move_together_and_draws_differ():
  views = [RandomAffine().random_map(clip(), RNG(i)) for i in range(5)]
  for view in views:
    np.testing.assert_array_equal(view["frames"][..., 0], view["labels"] * 20)
  assert len({view["labels"].tobytes() for view in views}) == 5


def test_ranges_of_zero_change_nothing():
  given = clip()
  seen = RandomAffine(0.0, 0.0, 0.0, (1.0, 1.0)).random_map(given, RNG(0))
  np.testing.assert_array_equal(seen["labels"], given["labels"])


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
  assert [clip.frames for clip in clips] == [(0, 5), (10, 15)]
