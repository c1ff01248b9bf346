"""COSNet on a pyramid: training sees what a video in progress sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax import models

FIELDS = {
  "backbone": "resnet18",
  "width": 4,
  "features": 8,
  "branch_features": 4,
  "rates": (1, 2),
  "attention": "symmetric",
  "deep": "pyramid",
  "motion_lags": (1, 3),
  "size": None,
  "num_references": 1,
}
FRAMES = np.random.RandomState(0).uniform(0, 1, (5, 64, 96, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
  model = models.build("cosnet", **FIELDS)
  return model, jax.jit(model.init)(jax.random.key(0), FRAMES[:1])


def test_a_pair_in_training_equals_a_frame_of_a_video(network):
  model, variables = network

  @jax.jit
  def train(frames):
    return model.apply(variables, frames, method="pair_with_earlier")

  @jax.jit
  def follow(frames, reference):
    bound = model.bind(variables)
    state = bound.init_state(bound.encode(frames[:1]))
    state = bound.remember(state, bound.encode(reference), 0)
    for t in range(len(frames)):
      features = bound.encode(frames[t : t + 1])
      found = bound.cue_logits(state, features)
      state = bound.update(state, features, jnp.zeros((1, 1, 8, 12)))
    return found

  frames = FRAMES[[3, 2, 0, 4, 3, 1]][None]  # 3 and 4, each before 1 and 3 frames
  one, other = train(frames)
  last = follow(FRAMES[:4], FRAMES[4:])
  for name in ("saliency", "coarse", "final"):
    expected, found = getattr(one, name), getattr(last, name)
    assert expected.shape == (1, 8, 12) and np.std(expected) > 1e-6
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
  assert np.abs(other.final - one.final).max() > 1e-5


def test_without_references_a_frame_is_its_own(network):
  model, variables = network
  bound = model.bind(variables)
  features = bound.encode(FRAMES[:1])
  state = bound.init_state(features)
  alone = model.clone(num_references=0).bind(variables)
  np.testing.assert_allclose(
    alone.cue_logits(alone.init_state(features), features).final,
    bound.cue_logits(state, features).final,
    atol=1e-5,
  )


def test_nothing_of_a_frozen_backbone_is_trained(network):
  _, variables = network
  stages = ("stem", "stage1", "stage2", "stage3", "stage4")
  frozen = models.build("cosnet", **FIELDS | {"frozen_stages": stages}).frozen
  backbone = variables["params"]["encoder"]["backbone"]
  assert {*frozen} == {f"encoder/backbone/{name}" for name in backbone}


@pytest.mark.parametrize("field", ["motion_lags", "frozen_stages"])
def test_what_needs_the_pyramid_is_refused_without_it(field):
  value = {"motion_lags": (1,), "frozen_stages": ("stem",)}[field]
  fields = {"backbone": "resnet18", "width": 4, "features": 8, field: value}
  model = models.build("cosnet", **fields)
  with pytest.raises(ValueError, match=f"cosnet: .*{field} is .*need deep='pyramid'"):
    jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


@pytest.mark.parametrize(
  ("original", "framed"), [((480, 854), (240, 424)), ((1920, 1080), (424, 240))]
)
def test_frames_keep_their_shape(original, framed):
  model = models.build("cosnet", **FIELDS | {"short_side": 240})
  assert model.framing(original).framed_size == framed
