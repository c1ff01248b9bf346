"""`VideoSegmenter.run`: whole videos, with prompts in any frame; several at once."""

import inspect
import itertools

import jax
import numpy as np
import pytest

import vosjax
from vosjax.inference import programs, whole_video


@pytest.fixture(params=["agame", "rvos"])
def one_shot(request, small, tiny):
  if request.param == "agame":
    return tiny
  return small("rvos", one_shot=True, num_objects=3)


@pytest.fixture
def batches(monkeypatch):
  """Sizes of the batches that are encoded."""
  sizes, encode = [], programs.encode_together

  def recorded(model, variables, frames):
    sizes.append(len(frames))
    return encode(model, variables, frames)

  monkeypatch.setattr(programs, "encode_together", recorded)
  return sizes


def prompts(first):
  """Nothing, objects 1 and 2, nothing, object 3; then the list ends."""
  late = np.where(first == 3, first, 0)
  return [None, first - late, None, late]


def streamed(segmenter, frames, first):
  """The same video by `start` and `step`."""
  _, early, _, late = prompts(first)
  yield segmenter.start(frames[1], early)
  yield segmenter.step(frames[2])
  yield segmenter.step(frames[3], late)


def assert_equal(found, expected):
  for ours, theirs in zip(found, expected, strict=True):
    assert ours.object_ids == theirs.object_ids
    np.testing.assert_array_equal(ours.frame, theirs.frame)
    np.testing.assert_array_equal(ours.labels, theirs.labels)
    np.testing.assert_array_equal(ours.probs, theirs.probs)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_run_equals_start_and_step(
  batch_size, one_shot, frames, first, batches, monkeypatch
):
  monkeypatch.setattr(whole_video, "choose_batch_size", lambda n: min(n, batch_size))
  frames = frames[:4]
  segmenter = vosjax.VideoSegmenter(*one_shot, max_objects=3)
  before, *found = segmenter.run(frames, iter(prompts(first)))
  assert before.object_ids == () and before.probs.shape == (0, *first.shape)
  assert not before.labels.any()
  assert batches == ([1] * 3 if batch_size == 1 else [2, 2])  # the last one is padded
  assert [r.object_ids for r in found] == [(1, 2), (1, 2), (1, 2, 3)]
  expected = list(streamed(segmenter, frames, first))
  for frame, ours, theirs in zip(frames[1:], found, expected, strict=True):
    assert ours.object_ids == theirs.object_ids
    assert (ours.frame == frame).all() and (theirs.frame == frame).all()
    np.testing.assert_allclose(ours.probs, theirs.probs, atol=2e-5)
    np.testing.assert_array_equal(ours.labels, theirs.labels)


@pytest.mark.parametrize("name", ["cosnet", "ris", "rvos"])
def test_run_equals_start_and_step_of_zero_shot_models(name, small, frames):
  options = {"references": 0} if name == "cosnet" else {}
  segmenter = vosjax.VideoSegmenter(*small(name), **options)
  expected = [segmenter.start(frames[0]), *map(segmenter.step, frames[1:])]
  for found, result in zip(segmenter.run(frames), expected, strict=True):
    assert found.object_ids == result.object_ids
    np.testing.assert_array_equal(found.labels, result.labels)


def test_a_video_of_one_frame_is_encoded_alone(small, frames, batches):
  (result,) = vosjax.VideoSegmenter(*small("ris")).run(frames[:1])
  assert batches == [1]
  assert result.labels.shape == frames.shape[1:3]


def test_a_batch_is_no_larger_than_what_is_left_of_the_video(
  tiny, frames, first, batches
):
  list(vosjax.VideoSegmenter(*tiny, max_objects=3).run(frames[:2], [None, first]))
  assert batches == [1]


@pytest.mark.parametrize("name", ["agame", "rvos", "cosnet"])
def test_videos_can_be_segmented_at_the_same_time(name, small, tiny, frames, first):
  """One-shot, zero-shot, and with references: interleaved runs, sessions and streams
  equal separate ones."""
  model = tiny if name == "agame" else small(name)
  videos = [frames, frames[::-1]]
  labels = [first, np.where(first == 2, 7, 0)] if name == "agame" else [None, None]
  options = {"max_objects": 3} if name == "agame" else {}
  segmenter = vosjax.VideoSegmenter(*model, **options)

  def stream(session, video, labels):
    yield session.start(video[0], labels)
    yield from map(session.step, video[1:])

  def interleaved(*results):
    return zip(*itertools.zip_longest(*results))

  separate_runs = [list(segmenter.run(*both)) for both in zip(videos, labels)]
  separate_streams = [
    list(stream(segmenter, *both)) for both in zip(videos, labels, strict=True)
  ]
  *runs, own, session = interleaved(
    segmenter.run(videos[0], labels[0]),
    segmenter.run(videos[1], labels[1]),
    stream(segmenter, videos[0], labels[0]),
    stream(segmenter.new_session(), videos[1], labels[1]),
  )
  for found, expected in zip(runs, separate_runs):
    assert_equal(found, expected)
  for found, expected in zip((own, session), separate_streams):
    assert_equal(found, expected)
  assert np.abs(runs[0][1].probs[0] - runs[1][1].probs[0]).max() > 1e-3  # they differ


def test_a_run_leaves_the_stream_alone(tiny, frames, first):
  segmenter = vosjax.VideoSegmenter(*tiny, max_objects=3)
  list(segmenter.run(frames, first))
  assert segmenter.object_ids == ()
  with pytest.raises(ValueError, match=r"add\(\): no video is in progress"):
    segmenter.add(first)


def test_prompts_are_read_when_their_turn_comes(tiny, frames, first):
  segmenter, log = vosjax.VideoSegmenter(*tiny, max_objects=3), []

  def lazy():
    for t, labels in enumerate(prompts(first)):
      log.append(f"prompt {t}")
      yield labels

  for t, _ in enumerate(segmenter.run(frames, lazy())):
    log.append(f"result {t}")
  expected = [f"{kind} {t}" for t in range(4) for kind in ("prompt", "result")]
  assert log == [*expected, "result 4"]


@pytest.mark.parametrize("sequence", [list, tuple])
def test_prompts_may_be_a_sequence(sequence, tiny, frames, first):
  segmenter = vosjax.VideoSegmenter(*tiny, max_objects=3)
  results = segmenter.run(frames, sequence(prompts(first)))
  assert [r.object_ids for r in results] == [(), (1, 2), (1, 2), (1, 2, 3), (1, 2, 3)]


class Broken(list):
  """Frames of which number 3 cannot be read."""

  def __getitem__(self, index):
    if index == 3:
      raise OSError("00003.jpg: is cut off")
    return super().__getitem__(index)


def test_frames_before_a_broken_one_are_segmented(tiny, frames, first):
  results = vosjax.VideoSegmenter(*tiny, max_objects=3).run(Broken(frames), first)
  for t in range(3):
    np.testing.assert_array_equal(next(results).frame, frames[t])
  with pytest.raises(OSError, match=r"00003.jpg: is cut off"):
    next(results)


class OneBuffer(list):
  """Frames that are all returned in the same buffer, as some decoders do."""

  def __getitem__(self, index):
    self.buffer = getattr(self, "buffer", np.empty_like(super().__getitem__(0)))
    self.buffer[:] = super().__getitem__(index)
    return self.buffer


def test_a_video_may_return_all_frames_in_one_buffer(tiny, frames, first, batches):
  """Frames of a batch are held together, and results are kept by the caller."""
  segmenter = vosjax.VideoSegmenter(*tiny, max_objects=3)
  prompts = [None, first]  # the first frame is not segmented, but is in the results
  found = list(segmenter.run(OneBuffer(frames), prompts))
  assert max(batches) > 1
  assert_equal(found, list(segmenter.run(list(frames), prompts)))
  for result, frame in zip(found, frames, strict=True):
    np.testing.assert_array_equal(result.frame, frame)


def test_unusable_frames_are_named(tiny, frames, first):
  segmenter = vosjax.VideoSegmenter(*tiny, max_objects=3)
  run = inspect.unwrap(vosjax.VideoSegmenter.run)  # without type checks
  for video, message in {
    "size": ([*frames[:2], frames[2][:16]], r"frame 2 is 16x48 but the video began"),
    "kind": (frames / 255, r"frame 0 is float64 \[32, 48, 3\]"),
    "rows": ([[[1, 2, 3], [4]]], r"frame 0 is not an array: its rows differ"),
    "none": ([], r"there are no frames"),
    "items": ({1, 2}, r"frames is a set; expected something with a length and items"),
    "stream": (iter(frames), r"frames is a .*iterator; .* use start\(\) and step\(\)"),
  }.values():
    with pytest.raises(ValueError, match=rf"run\(\): {message}"):
      list(run(segmenter, video, first))
  with pytest.raises(ValueError, match=r"run\(\): frame 0 is \[0, 48, 3\]: it has no"):
    list(segmenter.run(np.zeros((1, 0, 48, 3), np.uint8), first[:0]))


def test_unusable_labels_are_named(tiny, frames, first):
  segmenter = vosjax.VideoSegmenter(*tiny, max_objects=3)
  for labels, message in [
    (None, "labels are None, but this model is one-shot"),
    (first * 0, "labels contain no object"),
    ([None, first * 0], "labels contain no object"),
    ([first, first[:16]], r"labels are uint8 \[16, 48\]"),
    ([first, first], r"objects \[1, 2, 3\] are tracked already"),
    ([first, np.where(first == 1, 5, 0)], r"1 new objects \[5\] but 0 of 3"),
  ]:
    with pytest.raises(ValueError, match=rf"run\(\): {message}"):
      list(segmenter.run(frames, labels))


def test_a_used_up_iterator_is_refused(tiny, frames, first):
  segmenter, used = vosjax.VideoSegmenter(*tiny, max_objects=3), iter([first])
  assert len(list(segmenter.run(frames, used))) == len(frames)
  with pytest.raises(ValueError, match=r"run\(\): no frame has labels.*one run"):
    list(segmenter.run(frames, used))


def test_memory_does_not_grow_with_the_video(one_shot, frames, first):
  segmenter = vosjax.VideoSegmenter(*one_shot, max_objects=3)

  def held():
    return sum(array.nbytes for array in jax.live_arrays())

  def peak(length):
    before = held()
    video = [frames[t % len(frames)] for t in range(length)]
    return max(held() - before for _ in segmenter.run(video, first))

  peak(6)  # compiles, which leaves constants behind
  assert peak(20) < 1.1 * peak(6)
