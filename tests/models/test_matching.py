"""The matching cue: what it finds, what it remembers, and when it is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vosjax
from vosjax.models import build, unroll
from vosjax.models.modules.matching import Grid, Matching, cue_logit, make_keys, unit

FIELDS = {
  "backbone": "resnet18",
  "width": 4,
  "output_stride": 8,
  "features": 8,
  "fusion_features": 4,
  "frozen_stages": (),
  "balanced_init": True,
}

PARAMS = {"log_temperatures": jnp.full((3,), np.log(0.03), jnp.float32)}


def random_keys(rng, h, w, d=16):
  return unit(jnp.asarray(rng.normal(size=(h, w, d)), jnp.float32))


def brute_force(queries, keys, top, radius):
  """The best keys by sorting all similarities."""
  h, w, d = queries.shape
  similarity = np.asarray(queries).reshape(-1, d) @ np.asarray(keys).reshape(-1, d).T
  if radius is not None:
    y, x = np.divmod(np.arange(h * w), w)
    far = np.maximum(abs(y[:, None] - y[None]), abs(x[:, None] - x[None])) > radius
    similarity[far] = -np.inf
  order = np.argsort(-similarity, axis=1)[:, :top]
  return order, np.take_along_axis(similarity, order, 1)


@pytest.mark.parametrize("radius", [None, 2])
def test_a_small_grid_is_matched_exactly(radius):
  rng = np.random.default_rng(0)
  queries, keys = random_keys(rng, 6, 9), random_keys(rng, 6, 9)
  index, score = Grid(6, 9, 54).nearest(queries[None], keys[None, None], 4, radius)
  index, score = index[0, 0], score[0, 0]
  expected_index, expected_score = brute_force(queries, keys, 4, radius)
  np.testing.assert_array_equal(index, expected_index)
  np.testing.assert_allclose(score, expected_score, atol=1e-6)


@pytest.mark.parametrize("shift", [(0, 0), (1, 1), (2, 3), (4, 8), (5, 3)])
@pytest.mark.parametrize("size", [(24, 40), (23, 39)])
def test_a_large_grid_finds_where_a_smooth_map_went(size, shift):
  """Matched coarsely and refined: positions of a shifted map are found."""
  h, w = size
  rng = np.random.default_rng(1)
  small = jnp.asarray(rng.normal(size=(2 + h // 3, 2 + w // 3, 16)), jnp.float32)
  keys = unit(jax.image.resize(small, (h, w, 16), "cubic"))
  queries = jnp.roll(keys, shift, (0, 1))
  grid = Grid(h, w, 240)
  assert grid.factor == 2
  index, score = grid.nearest(queries[None], keys[None, None], 3)
  index, score = index[0, 0], score[0, 0]
  assert index.shape == (h * w, 3) and (np.diff(score, axis=1) <= 1e-6).all()
  assert (np.diff(np.sort(index, axis=1), axis=1) > 0).all()  # no key counts twice
  y, x = np.divmod(np.arange(h * w), w)
  inside = (y > shift[0] + 1) & (x > shift[1] + 1) & (y < h - 2) & (x < w - 2)
  found = np.stack(np.divmod(np.asarray(index[:, 0]), w))
  distance = abs(found - np.stack([y - shift[0], x - shift[1]])).max(0)
  assert (distance[inside] <= 1).mean() > 0.9


@pytest.mark.parametrize("size", [(60, 107), (135, 240), (270, 480), (67, 240)])
def test_the_number_of_keys_is_bounded(size):
  h, w = size
  keys = jax.eval_shape(
    make_keys,
    jax.ShapeDtypeStruct((1, h, w, 4), jnp.float32),
    jax.ShapeDtypeStruct((1, -(-h // 2), -(-w // 2), 4), jnp.float32),
  )
  _, rows, columns, _ = keys.shape
  assert rows * columns <= 8192
  assert Grid(rows, columns, 2048).factor <= 2
  module = Matching(lags=(1, 2))

  def cues(keys, masks):
    state = module.apply({"params": PARAMS}, keys, masks, method="init_state")
    return module.apply({"params": PARAMS}, state, keys, size)

  masks = jax.ShapeDtypeStruct((1, 2, h, w), jnp.float32)
  assert jax.eval_shape(cues, keys, masks).shape == (1, 2, h, w, 5)


def test_masks_of_a_large_frame_stay_in_place():
  """Keys of one frame, matched with themselves: the cue is the mask, a little soft."""
  h, w = 100, 180
  rng = np.random.default_rng(5)
  small = jnp.asarray(rng.normal(size=(1, 30, 50, 16)), jnp.float32)
  stage2 = jax.image.resize(small, (1, h, w, 16), "cubic")
  keys = make_keys(stage2, stage2[:, ::2, ::2])
  assert keys.shape[1:3] == (50, 90)
  mask = np.zeros((h, w), np.float32)
  mask[20:70, 40:120] = 1
  module = Matching(lags=(1,))
  masks = jnp.asarray(mask)[None, None]
  state = module.apply({"params": PARAMS}, keys, masks, method="init_state")
  cue = module.apply({"params": PARAMS}, state, keys, (h, w))[0, 0, ..., 0]
  overlap = ((cue > 0.5) & (mask > 0)).sum() / ((cue > 0.5) | (mask > 0)).sum()
  assert overlap > 0.9


def test_cues_follow_an_object_that_moves():
  rng = np.random.default_rng(2)
  keys = random_keys(rng, 8, 12)
  mask = np.zeros((8, 12), np.float32)
  mask[2:5, 3:7] = 1
  module = Matching(lags=(1, 2))

  def apply(method, *args):
    return module.apply(variables, *args, method=method)

  variables = {"params": PARAMS}
  state = apply("init_state", keys[None], jnp.asarray(mask)[None, None])
  moved = jnp.roll(keys, (1, 2), (0, 1))
  cues = np.asarray(apply("__call__", state, moved[None], (8, 12)))[0, 0]
  expected = np.roll(mask, (1, 2), (0, 1))
  for channel in range(3):  # all frames, the first, the newest
    np.testing.assert_array_equal(cues[..., channel] > 0.5, expected > 0)
  np.testing.assert_allclose(cues[..., 3:], 1, atol=1e-4)  # perfect matches
  assert (
    (np.asarray(cue_logit(jnp.asarray(cues[None])))[0] > 0) == (expected > 0)
  ).all()


def test_objects_do_not_see_each_other():
  """Two objects, given in the same frame, have the cues that each has alone."""
  rng = np.random.default_rng(4)
  keys, now = random_keys(rng, 4, 5)[None], random_keys(rng, 4, 5)[None]
  masks = jnp.asarray(rng.random((1, 2, 4, 5)), jnp.float32)
  module = Matching(lags=(1,))

  def cues(masks):
    state = module.apply({"params": PARAMS}, keys, masks, method="init_state")
    return module.apply({"params": PARAMS}, state, now, (4, 5))

  both = cues(masks)
  for i in range(2):
    np.testing.assert_allclose(both[:, i], cues(masks[:, i : i + 1])[:, 0], atol=1e-6)


def test_the_newest_frames_are_remembered_and_the_oldest_forgotten():
  module = Matching(lags=(1, 2))
  rng = np.random.default_rng(3)
  keys = [random_keys(rng, 3, 4)[None] for _ in range(4)]
  masks = [jnp.full((1, 1, 3, 4), value) for value in (0.1, 0.2, 0.3, 0.4)]
  state = module.apply({"params": PARAMS}, keys[0], masks[0], method="init_state")
  for key, mask in zip(keys[1:], masks[1:]):
    state = module.apply({"params": PARAMS}, state, key, mask, method="update")
  np.testing.assert_array_equal(state.known, [[[True, True]]])
  for frame in (2, 3):
    latest = state.latest.value.keys[0, frame % 2]
    np.testing.assert_array_equal(latest, keys[frame][0])
    np.testing.assert_array_equal(state.masks[0, 0, frame % 2], masks[frame][0, 0])
  np.testing.assert_array_equal(state.first_keys[0, 0], keys[0][0])
  np.testing.assert_array_equal(state.first_masks, masks[0])


def test_lags_count_frames_back():
  """Frames that share nothing but one mask each: a lag of two reads the one before."""
  keys = [jnp.zeros((1, 2, 3, 4)).at[..., i].set(1.0) for i in range(3)]
  masks = [jnp.full((1, 1, 2, 3), value) for value in (0.0, 0.5, 1.0)]
  module = Matching(lags=(1, 2))

  def apply(method, *args):
    return module.apply({"params": PARAMS}, *args, method=method)

  state = apply("init_state", keys[0], masks[0])
  for key, mask in zip(keys[1:], masks[1:]):
    state = apply("update", state, key, mask)
  np.testing.assert_allclose(
    apply("__call__", state, keys[1], (2, 3))[..., 0], 0.5, atol=1e-3
  )
  np.testing.assert_allclose(
    apply("__call__", state, keys[2], (2, 3))[..., 0], 1, atol=1e-3
  )


def test_keys_of_an_odd_grid_are_not_shifted():
  fine = jnp.zeros((1, 5, 7, 2)).at[..., 0].set(1.0)
  deep = jnp.arange(4.0)[None, None, :, None] * jnp.ones((1, 3, 1, 1))
  keys = make_keys(fine, jnp.concatenate([deep, jnp.ones_like(deep)], -1))
  assert keys.shape == (1, 5, 7, 4)
  ratio = np.asarray(keys[0, 0, :, 2] / keys[0, 0, :, 3])
  np.testing.assert_allclose(ratio[1:], np.arange(1, 7) / 2 - 0.25, atol=1e-4)


@pytest.fixture(scope="module")
def network():
  model = build("agame", matching_lags=(1, 2), deep="pyramid", **FIELDS)
  frames, masks = jnp.zeros((1, 32, 48, 3)), jnp.zeros((1, 1, 32, 48))
  return model, jax.jit(model.init)(jax.random.key(0), frames, masks)


def video(length, seed=0):
  rng = np.random.default_rng(seed)
  frames = [rng.integers(0, 256, (32, 48, 3), np.uint8) for _ in range(length)]
  labels = np.zeros((32, 48), np.uint8)
  labels[4:20, 6:30] = 1
  return frames, labels


def test_unrolling_equals_streaming(network):
  model, variables = network
  frames, labels = video(4)
  clip = jnp.asarray(np.stack(frames), jnp.float32)[None] / 255
  masks = jnp.asarray(labels == 1, jnp.float32)[None, None]
  unrolled = jax.jit(lambda *args: unroll(model, *args))(variables, clip, masks)
  segmenter = vosjax.VideoSegmenter(model, variables)
  segmenter.start(frames[0], labels)
  for t, frame in enumerate(frames[1:]):
    found = segmenter.step(frame).probs
    np.testing.assert_allclose(found, unrolled.probs[0, t], atol=1e-4)


@pytest.mark.parametrize("earlier", [1, 2, 3])
@pytest.mark.parametrize("way", ["step", "add"])
def test_an_object_that_appears_later_knows_no_frame_before_it(network, way, earlier):
  """Its cue does not depend on what the frames before it looked like."""
  model, variables = network
  frames, labels = video(6)
  late = np.zeros_like(labels)
  late[22:31, 30:46] = 2
  now = frames[3]

  def probs_of_late_object(before):
    segmenter = vosjax.VideoSegmenter(model, variables, recurrence="fine")
    segmenter.start(before[0], labels)
    for frame in before[1:earlier]:
      segmenter.step(frame)
    if way == "step":
      segmenter.step(now, late)
    else:
      segmenter.step(now)
      segmenter.add(late)
    segmenter.remove(1)
    return [segmenter.step(frame).probs[0] for frame in frames[4:]]

  noise = video(3, seed=1)[0]
  np.testing.assert_allclose(
    probs_of_late_object(frames), probs_of_late_object(noise), atol=1e-5
  )


@pytest.mark.parametrize("earlier", [0, 1, 3])
def test_an_object_added_after_a_frame_is_known_there(earlier):
  """Its mask is paired with the keys of the frame in which it was given."""
  rng = np.random.default_rng(6)
  keys = [random_keys(rng, 3, 4)[None] for _ in range(earlier + 1)]
  mask = jnp.asarray(rng.random((1, 1, 3, 4)), jnp.float32)
  module = Matching(lags=(1, 2))

  def apply(method, *args):
    return module.apply({"params": PARAMS}, *args, method=method)

  state = apply("init_state", keys[0], jnp.zeros_like(mask))
  for key in keys[1:]:
    state = apply("update", state, key, jnp.zeros_like(mask))
  added = apply("init_state", keys[-1], mask).replace(latest=state.latest)
  known = np.asarray(apply("_known", added))[0, 0]
  assert known.tolist() == [place == earlier % 2 for place in range(2)]
  not_yet = apply("init_state", random_keys(rng, 3, 4)[None], mask)
  assert not apply("_known", not_yet.replace(latest=state.latest)).any()


def test_the_papers_network_has_none_of_it():
  model = build("agame", **FIELDS)
  shapes = jax.eval_shape(
    model.init, jax.random.key(0), jnp.zeros((1, 32, 48, 3)), jnp.zeros((1, 1, 32, 48))
  )
  assert not {"matching", "cue_gains"} & set(shapes["params"])


def test_a_pyramid_needs_its_stride():
  model = build("agame", **FIELDS | {"deep": "pyramid", "output_stride": 16})
  with pytest.raises(ValueError, match="output_stride is 16; deep='pyramid' needs 8"):
    jax.eval_shape(
      model.init,
      jax.random.key(0),
      jnp.zeros((1, 32, 48, 3)),
      jnp.zeros((1, 1, 32, 48)),
    )


@pytest.mark.parametrize("lags", [(2, 3), (1, 0), (1, 1), (1, 5, 3)])
def test_lags_begin_with_the_newest_frame(lags):
  with pytest.raises(ValueError, match="expected 1 and then ever larger"):
    jax.eval_shape(
      build("agame", matching_lags=lags, deep="pyramid", **FIELDS).init,
      jax.random.key(0),
      jnp.zeros((1, 32, 48, 3)),
      jnp.zeros((1, 1, 32, 48)),
    )


def test_a_dilated_backbone_is_not_matched():
  with pytest.raises(ValueError, match="needs deep='pyramid', not 'last'"):
    jax.eval_shape(
      build("agame", matching_lags=(1,), **FIELDS).init,
      jax.random.key(0),
      jnp.zeros((1, 32, 48, 3)),
      jnp.zeros((1, 1, 32, 48)),
    )


@pytest.mark.parametrize(
  ("size", "framed"),
  [
    ((480, 854), (480, 856)),
    ((360, 640), (360, 640)),  # 480 is nearer to 360 than to 720
    ((240, 427), (480, 856)),
    ((427, 240), (856, 480)),
    ((60, 80), (240, 320)),  # four times at most
    ((1080, 1920), (1080, 1920)),
  ],
)
def test_small_frames_are_enlarged(size, framed):
  model = build("agame", min_side=480, **FIELDS)
  assert model.framing(size).framed_size == framed
  assert build("agame", **FIELDS).framing(size).framed_size == tuple(
    -(-side // 8) * 8 for side in size
  )
