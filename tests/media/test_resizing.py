"""Smaller frames for the network and masks back at the full size."""

import threading

import numpy as np
import pytest

from vosjax.media import resizing

FULL, SMALL = (96, 162), (32, 54)


def disc(size, y=0.5, x=0.45, radius=0.31):
  rows, columns = np.mgrid[: size[0], : size[1]]
  height = size[0]
  distance = np.hypot(rows + 0.5 - y * height, columns + 0.5 - x * size[1])
  return distance < radius * height


def star(size=FULL):
  """An object with thin points, which a small mask cannot show."""
  rows, columns = np.mgrid[: size[0], : size[1]]
  y, x = rows + 0.5 - size[0] / 2, columns + 0.5 - size[1] / 2
  radius = size[0] * (0.28 + 0.13 * np.cos(9 * np.arctan2(y, x)))
  return np.hypot(y, x) < radius


def scene(mask, seed=0):
  """A frame in which the object is darker than a noisy background."""
  noise = np.random.default_rng(seed).normal(0, 6, (*mask.shape, 3))
  light = np.where(mask, 70.0, 160.0)[..., None] + [0, 10, -10]
  return (light + noise).clip(0, 255).astype(np.uint8)


def reduce_mask(mask):
  return mask.reshape(SMALL[0], 3, SMALL[1], 3).mean((1, 3)).astype(np.float32)


def bilinear(prob):
  return resizing._resize(
    prob, FULL, (slice(0, FULL[0]), slice(0, FULL[1])), resizing.Resampling.BILINEAR
  )


def jaccard(a, b):
  return (a & b).sum() / (a | b).sum()


def test_the_long_side_is_bounded_and_the_shape_kept():
  assert resizing.reduced_size((1080, 1920), 960) == (540, 960)
  assert resizing.reduced_size((1920, 1080), 960) == (960, 540)
  assert resizing.reduced_size((480, 854), 854) == (480, 854)
  assert resizing.reduced_size((480, 854), 2000) == (480, 854)
  with pytest.raises(ValueError, match="--max-size 3: expected at least 16"):
    resizing.reduced_size((480, 854), 3)


def test_enlarged_edges_follow_the_image():
  truth = star()
  prob = reduce_mask(truth)
  labels = (prob > 0.5).astype(np.int32)
  found, probs = resizing.enlarge(labels, (1,), prob[None], scene(truth))
  plain = jaccard(bilinear(prob) > 0.5, truth)
  assert jaccard(found == 1, truth) > 1 - 0.5 * (1 - plain)
  np.testing.assert_array_equal(found == 1, probs[0] > 0.5)
  assert probs.dtype == np.float32 and probs.min() >= 0 and probs.max() <= 1


def test_without_edges_in_the_image_the_mask_is_only_enlarged():
  prob = reduce_mask(disc(FULL))
  flat = np.full((*FULL, 3), 120, np.uint8)
  labels = (prob > 0.5).astype(np.int32)
  found, _ = resizing.enlarge(labels, (1,), prob[None], flat)
  assert jaccard(found == 1, bilinear(prob) > 0.5) > 0.97


def test_labels_survive_a_network_whose_objects_overlap():
  """The labels decide where probabilities say something else, or several things."""
  left, right = disc(FULL, x=0.4), disc(FULL, x=0.55)
  truth = np.where(left, 3, np.where(right, 8, 0))
  labels = truth[1::3, 1::3].astype(np.int32)
  probs = np.stack([reduce_mask(left), reduce_mask(right)]) * 0.9
  found, _ = resizing.enlarge(labels, (3, 8), probs, scene(left | right))
  assert (found == truth).mean() > 0.985
  none = np.zeros_like(labels)
  found, _ = resizing.enlarge(none, (3, 8), probs, scene(left | right))
  assert (found > 0).mean() < 0.01


def test_a_frame_without_objects_stays_background():
  empty = np.zeros(SMALL, np.int32)
  for ids in ((), (4,)):
    probs = np.zeros((len(ids), *SMALL), np.float32)
    labels, large = resizing.enlarge(empty, ids, probs, scene(disc(FULL)))
    assert not labels.any() and large.shape == (len(ids), *FULL) and not large.any()


def test_frames_are_reduced_and_taken_at_full_size_once_read():
  frames, read = [scene(disc(FULL), seed) for seed in range(50)], []

  class Video:
    def __len__(self):
      return len(frames)

    def __getitem__(self, index):
      read.append(index)
      return frames[index]

  reduced = resizing.ReducedFrames(Video(), SMALL)
  assert len(reduced) == 50
  expected = frames[3].reshape(SMALL[0], 3, SMALL[1], 3, 3).mean((1, 3))
  np.testing.assert_allclose(reduced[3], expected, atol=1)
  np.testing.assert_array_equal(reduced.take(3), frames[3])
  assert read == [3]
  thread = threading.Thread(target=lambda: [reduced[index] for index in range(50)])
  thread.start()
  thread.join()
  np.testing.assert_array_equal(reduced.take(0), frames[0])  # forgotten: read again
  assert read == [3, *range(50), 0]


def test_labels_are_reduced_without_new_values():
  labels = np.where(disc(FULL), 200, 0)
  small = resizing.reduce_labels(labels, SMALL)
  assert small.shape == SMALL and set(np.unique(small)) == {0, 200}
