"""COSNet with references of a whole video and of a stream."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vosjax
from vosjax.inference import programs, references
from vosjax.models.cosnet import COSNetState

POLICIES = ("uniform", "random", "consecutive")


@pytest.fixture(scope="module")
def cosnet(small):
  return small("cosnet")


@pytest.fixture(scope="module")
def video():
  return np.random.default_rng(5).integers(0, 256, (9, 32, 48, 3), np.uint8)


@pytest.fixture(scope="module")
def by_hand(cosnet, video):
  """Probability of frame `t` with references of any numbers, unfolded."""
  model, variables = cosnet
  deep = jax.jit(
    lambda x: model.apply(variables, x / jnp.float32(255), method="encode")
  )(video)

  @jax.jit
  def segment(query, others):
    features = deep.replace(deep=query[None])
    _, prediction = model.apply(
      variables,
      COSNetState(others[None]),
      features,
      jnp.ones((1, 1), bool),
      method="segment",
    )
    return jax.nn.sigmoid(prediction.logits[0, 0])

  def call(t, chosen):
    return np.asarray(segment(deep.deep[t], deep.deep[jnp.array(chosen, int)]))

  assert np.abs(call(0, (4,)) - call(0, (8,))).max() > 5e-3  # it matters which
  return call


@pytest.fixture
def encoded(monkeypatch):
  """Which frames were encoded, by their first pixel, and how often."""
  counts = collections.Counter()
  encode, encode_each = programs.encode, programs.encode_each

  def count(frames):
    counts.update(tuple(int(x) for x in frame[0, 0]) for frame in frames)

  def counted(model, variables, frames):
    count(frames)
    return encode(model, variables, frames)

  def counted_each(model, variables, frames, at_once):
    count(frames)
    return encode_each(model, variables, frames, at_once)

  monkeypatch.setattr(programs, "encode", counted)
  monkeypatch.setattr(programs, "encode_each", counted_each)
  return counts


@pytest.mark.parametrize(
  ("policy", "count"),
  [
    ("uniform", 3),
    ("random", 3),
    ("consecutive", 3),
    ("consecutive", 2),
    ("uniform", 0),
    ("uniform", "all"),
  ],
)
def test_each_frame_sees_its_references_and_is_encoded_once(
  policy, count, cosnet, video, by_hand, encoded
):
  segmenter = vosjax.VideoSegmenter(
    *cosnet, references=count, reference_policy=policy, seed=4
  )
  results = list(segmenter.run(video))
  assert len(results) == len(video)
  for t, result in enumerate(results):
    chosen = references.choose(policy, count, len(video), t, seed=4)
    np.testing.assert_allclose(result.probs[0], by_hand(t, chosen), atol=5e-4)
  assert set(encoded.values()) == {1}
  assert len(encoded) == len(video)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_stream_sees_frames_that_it_has_shown(
  policy, cosnet, video, by_hand, encoded
):
  segmenter = vosjax.VideoSegmenter(*cosnet, reference_policy=policy, seed=4)
  seen = references.Seen(policy, 3, seed=4)
  for _ in range(2):  # starting anew forgets what was shown
    seen = references.Seen(policy, 3, seed=4)
    for t, frame in enumerate(video):
      result = segmenter.step(frame) if t else segmenter.start(frame)
      chosen = (*seen.frames, 0, 0, 0)[:3]
      np.testing.assert_allclose(result.probs[0], by_hand(t, chosen), atol=5e-4)
      seen.take()
  assert set(encoded.values()) == {2}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("count", [3, "all"])
def test_a_video_of_one_frame_is_its_own_reference(
  policy, count, cosnet, video, by_hand
):
  segmenter = vosjax.VideoSegmenter(*cosnet, references=count, reference_policy=policy)
  (result,) = segmenter.run(video[:1])
  np.testing.assert_allclose(result.probs[0], by_hand(0, (0,)), atol=5e-4)


def held():
  return sum(array.nbytes for array in jax.live_arrays())


@pytest.mark.parametrize(
  ("policy", "count", "grows"),
  [
    ("uniform", 2, False),
    ("consecutive", 2, False),
    ("random", 2, False),
    ("uniform", "all", True),
  ],
)
def test_memory_grows_with_the_video_only_if_all_are_references(
  policy, count, grows, cosnet, video
):
  segmenter = vosjax.VideoSegmenter(*cosnet, references=count, reference_policy=policy)

  def peak(length):
    before = held()
    frames = [video[t % len(video)] for t in range(length)]
    return max(held() - before for _ in segmenter.run(frames))

  peak(6)  # compiles, which leaves constants behind
  assert (peak(18) > 1.5 * peak(6)) == grows


def test_a_stream_cannot_have_all_frames(cosnet, video):
  segmenter = vosjax.VideoSegmenter(*cosnet, references="all")
  with pytest.raises(ValueError, match=r"references='all' needs the whole video. Use"):
    segmenter.start(video[0])


def test_bad_videos_are_named(cosnet, video):
  segmenter = vosjax.VideoSegmenter(*cosnet, references=2)
  with pytest.raises(ValueError, match=r"run\(\): there are no frames"):
    segmenter.run([])
  with pytest.raises(ValueError, match=r"run\(\): frame 1 is 16x48 but the"):
    list(segmenter.run([video[0], video[1][:16]]))
  with pytest.raises(ValueError, match=r"run\(\): frame 2 is uint8 \[32, 48\]"):
    list(segmenter.run([video[0], video[1], video[2][..., 0]]))


def temporary(model, count):
  """Bytes that one frame needs beside its inputs and outputs."""
  shape = jax.ShapeDtypeStruct
  size = (161, 161)  # 21 x 21 positions
  model = model.clone(num_references=count)
  frames = shape((1, *size, 3), jnp.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), frames)

  def apply(method):
    return lambda *args: model.apply(*args, method=method)

  features = jax.eval_shape(apply("encode"), variables, frames)
  state = jax.eval_shape(apply("init_state"), variables, features, None)
  active = shape((1, 1), jnp.bool_)
  compiled = jax.jit(apply("segment")).lower(variables, state, features, active)
  return compiled.compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("fusion", ["summary", "prediction", "joint", "group"])
def test_no_affinity_of_many_references_is_held(fusion, cosnet):
  """One reference's affinity has 441^2 floats; seven need little more than one."""
  model = cosnet[0].clone(fusion=fusion)
  affinity = 4 * 441**2
  one, seven = temporary(model, 1), temporary(model, 7)
  assert seven - one < affinity
  assert seven < 3.5 * affinity
