"""COSNet on cues: training sees what a video in progress sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax import models
from vosjax.models.cosnet import upsample

FIELDS = {
  "backbone": "resnet18",
  "width": 4,
  "features": 8,
  "rates": (1, 2),
  "attention": "none",
  "num_references": 0,
  "deep": "cues",
  "motion_lags": (1, 3),
  "size": None,
}
FRAMES = np.random.RandomState(0).uniform(0, 1, (4, 64, 96, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
  """A network whose heads are all off their initial values."""
  model = models.build("cosnet", **FIELDS)
  variables = jax.jit(model.init)(jax.random.key(0), FRAMES[:1])
  rng = np.random.default_rng(0)
  heads = jax.tree.map(
    lambda x: x + 0.2 * rng.normal(size=x.shape).astype(x.dtype),
    variables["params"]["primary"],
  )
  params = variables["params"] | {"primary": heads}
  return model, variables | {"params": params}


def test_a_clip_in_training_equals_a_frame_of_a_video(network):
  model, variables = network

  @jax.jit
  def train(frames):
    found = model.apply(variables, frames, method="find")
    return found.coarse, upsample(found.fine, (64, 96))

  @jax.jit
  def follow(frames):
    bound = model.bind(variables)
    state = bound.init_state(bound.encode(frames[:1]))
    for t in range(len(frames)):
      features = bound.encode(frames[t : t + 1])
      state, found = bound.segment(state, features, jnp.ones((1, 1), bool))
      state = bound.update(state, features, jnp.zeros((1, 1, 64, 96)))
    return found.aux["saliency"], found.logits[:, 0]

  expected = train(FRAMES[[3, 2, 0]][None])  # the last one, and 1 and 3 before it
  found = follow(FRAMES)
  assert found[0].shape == (1, 8, 12) and found[1].shape == (1, 64, 96)
  np.testing.assert_allclose(found[0], expected[0], rtol=1e-3, atol=1e-4)
  np.testing.assert_allclose(found[1], expected[1], rtol=1e-3, atol=1e-3)
  still = train(FRAMES[[3, 3, 3]][None])
  assert np.abs(still[0] - expected[0]).max() > 1e-3  # motion counts


def test_nothing_of_the_backbone_is_trained(network):
  model, variables = network
  assert {*model.frozen} == {
    f"backbone/{name}" for name in variables["params"]["backbone"]
  }


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"deep": "dilated"}, r"motion_lags is \(1, 3\), which needs deep='cues'"),
    ({"deep": "cone"}, "deep is 'cone'; known: 'dilated', 'pyramid' and 'cues'"),
    ({"attention": "vanilla"}, "attention is 'vanilla'.*choose 'none' and 0"),
    ({"num_references": 5}, "with 5 references.*choose 'none' and 0"),
    ({"frozen_stages": ("stem",)}, r"frozen_stages is \('stem',\).*leave it \(\)"),
    ({"short_side": -8}, "short_side is -8; expected at least 1, or 0"),
  ],
)
def test_fields_that_do_not_fit_are_refused(fields, message):
  model = models.build("cosnet", **FIELDS | fields)
  with pytest.raises(ValueError, match=f"cosnet: .*{message}"):
    jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


@pytest.mark.parametrize(
  ("original", "framed"), [((480, 854), (240, 424)), ((1920, 1080), (424, 240))]
)
def test_frames_keep_their_shape(original, framed):
  model = models.build("cosnet", **FIELDS | {"short_side": 240})
  assert model.framing(original).framed_size == framed
