"""Whole videos, whose frames are encoded some at a time."""

import inspect
import weakref

import jax
import numpy as np
import pytest

import vosjax
from vosjax.benchmarks import model
from vosjax.inference import programs


class Broken(list):
  """Frames of which one cannot be read."""

  def __getitem__(self, index):
    if index == 3:
      raise OSError("00003.jpg: is cut off")
    return super().__getitem__(index)


@pytest.fixture(params=[1, 2, 3, 8])
def at_once(request, monkeypatch):
  monkeypatch.setattr(programs, "frames_at_once", lambda n: min(n, request.param))
  return request.param


@pytest.fixture
def batches(monkeypatch):
  """Sizes of the batches that are encoded."""
  sizes, apart = [], programs._encode_apart

  def recorded(model, variables, frames):
    sizes.append(len(frames))
    return apart(model, variables, frames)

  monkeypatch.setattr(programs, "_encode_apart", recorded)
  return sizes


def split(first):
  """What comes with frames: nothing, two objects, nothing, a third one."""
  late = np.where(first == 3, first, 0)
  return [None, first - late, None, late]


def one_by_one(segmenter, frames, first):
  _, begun, _, late = split(first)
  yield segmenter.start(frames[1], begun)
  yield segmenter.step(frames[2])
  yield segmenter.step(frames[3], late)
  yield segmenter.step(frames[4])


@pytest.fixture(params=["agame", "rvos"])
def one_shot(request, small, tiny):
  return tiny if request.param == "agame" else small("rvos", one_shot=True)


def test_objects_may_come_at_any_time(one_shot, frames, first, at_once, batches):
  segmenter = vosjax.VideoSegmenter(*one_shot)
  before, *found = segmenter.run(frames, iter(split(first)))
  assert before.object_ids == () and before.probs.shape == (0, *first.shape)
  assert not before.labels.any()
  assert sum(batches) >= 4 and set(batches) == {min(4, at_once)}
  expected = list(one_by_one(segmenter, frames, first))
  assert [r.object_ids for r in found] == [(1, 2), (1, 2), (1, 2, 3), (1, 2, 3)]
  for frame, ours, theirs in zip(frames[1:], found, expected, strict=True):
    assert ours.object_ids == theirs.object_ids
    assert (ours.frame == frame).all() and (theirs.frame == frame).all()
    np.testing.assert_allclose(ours.probs, theirs.probs, atol=2e-5)
    np.testing.assert_array_equal(ours.labels, theirs.labels)


def test_what_comes_with_a_frame_is_asked_for_when_its_turn_has_come(
  one_shot, frames, first, at_once
):
  segmenter, known = vosjax.VideoSegmenter(*one_shot), []

  def given():
    for labels in split(first):
      known.append(segmenter.object_ids)
      yield labels

  for _ in range(2):  # what was tracked in the video before is forgotten
    assert len(list(segmenter.run(frames, given()))) == len(frames)
    assert known == [(), (), (1, 2), (1, 2)]
    known.clear()
  next(segmenter.run(frames, given()))
  with pytest.raises(ValueError, match=r"add\(\): call start\(\) with the first frame"):
    segmenter.add(first)


def test_the_first_labels_must_hold_an_object(one_shot, frames, first):
  results = vosjax.VideoSegmenter(*one_shot).run(frames, iter([None, 0 * first]))
  assert next(results).object_ids == ()
  with pytest.raises(ValueError, match=r"labels hold no object"):
    next(results)


def test_frames_before_a_broken_one_are_segmented(one_shot, frames, first, at_once):
  results = vosjax.VideoSegmenter(*one_shot).run(Broken(frames), first)
  assert [next(results).frame is not None for _ in range(3)] == [True] * 3
  with pytest.raises(OSError, match=r"00003.jpg: is cut off"):
    next(results)


@pytest.mark.parametrize("references", [0, 1, 2, "all"])
def test_batches_are_full_where_frames_wait_for_their_turn(
  references, small, frames, at_once, batches
):
  segmenter = vosjax.VideoSegmenter(*small("cosnet"), references=references)
  list(segmenter.run(frames))
  at_once = min(len(frames), at_once)
  assert batches == [at_once] * -(-len(frames) // at_once)


@pytest.mark.parametrize(("references", "fine"), [(0, 3), (1, 2), ("all", 0)])
def test_frames_that_need_no_broken_one_are_segmented(
  references, fine, small, frames, at_once
):
  segmenter = vosjax.VideoSegmenter(
    *small("cosnet"), references=references, reference_policy="consecutive"
  )
  results = segmenter.run(Broken(frames))
  for t in range(fine):
    assert (next(results).frame == frames[t]).all()
  with pytest.raises(OSError, match=r"00003.jpg: is cut off"):
    next(results)


def test_bad_frames_and_labels_are_named(one_shot, frames, first):
  segmenter = vosjax.VideoSegmenter(*one_shot)
  small = [*frames[:2], frames[2][:16]]
  with pytest.raises(ValueError, match=r"run\(\): frame 2 is 16x48 but the video beg"):
    list(segmenter.run(small, first))
  with pytest.raises(ValueError, match=r"run\(\): frame 0 is float64 \[32, 48, 3\]"):
    list(segmenter.run(frames / 255, iter([None, first])))
  with pytest.raises(ValueError, match=r"run\(\): labels are uint8 \[16, 48\]"):
    list(segmenter.run(frames, iter([first, first[:16]])))
  with pytest.raises(ValueError, match=r"run\(\): labels are None, but this model is"):
    segmenter.run(frames)


def test_labels_may_be_a_list_of_what_comes_with_each_frame(one_shot, frames, first):
  segmenter = vosjax.VideoSegmenter(*one_shot)
  for labels in (split(first), tuple(split(first))):
    ids = [result.object_ids for result in segmenter.run(frames, labels)]
    assert ids == [(), (1, 2), (1, 2), (1, 2, 3), (1, 2, 3)]


def test_what_is_wrong_is_said_of_run(one_shot, frames, first):
  limited = vosjax.VideoSegmenter(*one_shot, max_objects=3)
  with pytest.raises(ValueError, match=r"run\(\): objects \[1, 2, 3\] are tracked"):
    list(limited.run(frames, [first, first]))
  with pytest.raises(ValueError, match=r"run\(\): 1 new objects \[5\] but 0 of 3"):
    list(limited.run(frames, [first, np.where(first == 1, 5, 0)]))
  with pytest.raises(ValueError, match=r"run\(\): labels hold no object"):
    list(limited.run(frames, first * 0))
  run = inspect.unwrap(vosjax.VideoSegmenter.run)  # before annotations are checked
  with pytest.raises(ValueError, match=r"run\(\): frames is a generator; .* start\(\)"):
    run(limited, (frame for frame in frames), first)


def test_a_video_that_never_begins_is_refused(one_shot, frames, first):
  segmenter, used = vosjax.VideoSegmenter(*one_shot), iter([first])
  assert len(list(segmenter.run(frames, used))) == len(frames)
  with pytest.raises(ValueError, match=r"run\(\): labels came with no frame.*one run"):
    list(segmenter.run(frames, used))


def test_frames_that_are_no_pictures_are_named(one_shot, first):
  run = inspect.unwrap(vosjax.VideoSegmenter.run)  # before annotations are checked
  segmenter = vosjax.VideoSegmenter(*one_shot)
  with pytest.raises(ValueError, match=r"run\(\): frame 0 is no array: its rows"):
    list(run(segmenter, [[[1, 2, 3], [4]]], first))
  with pytest.raises(ValueError, match=r"run\(\): frame 0 is \[0, 48, 3\]: it has no"):
    list(segmenter.run(np.zeros((1, 0, 48, 3), np.uint8), first[:0]))


def test_another_video_in_between_is_noticed(one_shot, frames, first):
  segmenter = vosjax.VideoSegmenter(*one_shot)
  one, other = segmenter.run(frames, first), segmenter.run(frames, first == 1)
  next(one)
  assert next(other).object_ids == (1,)
  with pytest.raises(ValueError, match=r"run\(\): another frame was segmented in betw"):
    next(one)
  assert next(other).object_ids == (1,)
  segmenter.step(frames[2])
  with pytest.raises(ValueError, match="Take a VideoSegmenter for each of several"):
    next(other)


@pytest.mark.parametrize("name", ["cosnet", "ris", "rvos"])
def test_labels_are_refused_where_they_mean_nothing(name, small, frames, first):
  segmenter = vosjax.VideoSegmenter(*small(name))
  for labels in (first, iter([first])):
    with pytest.raises(ValueError, match=r"run\(\): labels are given, but this model"):
      segmenter.run(frames, labels)


def test_pictures_are_encoded_one_by_one_where_there_is_one(small, frames, batches):
  (result,) = vosjax.VideoSegmenter(*small("rsis", num_classes=5)).run(frames[:1])
  assert batches == [1]
  assert result.labels.shape == frames.shape[1:3]


def test_memory_does_not_grow_with_the_video(one_shot, frames, first):
  segmenter = vosjax.VideoSegmenter(*one_shot)

  def held():
    return sum(array.nbytes for array in jax.live_arrays())

  def peak(length):
    before = held()
    video = [frames[t % len(frames)] for t in range(length)]
    return max(held() - before for _ in segmenter.run(video, first))

  peak(6)  # compiles, which leaves constants behind
  assert peak(20) < 1.1 * peak(6)


@pytest.mark.parametrize("name", ["cosnet", "rvos"])
def test_frames_do_not_stay(name, small, frames):
  alive = {}

  class Decoded(list):
    def __getitem__(self, index):
      frame = np.array(frames[index % len(frames)])
      alive[index] = weakref.finalize(frame, alive.pop, index)
      return frame

  segmenter = vosjax.VideoSegmenter(*small(name))
  assert max(len(alive) for _ in segmenter.run(Decoded(range(20)))) <= 7


def test_the_benchmark_compares_batches_with_single_frames(monkeypatch):
  asked, encode_each = [], programs.encode_each

  def recorded(model, variables, frames, at_once):
    asked.append((len(frames), at_once))
    return encode_each(model, variables, frames, at_once)

  def three_seconds(call, times):
    call()
    return 3.0

  monkeypatch.setattr(programs, "encode_each", recorded)
  monkeypatch.setattr(model, "_median_seconds", three_seconds)
  result = model.measure("ris", size=(16, 16), frames=3, channels=2, num_convolutions=1)
  assert result["frames_at_once"] == programs.frames_at_once(3) == 2
  assert set(asked) == {(2, 1), (2, 2)}  # the same frames both times
  assert result["encode_ms"] == result["encode_ms_in_run"] == 3000 / 2  # a frame
