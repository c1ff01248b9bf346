"""The streaming engine equals the scan that training uses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vosjax
from vosjax import models
from vosjax.inference import programs
from vosjax.ops.masks import soft_aggregate


def play(segmenter, frames, labels):
  """The results of all frames after the first."""
  segmenter.start(frames[0], labels)
  return [segmenter.step(frame) for frame in frames[1:]]


@functools.partial(jax.jit, static_argnums=(0, 4))
def scan(model, variables, frames, masks, recurrence):
  """Logits of all frames after the first, as in training."""
  frames = frames[None] / jnp.float32(255)
  clip = models.unroll(
    model, variables, frames, masks[None].astype(jnp.float32), recurrence=recurrence
  )
  return clip.predictions.logits[0]


@jax.jit
def compete(logits):
  """Probabilities [t o h w] of background and objects."""
  active = jnp.ones((1, logits.shape[1]), bool)
  return jax.vmap(lambda frame: soft_aggregate(frame[None], active)[0])(logits)


def renumbered(labels, ids, dtype=np.int64):
  return np.array([0, *ids], dtype)[labels]


def assert_close(actual, expected):
  np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("recurrence", ["aggregated", "fine", "coarse"])
def test_streaming_equals_the_scan(tiny, frames, first, recurrence):
  """The unfolded model under a scan, against the folded one called frame by frame."""
  masks = np.stack([first == i for i in (1, 2, 3)])
  expected = np.asarray(compete(scan(*tiny, frames, masks, recurrence)))
  segmenter = vosjax.VideoSegmenter(*tiny, recurrence=recurrence)
  for result, probs in zip(play(segmenter, frames, first), expected):
    assert_close(result.probs, probs[1:])
    clear = np.diff(np.sort(probs, 0)[-2:], axis=0)[0] > 1e-3
    np.testing.assert_array_equal(result.labels[clear], probs.argmax(0)[clear])
    assert clear.mean() > 0.5
    assert len(np.unique(result.labels)) > 1  # otherwise labels would test nothing


def test_recurrences_differ(tiny, frames, first):
  last = [
    play(vosjax.VideoSegmenter(*tiny, recurrence=name), frames, first)[-1].probs
    for name in ("aggregated", "fine", "coarse")
  ]
  assert np.abs(last[0] - last[1]).max() > 1e-3
  assert np.abs(last[1] - last[2]).max() > 1e-3


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint32])
def test_ids_can_be_any_numbers_in_any_order(tiny, frames, first, dtype):
  """Object i of the first video is object ids[i - 1] of the second."""
  ids = (70_000, 3, 300)
  plain = play(vosjax.VideoSegmenter(*tiny), frames, first)
  segmenter = vosjax.VideoSegmenter(*tiny)
  labels = renumbered(first, ids, dtype)
  started = segmenter.start(frames[0], labels)
  assert started.object_ids == segmenter.object_ids == (3, 300, 70_000)
  np.testing.assert_array_equal(started.labels, labels)
  for frame, expected in zip(frames[1:], plain):
    result = segmenter.step(frame)
    assert result.object_ids == (3, 300, 70_000)
    assert_close(result.probs, expected.probs[[1, 2, 0]])
    same = result.labels == renumbered(expected.labels, ids)
    assert same.mean() > 0.999  # near ties may go to another slot
    for labels in (result.labels, expected.labels):  # the latter need no look-up
      assert labels.dtype == np.int32 and labels.flags.writeable


def test_a_boolean_mask_is_object_1(tiny, frames, first):
  result = vosjax.VideoSegmenter(*tiny, max_objects=3).start(frames[0], first == 2)
  assert result.object_ids == (1,)
  np.testing.assert_array_equal(result.labels == 1, first == 2)


def test_void_is_treated_as_background(tiny, frames, first):
  void = first.copy()
  void[:4] = 255
  segmenter = vosjax.VideoSegmenter(*tiny)
  started = segmenter.start(frames[0], void)
  assert started.object_ids == (1, 2, 3)
  np.testing.assert_array_equal(started.labels, first)
  results = [segmenter.step(frame) for frame in frames[1:]]
  for result, plain in zip(results, play(vosjax.VideoSegmenter(*tiny), frames, first)):
    np.testing.assert_array_equal(result.probs, plain.probs)
  assert segmenter.step(frames[1], np.full(first.shape, 255)).object_ids == (1, 2, 3)


def test_odd_sizes_are_padded_by_reflection_and_cropped_back(tiny, frames, first):
  """Of p rows, ceil(p / 2) are added above and the rest below; likewise columns."""
  size = h, w = 27, 41
  frames, first = frames[:, :h, :w], first[:h, :w]
  pads = tuple(((-n % 16 + 1) // 2, (-n % 16) // 2) for n in size)
  padded = np.pad(frames, ((0, 0), *pads, (0, 0)), mode="reflect")
  masks = np.stack([np.pad(first == i, pads, mode="reflect") for i in (1, 2, 3)])
  expected = np.asarray(compete(scan(*tiny, padded, masks, "fine")))[:, 1:]
  segmenter = vosjax.VideoSegmenter(*tiny, recurrence="fine")
  (top, _), (left, _) = pads
  for result, probs in zip(play(segmenter, frames, first), expected):
    assert result.labels.shape == size
    assert_close(result.probs, probs[:, top : top + h, left : left + w])


def test_multiples_of_the_stride_are_not_padded(tiny, frames):
  size = frames.shape[1:3]
  framing = tiny[0].framing(size)
  assert framing.framed_size == size
  x = frames.astype(np.float32)
  np.testing.assert_array_equal(framing.frames(x), x)
  np.testing.assert_array_equal(framing.masks(x[..., 0][None]), x[..., 0][None])


def test_a_late_object_is_predicted_in_its_own_first_frame(tiny, frames, first):
  """Its mask begins the state and is not copied into the result."""
  segmenter = vosjax.VideoSegmenter(*tiny, recurrence="fine", max_objects=3)
  play(segmenter, frames[:2], np.where(first == 1, 1, 0))
  segmenter.remove(1)
  late = np.where(first == 2, 6, 0)
  results = [segmenter.step(frames[2], late), segmenter.step(frames[3])]
  # With "fine", objects are independent in the scan: the first one is the late object,
  # the others are there only because the scan is compiled for three.
  masks = np.stack([late == 6, first == 1, first == 3])
  logits = scan(*tiny, frames[[2, 2, 3, 4, 4]], masks, "fine")[:, :1]
  for result, probs in zip(results, compete(logits)):
    assert_close(result.probs, probs[1:])
  assert (results[0].labels != late).any()


def test_start_forgets_the_video_before(tiny, frames, first):
  options = {"recurrence": "fine", "max_objects": 3}
  segmenter = vosjax.VideoSegmenter(*tiny, **options)
  play(segmenter, frames, first)
  small, labels = frames[:3, :27, :41], np.where(first == 2, 5, 0)[:27, :41]
  again = play(segmenter, small, labels)
  fresh = play(vosjax.VideoSegmenter(*tiny, **options), small, labels)
  for result, expected in zip(again, fresh):
    assert result.object_ids == (5,)
    np.testing.assert_array_equal(result.probs, expected.probs)
    np.testing.assert_array_equal(result.labels, expected.labels)


def test_memory_does_not_grow_with_the_video(tiny, frames, first):
  segmenter = vosjax.VideoSegmenter(*tiny, max_objects=3)
  segmenter.start(frames[0], np.where(first < 3, first, 0))

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


def test_callers_may_reuse_the_buffer_of_a_frame(tiny, frames, first, monkeypatch):
  """Even if programs run later, as JAX is asynchronous."""
  segmenter = vosjax.VideoSegmenter(*tiny)
  expected = play(segmenter, frames[:3], first)
  buffer = np.empty_like(frames[0])

  def late(program):
    def run(*args):
      buffer[:] = 0
      return program(*args)

    return run

  for name in ("encode", "step"):
    monkeypatch.setattr(programs, name, late(getattr(programs, name)))
  buffer[:] = frames[0]
  started = segmenter.start(buffer, first)
  np.testing.assert_array_equal(started.frame, frames[0])
  for frame, result in zip(frames[1:3], expected):
    buffer[:] = frame
    found = segmenter.step(buffer)
    np.testing.assert_array_equal(found.frame, frame)
    np.testing.assert_array_equal(found.probs, result.probs)


def test_results_outlive_the_next_step(tiny, frames, first):
  """Each step donates the state to the next one, but not the results."""
  segmenter = vosjax.VideoSegmenter(*tiny)
  segmenter.start(frames[0], first)
  result = segmenter.step(frames[1])
  labels, probs = result.labels.copy(), np.array(result.probs)
  for frame in frames[2:]:
    segmenter.step(frame)
  np.testing.assert_array_equal(result.labels, labels)
  np.testing.assert_array_equal(result.probs, probs)
