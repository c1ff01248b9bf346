"""COSNet with references from a whole video and from a stream."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vosjax
from vosjax.inference import references
from vosjax.models.cosnet import COSNetState


@pytest.fixture(scope="module")
def cosnet(small):
  return small("cosnet")


@pytest.fixture(scope="module")
def video():
  return np.random.default_rng(5).integers(0, 256, (9, 32, 48, 3), np.uint8)


@pytest.fixture(scope="module")
def by_hand(cosnet, video, apply):
  """Probability of frame `t` with references of any numbers, by the unfolded model."""
  model, variables = cosnet
  features = apply(model, "encode", variables, video / np.float32(255))
  active = jnp.ones((1, 1), bool)

  def call(t, chosen):
    state = COSNetState(features.deep[None, np.array(chosen, int)])
    query = features.replace(deep=features.deep[t : t + 1])
    _, prediction = apply(model, "segment", variables, state, query, active)
    return np.asarray(jax.nn.sigmoid(prediction.logits[0, 0]))

  # It matters which frames are references.
  assert np.abs(call(0, (4, 4, 4)) - call(0, (8, 8, 8))).max() > 5e-3
  return call


@pytest.mark.parametrize(
  ("policy", "count"),
  [("uniform", 3), ("consecutive", 3), ("random", 3), ("uniform", 0)],
)
def test_run_takes_references_from_the_whole_video(
  policy, count, cosnet, video, by_hand
):
  options = {"references": count, "reference_policy": policy, "seed": 4}
  segmenter = vosjax.VideoSegmenter(*cosnet, **options)
  choose = functools.partial(references.choose, policy, count, len(video), seed=4)
  results = list(segmenter.run(video))
  assert len(results) == len(video)
  for t, result in enumerate(results):
    np.testing.assert_allclose(result.probs[0], by_hand(t, choose(t)), atol=5e-4)


@pytest.mark.parametrize("length", [1, 3])
def test_all_frames_of_a_video_can_be_references(length, cosnet, video, by_hand):
  segmenter = vosjax.VideoSegmenter(*cosnet, references="all")
  for t, result in enumerate(segmenter.run(video[:length])):
    expected = by_hand(t, tuple(range(length)))
    np.testing.assert_allclose(result.probs[0], expected, atol=5e-4)


@pytest.mark.parametrize("policy", ["uniform", "random", "consecutive"])
def test_a_stream_takes_references_from_the_frames_shown(
  policy, cosnet, video, by_hand
):
  segmenter = vosjax.VideoSegmenter(*cosnet, reference_policy=policy, seed=4)
  for _ in range(2):  # starting again forgets the frames shown before
    shown = references.StreamReferences(policy, 3, seed=4)
    for t, frame in enumerate(video):
      result = segmenter.step(frame) if t else segmenter.start(frame)
      chosen = (*shown.frames, 0, 0, 0)[:3]
      np.testing.assert_allclose(result.probs[0], by_hand(t, chosen), atol=5e-4)
      shown.add_frame()


def test_a_stream_takes_the_given_number_of_references(cosnet, video, by_hand):
  """One instead of the model's three."""
  options = {"references": 1, "reference_policy": "consecutive"}
  segmenter = vosjax.VideoSegmenter(*cosnet, **options)
  segmenter.start(video[0])
  for t in (1, 2):
    result = segmenter.step(video[t])
    np.testing.assert_allclose(result.probs[0], by_hand(t, (t - 1,)), atol=5e-4)


def test_memory_does_not_grow_with_the_video(cosnet, video):
  segmenter = vosjax.VideoSegmenter(*cosnet, reference_policy="consecutive")

  def held():
    return sum(array.nbytes for array in jax.live_arrays())

  def peak(length):
    before = held()
    frames = [video[t % len(video)] for t in range(length)]
    return max(held() - before for _ in segmenter.run(frames))

  peak(6)  # compiles, which leaves constants behind
  assert peak(18) < 1.1 * peak(6)


def test_a_stream_cannot_have_all_frames(cosnet, video):
  segmenter = vosjax.VideoSegmenter(*cosnet, references="all")
  with pytest.raises(
    ValueError, match=r"start\(\): references='all' needs the whole v"
  ):
    segmenter.start(video[0])


def temporary_bytes(model, count):
  """Memory that segmenting one frame needs beside inputs and outputs."""
  size = (161, 161)  # 21 x 21 positions
  model = model.clone(num_references=count)
  frames = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), frames)

  def method(name):
    return lambda *args: model.apply(*args, method=name)

  features = jax.eval_shape(method("encode"), variables, frames)
  state = jax.eval_shape(method("init_state"), variables, features, None)
  active = jax.ShapeDtypeStruct((1, 1), jnp.bool_)
  compiled = jax.jit(method("segment")).lower(variables, state, features, active)
  return compiled.compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("fusion", ["summary", "prediction", "joint", "group"])
def test_affinities_of_many_references_are_never_held_at_once(fusion, cosnet):
  """The affinity of one reference has 441^2 floats; seven need little more memory."""
  model = cosnet[0].clone(fusion=fusion)
  affinity = 4 * 441**2
  one, seven = temporary_bytes(model, 1), temporary_bytes(model, 7)
  assert seven - one < affinity
  assert seven < 3.5 * affinity
