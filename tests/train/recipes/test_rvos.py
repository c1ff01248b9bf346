"""RVOS's recipe: what counts in its loss, and which masks each frame sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from vosjax import models
from vosjax.data.synthvos import SynthVos
from vosjax.models.unroll import Unrolled, encode_clip, unroll_features
from vosjax.train import feeds
from vosjax.train.config import get_config, rvos_stage
from vosjax.train.recipes import rvos
from vosjax.train.recipes.rvos_loss import clip_losses
from vosjax.types import Prediction, VideoBatch

SIZE = (32, 48)


def soft_iou(p, y):
  return 1 - (p * y).sum() / ((p + y - p * y).sum() + 1e-6)


def clip(seed=0, t=3, o=4):
  """Probabilities and masks."""
  rng = np.random.default_rng(seed)
  probs = rng.random((2, t, o, 6, 8)).astype(np.float32)
  truth = (rng.random((2, t, o, 6, 8)) > 0.6).astype(np.float32)
  return probs, truth


def test_losses_are_those_of_the_first_frames_matching():
  probs, truth = clip()
  valid = np.array([[True, True, True, False], [True, False, True, True]])
  everywhere = np.broadcast_to(valid[:, None], (2, 3, 4))
  kept = truth.copy()
  losses, objects = clip_losses(probs, truth, everywhere, matched=True)
  np.testing.assert_array_equal(truth, kept)  # the released program permutes in place
  expected = np.zeros(3)
  for b in range(2):
    cost = np.full((4, 4), 10.0)
    for g, t in np.ndindex(4, 4):
      if valid[b, g] and valid[b, t]:
        cost[g, t] = soft_iou(probs[b, 0, t], truth[b, 0, g])
    rows, columns = linear_sum_assignment(cost)
    for g, t in zip(rows, columns):
      if valid[b, t]:
        assert objects[b, t] == g
        expected += [soft_iou(probs[b, s, t], truth[b, s, g]) for s in range(3)]
  np.testing.assert_allclose(losses, expected / valid.sum(), rtol=1e-5)


def test_validity_stays_with_the_slot_and_is_not_matched():
  """Two objects trade places; in the last frame slot 0 counts, not object 0."""
  truth = np.zeros((1, 2, 2, 6, 8), np.float32)
  truth[:, :, 0, :3], truth[:, :, 1, 3:] = 1, 1
  probs = truth[:, :, ::-1].copy()
  probs[:, 1, 0] = 0.5  # slot 0, which stands for object 1
  valid = np.array([[[True, True], [True, False]]])
  losses, objects = clip_losses(probs, truth, valid, matched=True)
  np.testing.assert_array_equal(objects, [[1, 0]])
  expected = [0, soft_iou(probs[0, 1, 0], truth[0, 1, 1])]
  np.testing.assert_allclose(losses, expected, atol=1e-6)


def test_one_shot_slots_are_objects_and_padding_does_not_count():
  probs, truth = clip()
  valid = np.zeros((2, 3, 4), bool)
  valid[:, :, 1] = True
  losses, objects = clip_losses(probs, truth, valid, matched=False)
  expected = [
    np.mean([soft_iou(probs[b, t, 1], truth[b, t, 1]) for b in range(2)])
    for t in range(3)
  ]
  np.testing.assert_allclose(losses, expected, rtol=1e-5)
  np.testing.assert_array_equal(objects, [[0, 1, 2, 3]] * 2)
  probs[:, :, [0, 2, 3]] = 0.5
  other, _ = clip_losses(probs, truth, valid, matched=False)
  np.testing.assert_array_equal(losses, other)


def test_an_object_counts_in_the_frames_in_which_it_is_valid():
  probs, truth = clip()
  valid = np.ones((2, 3, 4), bool)
  valid[:, 1, 2:] = False
  losses, objects = clip_losses(probs, truth, valid, matched=False)
  every, _ = clip_losses(probs, truth, np.ones_like(valid), matched=False)
  expected = np.mean(
    [soft_iou(probs[b, 1, o], truth[b, 1, o]) for b in range(2) for o in range(2)]
  )
  np.testing.assert_allclose(losses[1], expected, rtol=1e-5)
  np.testing.assert_array_equal(losses[::2], every[::2])


TINY = {"backbone": "resnet18", "width": 4, "features": 16, "num_objects": 2}


def draw(shapes):
  """Arrays of a typical scale; running variances are positive."""
  rng = np.random.default_rng(0)

  def make(path, leaf):
    x = rng.normal(0, 0.3, leaf.shape).astype(np.float32)
    return jnp.asarray(1 + np.abs(x) if path[-1].key == "var" else x)

  return jax.tree_util.tree_map_with_path(make, shapes)


def draw_variables(model):
  frames, masks = jnp.zeros((1, *SIZE, 3)), jnp.zeros((1, 2, *SIZE))
  return draw(jax.eval_shape(model.init, jax.random.key(0), frames, masks))


@pytest.fixture(scope="module")
def tiny():
  """(model, variables, features) of a one-shot RVOS and a clip of 4 frames."""
  model = models.build("rvos", **TINY, one_shot=True, balanced_init=True)
  variables, frames = draw_variables(model), jnp.zeros((1, 4, *SIZE, 3))
  encode = lambda v: encode_clip(model, v, frames, train=False)[0]  # noqa: E731
  leaves, tree = jax.tree.flatten(jax.eval_shape(encode, variables))
  rng = np.random.default_rng(1)
  drawn = [jnp.asarray(rng.normal(0, 0.3, x.shape), jnp.float32) for x in leaves]
  return model, variables, jax.tree.unflatten(tree, drawn)


def decode_clip(model, variables, features, truth, *, previous="inferred", **options):
  """Probabilities [b t o h w] as the objective unrolls them."""
  arguments = rvos.previous_masks(model, truth, previous)
  clip = unroll_features(model, variables, features, **arguments, **options)
  return jax.nn.sigmoid(clip.predictions.logits)


@pytest.fixture(scope="module")
def decoders(tiny):
  """Compiled functions truth -> probabilities, by the previous masks they see."""
  model, variables, features = tiny

  def make(previous):
    return jax.jit(
      lambda truth: decode_clip(model, variables, features, truth, previous=previous)
    )

  return {previous: make(previous) for previous in ("truth", "inferred")}


def changed_frames(decode, frame):
  """Frames whose probabilities move with the truth of frame number `frame`."""
  truth = jnp.zeros((1, 4, 2, *SIZE))
  moved = truth.at[:, frame, :, 4:20, 8:30].set(1)
  gaps = jnp.abs(decode(truth) - decode(moved)).max((0, 2, 3, 4))
  return np.flatnonzero(gaps > 1e-7).tolist()


def test_true_masks_are_those_of_the_frame_before(decoders):
  decode = decoders["truth"]
  assert changed_frames(decode, 0) == [0, 1, 2, 3]
  assert changed_frames(decode, 1) == [2, 3]
  assert changed_frames(decode, 2) == [3]
  assert changed_frames(decode, 3) == []


def test_with_inferred_masks_only_the_first_frames_are_given(decoders):
  assert changed_frames(decoders["inferred"], 0) == [0, 1, 2, 3]
  assert changed_frames(decoders["inferred"], 1) == []


@pytest.mark.parametrize("previous", ["truth", "inferred"])
def test_a_slot_sees_its_own_past_and_the_slots_before_it(decoders, previous):
  """What differs in the second slot alone never reaches the first, in any frame."""
  decode = decoders[previous]
  truth = jnp.zeros((1, 4, 2, *SIZE))
  gaps = jnp.abs(decode(truth) - decode(truth.at[:, :, 1, 4:20, 8:30].set(1)))
  before, own = gaps.max((0, 1, 3, 4))
  assert before < 1e-7
  assert own > 1e-3
  gaps = jnp.abs(decode(truth) - decode(truth.at[:, :, 0, 4:20, 8:30].set(1)))
  assert gaps.max((0, 1, 3, 4)).min() > 1e-3


def test_without_spatial_recurrence_slots_meet_in_the_first_frame_alone(tiny):
  """As released: there, T has nothing but the previous objects to rely on."""
  model, variables, features = tiny
  model = model.clone(spatial=False)
  decode = jax.jit(
    lambda truth: decode_clip(model, variables, features, truth, previous="truth")
  )
  truth = jnp.zeros((1, 4, 2, *SIZE))

  def moved(frame):
    """How far each slot moves in each frame with a mask of the first slot."""
    gaps = decode(truth) - decode(truth.at[:, frame, 0, 4:20, 8:30].set(1))
    return jnp.abs(gaps).max((0, 3, 4))

  assert moved(0)[0].min() > 1e-3
  later = moved(1)  # which the third frame sees
  assert later[2:, 0].min() > 1e-3
  assert later[:, 1].max() < 1e-7


def test_gradients_pass_through_time_and_from_object_to_object(tiny):
  """To the second slot in a second frame, from the first frame and the first slot."""
  model, variables, features = tiny
  features = jax.tree.map(lambda x: x[:2], features)
  given = jnp.zeros((1, 2, 2, *SIZE)).at[:, 0, :, 4:20, 8:30].set(1)

  def last(features, given):
    decoded = decode_clip(model, variables, features, given, previous="truth")
    return decoded[:, 1, 1].sum()

  of_features, of_given = jax.jit(jax.grad(last, (0, 1)))(features, given)
  assert all(jnp.abs(level.gates[0]).max() > 1e-6 for level in of_features.levels)
  assert jnp.abs(of_given[:, 0, 0]).max() > 1e-6


def test_no_gradient_passes_through_inferred_masks(tiny):
  """Without temporal recurrence, and a mask in the first frame only, none is left."""
  model, variables, features = tiny
  model = model.clone(temporal=False)
  given = jnp.zeros((1, 4, 2, *SIZE)).at[:, 0, :, 4:20, 8:30].set(1)

  def last(truth):
    return decode_clip(model, variables, features, truth)[:, -1].sum()

  assert not jax.jit(jax.grad(last))(given).any()


def test_scan_and_unrolled_form_agree(tiny):
  model, variables, features = tiny
  truth = jnp.zeros((1, 4, 2, *SIZE)).at[:, :, 0, 4:20, 8:30].set(1)

  def run(model, steps):
    decode = lambda f: decode_clip(model, variables, f, truth, unroll_steps=steps)  # noqa: E731
    return jax.jit(decode)(features)

  unrolled = run(models.with_execution(model, unroll_objects=2), 4)
  np.testing.assert_allclose(run(model, 1), unrolled, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("official", [False, True])
def test_void_and_absence_count_only_officially(monkeypatch, official):
  """The objective says which objects count, blanks void and sums over frames."""
  labels = np.zeros((1, 2, *SIZE), np.uint8)
  labels[:, 0, :9] = 1
  labels[:, 1, :9] = 2
  labels[:, :, 20:] = 255
  seen = {}

  def stub(probs, truth, valid, *, matched):
    seen.update(probs=probs, truth=truth, valid=valid, matched=matched)
    return jnp.array([0.25, 0.5]), jnp.zeros((1, 3), jnp.int32)

  certain = Prediction(jnp.full((1, 2, 3, *SIZE), jnp.inf), {})
  clip = Unrolled(certain, jnp.ones((1, 2, 3, *SIZE)), None, {})
  monkeypatch.setattr(rvos, "unroll", lambda *_, **__: clip)
  monkeypatch.setattr(rvos, "clip_losses", stub)
  model = models.build("rvos", num_objects=3)
  batch = VideoBatch(np.zeros((1, 2, *SIZE, 3), np.uint8), labels)
  loss, outputs = rvos.make_objective(model, rvos_stage(official=official))(
    {}, batch, None
  )
  assert float(loss) == 0.75
  assert float(outputs.metrics["soft_iou"]) == 0.625
  assert seen["matched"]
  assert seen["truth"].sum() == 2 * 9 * SIZE[1]
  shown = [[True, False, False], [False, True, False]]
  expected = shown if official else [[True, True, False]] * 2
  np.testing.assert_array_equal(seen["valid"][0], expected)
  assert (seen["probs"][:, :, :, 20:] == official).all()
  assert (seen["probs"][:, :, :, :20] == 1).all()


@pytest.mark.parametrize("frozen", [False, True])
def test_batch_statistics_are_those_of_clips_unless_frozen(tiny, frozen):
  model, variables, _ = tiny
  objective = rvos.make_objective(model, rvos_stage(frozen_batch_stats=frozen))
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (1, 2, *SIZE, 3), np.uint8)
  batch = VideoBatch(frames, np.ones((1, 2, *SIZE), np.uint8))
  _, outputs = jax.jit(lambda v: objective(v, batch, None))(variables)
  before, after = variables["batch_stats"], outputs.batch_stats
  moved = jax.tree.map(lambda a, b: float(abs(a - b).max()), before, after)
  moved = jax.tree.leaves(moved["encoder"]["skips_0"])
  assert max(moved) == 0 if frozen else min(moved) > 1e-4


def test_no_cell_state_passes_through_time(tiny):
  """Without its hidden maps, a state remembers nothing of its frame."""
  model, variables, features = tiny
  first = jax.tree.map(lambda x: x[0], features)
  masks = jnp.zeros((1, 2, *SIZE)).at[:, :, 4:20, 8:30].set(1)
  segment = jax.jit(
    lambda state: model.apply(
      variables, state, first, jnp.ones((1, 2), bool), method="segment"
    )
  )
  state = model.apply(variables, first, masks, method="begin")
  after, before = segment(state)
  assert set(vars(after)) == {"hidden", "masks", "seen"}
  forgotten = after.replace(hidden=jax.tree.map(jnp.zeros_like, after.hidden))
  np.testing.assert_array_equal(segment(forgotten)[1].logits, before.logits)
  assert jnp.abs(segment(after)[1].logits - before.logits).max() > 1e-3


@pytest.mark.parametrize("matched", [True, False])
def test_zero_shot_results_have_the_ids_of_objects_once_matched(matched):
  model = models.build("rvos", **TINY)
  segment = rvos.segment_zero_shot(model, draw_variables(model), matched=matched)
  video = SynthVos(0, 1, size=SIZE, length=3, max_objects=1, void=0.0)[0]
  predicted = np.stack(list(segment(video)))
  assert predicted.shape == (3, *SIZE)
  if matched:
    np.testing.assert_array_equal(predicted[0], video.labels(0))
    assert set(np.unique(predicted)) <= {0, 1}
  else:
    assert set(np.unique(predicted)) <= {0, 1, 2}


def test_an_unknown_kind_of_previous_masks_is_named():
  with pytest.raises(ValueError, match=r"previous is 'guess'; known: \['truth'"):
    rvos.make_objective(models.build("rvos"), rvos_stage(previous="guess"))


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize("length", [0, 2, 5])
def test_procedural_clips_have_the_length_of_the_stage(length, in_memory):
  """However long the videos are that they are taken from."""
  config = get_config()
  config.data.min_object_pixels = 10
  config.data.synthvos.update(length=length, num_videos=4, in_memory=in_memory)
  stage = rvos_stage(size=SIZE, batch_size=4, clip_length=2, num_steps=1)
  stage.sources.synthvos = 1.0
  sources = feeds.training_sources(config, stage)
  assert len(sources["synthvos"][0]) == (length or 2)
  (batch,) = rvos.make_batches(config, stage, sources, seed=0)(0)
  assert batch["frames"].shape == (4, 2, *SIZE, 3)
  starts = {name.split("/")[1] for name in batch["names"]}
  assert (starts == {"00000"}) == (length != 5)
