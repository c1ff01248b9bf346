"""COSNet's targets, their references and their augmentation."""

import dataclasses

import numpy as np

from vosjax.data.cache import ArrayVideo
from vosjax.data.transforms.pairs import AddReferences, AnyTarget, CropScaleFlip, Jitter
from vosjax.data.views import FrameSubset

SIZE = (20, 30)


def make_video(length, name="v"):
  """Frame t has the gray value t, with object 3 in its corner and void next to it."""
  frames = np.zeros((length, *SIZE, 3), np.uint8)
  frames += np.arange(length, dtype=np.uint8)[:, None, None, None]
  labels = np.zeros((length, *SIZE), np.uint8)
  labels[:, :5, :5], labels[:, :5, 5:8] = 3, 255
  names = tuple(f"{t:05d}" for t in range(length))
  return ArrayVideo(name, names, frames, labels)


def times(clip):
  return clip["frames"][:, 0, 0, 0].tolist()


def sample(count, length=6, time=2, draws=200):
  transform = AddReferences(count)
  target = FrameSubset(make_video(length), (time,))
  return [
    times(transform.random_map(target, np.random.default_rng(i))) for i in range(draws)
  ]


def test_the_augmentation_keeps_contrast_and_a_crop_that_is_all_object():
  frame = np.full((20, 40, 3), 60, np.uint8)
  frame[:, 20:] = 90
  labels = np.ones((20, 40), np.uint8)
  jitter = Jitter(1, 2, 1.3, mirror=True)
  found, mask = CropScaleFlip((20, 40)).apply(frame, labels, jitter)
  assert (found.min(), found.max()) == (60, 90)
  assert mask.all()
  assert found[:, 0].max() == 90  # mirrored
  assert found[:, -1].max() == 60


def test_frames_of_a_pair_change_independently():
  frames = np.arange(2 * 40 * 60 * 3, dtype=np.uint32).astype(np.uint8)
  frames = frames.reshape(2, 40, 60, 3)
  frames[1] = frames[0]
  clip = {"frames": frames, "labels": np.zeros((2, 40, 60), np.uint8), "name": "v"}
  rng = np.random.default_rng(0)
  found = CropScaleFlip((32, 48)).random_map(clip, rng)
  assert found["frames"].shape == (2, 32, 48, 3)
  assert (found["frames"][0] != found["frames"][1]).any()


def test_crops_reach_the_border():
  frame, rng = np.zeros((20, 30, 3), np.uint8), np.random.default_rng(0)
  drawn = [CropScaleFlip(SIZE).draw(frame, rng) for _ in range(200)]
  assert {jitter.row for jitter in drawn} == {0, 1, 2}
  assert {jitter.column for jitter in drawn} == {0, 1, 2, 3}
  assert {jitter.mirror for jitter in drawn} == {False, True}
  scales = [jitter.scale for jitter in drawn]
  assert 0.7 <= min(scales) < 0.73
  assert 1.27 < max(scales) <= 1.3


def test_a_reference_is_another_frame():
  drawn = sample(1)
  assert {first for first, _ in drawn} == {2}
  assert {second for _, second in drawn} == {0, 1, 3, 4, 5}


def test_several_references_are_distinct():
  drawn = sample(2)
  assert all(len(set(clip[1:])) == 2 for clip in drawn)
  assert not any(2 in clip[1:] for clip in drawn)  # the target itself


def test_a_short_video_repeats_its_frames():
  assert sample(2, length=1, time=0, draws=1) == [[0, 0, 0]]
  assert all(set(clip[1:]) == {1} for clip in sample(2, length=2, time=0))


def test_objects_are_merged_and_void_is_background():
  target = FrameSubset(make_video(3), (1,))
  rng = np.random.default_rng(0)
  labels = AddReferences(0).random_map(target, rng)["labels"]
  assert labels.shape == (1, *SIZE)
  assert (labels.sum(), labels.max()) == (25, 1)


def test_frames_without_annotation_are_skipped():
  @dataclasses.dataclass(frozen=True)
  class Sparse(ArrayVideo):
    def labels(self, index):
      return None if index else self.all_labels[0]

  video = make_video(2)
  sparse = Sparse(video.name, video.frame_names, video.frames, video.all_labels)
  rng = np.random.default_rng(0)
  assert AddReferences(0).random_map(FrameSubset(sparse, (0,)), rng) is not None
  assert AddReferences(1).random_map(FrameSubset(sparse, (0,)), rng) is None


def test_any_frame_can_be_a_target():
  video, rng = make_video(4), np.random.default_rng(0)
  assert {AnyTarget().random_map(video, rng).indices[0] for _ in range(50)} == {
    0,
    1,
    2,
    3,
  }
