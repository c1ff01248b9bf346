"""A frame of a stream is one program, which gives what two programs give."""

import jax
import numpy as np
import pytest

import vosjax
from vosjax.inference import programs

PROGRAMS = ("encode", "encode_together", "init_slots", "insert", "advance", "step")


@pytest.fixture
def dispatched(monkeypatch):
  """Names of the programs in the order in which they are called."""
  names = []

  def recorded(name):
    program = getattr(programs, name)

    def call(*args):
      names.append(name)
      return program(*args)

    call.__wrapped__ = program.__wrapped__
    return call

  for name in PROGRAMS:
    monkeypatch.setattr(programs, name, recorded(name))
  return names


def assert_close(actual, expected):
  np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", ["agame", "cosnet", "ris", "rvos"])
def test_one_program_gives_what_two_give(name, small, tiny, frames, first):
  """Features to the last bit: it does not matter which program they are from."""
  model, variables = programs.prepare(*tiny if name == "agame" else small(name))
  size, readout = first.shape, model.readout
  labels = first[None].astype(np.int32) if readout.one_shot else None
  slots = np.ones((1, readout.num_slots or 3), bool)
  recurrence = "aggregated" if readout.threshold is None else "fine"

  def begin():
    features = programs.encode(model, variables, frames[:1])
    return programs.init_slots(model, size, variables, None, features, labels, slots)

  state, streamed = begin(), begin()
  for frame in frames[1:3, None]:
    features = programs.encode(model, variables, frame)
    state, *expected = programs.advance(
      model, size, recurrence, variables, state, features, slots
    )
    before = jax.tree.leaves(streamed)
    ours, (streamed, *found) = programs.step(
      model, recurrence, variables, streamed, frame, slots
    )
    assert all(array.is_deleted() for array in before)  # donated
    jax.tree.map(np.testing.assert_array_equal, ours, features)
    jax.tree.map(assert_close, (streamed, found), (state, expected))
    np.testing.assert_array_equal(found[0], expected[0])
  assert found[0].dtype == np.uint8  # labels, which are copied to the host


def test_a_frame_is_one_dispatch(tiny, frames, first, dispatched):
  """But one with new objects, which are begun from its features before."""
  segmenter = vosjax.VideoSegmenter(*tiny, max_objects=3)
  segmenter.start(frames[0], np.where(first == 3, 0, first))
  assert dispatched == ["encode", "init_slots"]
  dispatched.clear()
  for frame in frames[1:4]:
    segmenter.step(frame)
  assert dispatched == ["step"] * 3
  dispatched.clear()
  segmenter.step(frames[4], np.where(first == 3, 3, 0))
  assert dispatched == ["encode", "init_slots", "step"]


def test_sizes_that_are_framed_alike_share_the_encoder(tiny, frames, first, traces):
  """Of a whole video; both are padded to 32 x 48."""
  model, variables = tiny
  model = model.clone(update_rate=0.124)  # no other test has compiled this one
  segmenter = vosjax.VideoSegmenter(model, variables)
  for h, w in ((32, 48), (30, 41)):
    list(segmenter.run(frames[:2, :h, :w], first[:h, :w]))
  assert traces["encode"] == 1
