"""Whole videos: frames are read and encoded in batches, each once, ahead of their turn.

The encoder is replaced, so that these tests compile nothing.
"""

import functools
import itertools
import weakref

import flax.linen as nn
import numpy as np
import pytest

from vosjax.inference import references, whole_video
from vosjax.inference.checks import UsageError
from vosjax.inference.whole_video import encode_video

LENGTH = 9


class Features:
  """Stands for the features of one frame."""

  def __init__(self, number):
    self.number = number


class Video(list):
  """Frames of one pixel that holds their number; reading `broken` ones fails.

  All are returned in the same buffer, as some decoders do.
  """

  def __init__(self, length=LENGTH, broken=()):
    super().__init__(range(length))
    self.broken = broken
    self.buffer = np.zeros((1, 1, 3), np.uint8)

  def __getitem__(self, index):
    if index in self.broken:
      raise OSError(f"{index:05d}.jpg: is cut off")
    self.buffer[:] = index
    return self.buffer


@pytest.fixture(params=[1, 2, 8])
def batch_size(request, monkeypatch):
  monkeypatch.setattr(
    whole_video, "choose_batch_size", lambda count: min(count, request.param)
  )
  return request.param


@pytest.fixture
def encoder(monkeypatch):
  """Notes the frames of each batch, and which images and features are still alive."""

  class Encoder:
    batches = []
    features = weakref.WeakSet()
    images = []  # an entry for each that is alive

  def encode_each(model, variables, frames, size):
    if frames:
      Encoder.batches.append([int(frame[0, 0, 0]) for frame in frames])
    for frame in frames:
      number = int(frame[0, 0, 0])
      Encoder.images.append(number)
      weakref.finalize(frame, Encoder.images.remove, number)
      features = Features(number)
      Encoder.features.add(features)
      yield features

  monkeypatch.setattr(whole_video, "encode_each", encode_each)
  return Encoder


def none(t):
  """References of models that take none."""
  return ()


def encode(video, references_of=none, first=0):
  return encode_video(nn.Module(), {}, video, first, references_of)


def chosen(policy, count, length=LENGTH):
  return functools.partial(references.choose, policy, count, length, seed=4)


POLICIES = [
  ("uniform", 0),
  ("uniform", 3),
  ("random", 3),
  ("consecutive", 2),
  ("consecutive", 3),
  ("consecutive", 7),
  ("uniform", "all"),
]


@pytest.mark.parametrize(("policy", "count"), POLICIES)
def test_each_frame_finds_its_references_in_their_places(
  policy, count, batch_size, encoder
):
  references_of = chosen(policy, count)
  places = [0] * len(references_of(0))  # a new state has the first frame everywhere
  for t, frame in enumerate(encode(Video(), references_of)):
    assert frame.image[0, 0, 0] == frame.features.number == t
    for place, features in frame.references.items():
      places[place] = features.number
    assert sorted(places) == list(references_of(t))
  assert t == LENGTH - 1


@pytest.mark.parametrize(("policy", "count"), POLICIES)
def test_each_frame_is_encoded_once_in_full_batches(policy, count, batch_size, encoder):
  assert len(list(encode(Video(), chosen(policy, count)))) == LENGTH
  encoded = list(itertools.chain(*encoder.batches))
  assert sorted(encoded) == list(range(LENGTH))
  assert all(len(batch) % batch_size == 0 for batch in encoder.batches[:-1])


def test_a_video_can_begin_late(batch_size, encoder):
  frames = list(encode(Video(broken=(0, 1)), first=2))
  assert [frame.features.number for frame in frames] == list(range(2, LENGTH))
  assert not any(frame.references for frame in frames)


@pytest.mark.parametrize("count", [1, 3, "all"])
def test_the_only_frame_is_its_own_reference(count, encoder):
  (frame,) = encode(Video(1), chosen("consecutive", count, 1))
  assert frame.references == {}  # a new state has it already


@pytest.mark.parametrize(
  ("references_of", "num_encoded"),
  [
    (none, 3),
    (chosen("consecutive", 1), 2),
    (chosen("consecutive", 2), 2),
    (chosen("uniform", "all"), 0),
  ],
)
def test_frames_that_can_do_without_a_broken_one_come_first(
  references_of, num_encoded, batch_size, encoder
):
  frames = encode(Video(broken=(3,)), references_of)
  for t in range(num_encoded):
    assert next(frames).features.number == t
  with pytest.raises(OSError, match=r"00003.jpg: is cut off"):
    next(frames)


def test_a_frame_of_another_size_is_named(batch_size, encoder):
  images = [np.zeros((2, 3, 3), np.uint8)] * 2 + [np.zeros((1, 3, 3), np.uint8)]
  frames = encode(images)
  next(frames), next(frames)
  with pytest.raises(UsageError, match="frame 2 is 1x3 but the video began with 2x3"):
    next(frames)


@pytest.mark.parametrize(
  ("policy", "count", "constant"),
  [
    ("uniform", 2, True),
    ("random", 2, True),
    ("consecutive", 3, True),
    ("uniform", 0, True),
    ("uniform", "all", False),
  ],
)
def test_frames_and_features_are_dropped_when_no_later_frame_needs_them(
  policy, count, constant, batch_size, encoder
):
  def peak(length):
    frames = encode(Video(length), chosen(policy, count, length))
    alive = [(len(encoder.images), len(encoder.features)) for _ in frames]
    return np.max(alive, axis=0)

  (few_images, few_features), (images, features) = peak(20), peak(60)
  assert few_images > 0
  if constant:
    assert images <= few_images + 1 and features <= few_features + 1
    assert features <= 2 + 4 + batch_size
  else:
    assert features == 60
