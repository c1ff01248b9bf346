"""The streaming engine: the scanned step, called frame by frame."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vosjax
from vosjax import models
from vosjax.ops.masks import soft_aggregate


def play(segmenter, frames, labels):
  """Results of all frames after the first."""
  segmenter.start(frames[0], labels)
  return [segmenter.step(frame) for frame in frames[1:]]


@functools.partial(jax.jit, static_argnums=(0, 4))
def scan(model, variables, frames, masks, recurrence):
  """What training would see: the probabilities of all frames after the first."""
  frames = frames[None] / jnp.float32(255)
  clip = models.unroll(
    model, variables, frames, masks[None].astype(jnp.float32), recurrence=recurrence
  )
  active = jnp.ones((1, len(masks)), bool)
  return jax.vmap(lambda logits: soft_aggregate(logits[None], active)[0])(
    clip.predictions.logits[0]
  )


def renumbered(labels, ids, dtype=np.int64):
  return np.array([0, *ids], dtype)[labels]


def assert_close(actual, expected):
  np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("recurrence", ["aggregated", "fine", "coarse"])
def test_streaming_equals_the_scan(tiny, frames, first, recurrence):
  """Unfolded and scanned against folded and called."""
  masks = np.stack([first == i for i in (1, 2, 3)])
  expected = np.asarray(scan(*tiny, frames, masks, recurrence))
  segmenter = vosjax.VideoSegmenter(*tiny, recurrence=recurrence)
  for result, probs in zip(play(segmenter, frames, first), expected):
    assert_close(result.probs, probs[1:])
    sure = np.diff(np.sort(probs, 0)[-2:], axis=0)[0] > 1e-3
    np.testing.assert_array_equal(result.labels[sure], probs.argmax(0)[sure])
    assert sure.mean() > 0.5
    assert len(np.unique(result.labels)) > 1  # else the labels test nothing


def test_recurrences_differ(tiny, frames, first):
  last = [
    play(vosjax.VideoSegmenter(*tiny, recurrence=name), frames, first)[-1].probs
    for name in ("aggregated", "fine", "coarse")
  ]
  assert np.abs(last[0] - last[1]).max() > 1e-3
  assert np.abs(last[1] - last[2]).max() > 1e-3


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint32])
def test_ids_are_any_numbers_in_any_order(tiny, frames, first, dtype):
  """Object i of the first run is object ids[i - 1] of the second."""
  ids = (70_000, 3, 300)
  plain = play(vosjax.VideoSegmenter(*tiny), frames, first)
  segmenter = vosjax.VideoSegmenter(*tiny)
  labels = renumbered(first, ids, dtype)
  given = segmenter.start(frames[0], labels)
  assert given.object_ids == segmenter.object_ids == (3, 300, 70_000)
  np.testing.assert_array_equal(given.labels, labels)
  for frame, before in zip(frames[1:], plain):
    result = segmenter.step(frame)
    assert result.object_ids == (3, 300, 70_000)
    assert_close(result.probs, before.probs[[1, 2, 0]])
    same = result.labels == renumbered(before.labels, ids)
    assert same.mean() > 0.999  # a near tie may fall to another slot
    assert result.labels.dtype.kind == "i"


def test_boolean_masks_are_object_one(tiny, frames, first):
  result = vosjax.VideoSegmenter(*tiny).start(frames[0], first == 2)
  assert result.object_ids == (1,)
  np.testing.assert_array_equal(result.labels == 1, first == 2)


def test_void_is_no_object_and_counts_as_background(tiny, frames, first):
  void = first.copy()
  void[:4] = 255
  segmenter = vosjax.VideoSegmenter(*tiny)
  given = segmenter.start(frames[0], void)
  assert given.object_ids == (1, 2, 3)
  np.testing.assert_array_equal(given.labels, first)
  results = [segmenter.step(frame) for frame in frames[1:]]
  for result, plain in zip(results, play(vosjax.VideoSegmenter(*tiny), frames, first)):
    np.testing.assert_array_equal(result.probs, plain.probs)
  assert segmenter.step(frames[1], np.full(first.shape, 255)).object_ids == (1, 2, 3)


def test_odd_sizes_are_padded_by_reflection_and_cut_back(tiny, frames, first):
  """`ceil(p / 2)` rows in front, the rest behind; columns alike."""
  size = h, w = 27, 41
  frames, first = frames[:, :h, :w], first[:h, :w]
  pads = tuple(((-n % 16 + 1) // 2, (-n % 16) // 2) for n in size)
  padded = np.pad(frames, ((0, 0), *pads, (0, 0)), mode="reflect")
  masks = np.stack([np.pad(first == i, pads, mode="reflect") for i in (1, 2, 3)])
  expected = np.asarray(scan(*tiny, padded, masks, "fine"))[:, 1:]
  segmenter = vosjax.VideoSegmenter(*tiny, recurrence="fine")
  (top, _), (left, _) = pads
  for result, probs in zip(play(segmenter, frames, first), expected):
    assert result.labels.shape == size
    assert_close(result.probs, probs[:, top : top + h, left : left + w])


def test_multiples_of_the_stride_are_not_padded(tiny, frames):
  size = frames.shape[1:3]
  framing = tiny[0].framing(size)
  assert framing.padded_size == size
  x = frames.astype(np.float32)
  np.testing.assert_array_equal(framing.frames(x), x)
  np.testing.assert_array_equal(framing.masks(x[..., 0][None]), x[..., 0][None])


def test_a_late_object_is_predicted_on_its_own_first_frame(tiny, frames, first):
  """Its mask is not pasted: state of the frame, then a prediction on that frame."""
  segmenter = vosjax.VideoSegmenter(*tiny, recurrence="fine")
  play(segmenter, frames[:2], np.where(first == 1, 1, 0))
  segmenter.remove(1)
  late = np.where(first == 2, 6, 0)
  results = [segmenter.step(frames[2], late), segmenter.step(frames[3])]
  expected = scan(*tiny, frames[[2, 2, 3]], (late == 6)[None], "fine")
  for result, probs in zip(results, expected):
    assert_close(result.probs, probs[1:])
  assert (results[0].labels != late).any()


def test_start_forgets_the_video_before(tiny, frames, first):
  segmenter = vosjax.VideoSegmenter(*tiny)
  play(segmenter, frames, first)
  small, labels = frames[:3, :20, :30], np.where(first == 2, 5, 0)[:20, :30]
  again = play(segmenter, small, labels)
  fresh = play(vosjax.VideoSegmenter(*tiny), small, labels)
  for result, expected in zip(again, fresh):
    assert result.object_ids == (5,)
    np.testing.assert_array_equal(result.probs, expected.probs)
    np.testing.assert_array_equal(result.labels, expected.labels)


def test_memory_does_not_grow_with_the_video(tiny, frames, first):
  segmenter = vosjax.VideoSegmenter(*tiny, max_objects=4)
  segmenter.start(frames[0], first)

  new = np.zeros(first.shape, np.int64)
  new[3:11, 3:11] = 9

  def held():
    arrays = jax.live_arrays()
    return len(arrays), sum(array.nbytes for array in arrays)

  seen = set()
  for t in range(60):
    segmenter.step(frames[t % len(frames)], new if t % 7 == 3 else None)
    if t % 7 == 3:
      segmenter.remove(9)
    if t >= 5:
      seen.add(held())
  assert len(seen) == 1


def test_results_outlive_the_next_step(tiny, frames, first):
  """State is given away from step to step; what was returned is not."""
  segmenter = vosjax.VideoSegmenter(*tiny)
  segmenter.start(frames[0], first)
  result = segmenter.step(frames[1])
  labels, probs = result.labels.copy(), np.array(result.probs)
  for frame in frames[2:]:
    segmenter.step(frame)
  np.testing.assert_array_equal(result.labels, labels)
  np.testing.assert_array_equal(result.probs, probs)
