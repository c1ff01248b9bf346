"""What bfloat16 convolutions change in A-GAME."""

import jax
import jax.numpy as jnp
import numpy as np

from vosjax import models
from vosjax.train.config import agame_stage
from vosjax.train.optimizers import adam
from vosjax.train.recipes import agame
from vosjax.train.state import TrainState
from vosjax.train.step import make_mesh, make_train_step, replicate, shard

TINY = {"backbone": "resnet18", "width": 8, "features": 16, "fusion_features": 8}


def test_mixed_precision_changes_the_golden_clip_little(
  official, golden, record_property
):
  """What bfloat16 does is rounding, and does not grow over five frames.

  The bounds are nearly twice the most that was seen: probabilities differed by 0.017 to
  0.030 and labels in 0.56 to 0.73 % of the pixels, on this clip, on it mirrored, upside
  down and in negative, and on the first object of `golden_multi`. Every eighth pixel
  here is within 0.05 of a tie. Another recurrence changes probabilities of this clip by
  0.14. The bounds do not notice one layer more in 16 bits: reduction, scores, heads and
  Gaussians, which are in float32, change these numbers by less than 0.004 each.
  """
  case = golden("agame/golden_single.npz")
  model, variables = official("agame")
  model = models.with_execution(model, dtype="bfloat16")
  frames = jnp.asarray(case["frames"][None] / np.float32(255))
  masks = jnp.asarray(case["first_label"][None, None] == 1, jnp.float32)
  clip = jax.jit(lambda *args: models.unroll(model, *args, recurrence="fine"))(
    variables, frames, masks
  )
  probs = np.asarray(jax.nn.sigmoid(clip.predictions.logits[0, :, 0]))
  far = np.abs(probs - case["object_prob"]).max()
  disagree = ((probs > 0.5) != (case["label_maps"][1:] == 1)).mean()
  record_property("largest_difference_of_probabilities", float(far))
  record_property("share_of_pixels_with_another_label", float(disagree))
  assert far < 0.05
  assert disagree < 0.015


def test_a_step_in_mixed_precision_is_finite_and_keeps_float32_weights():
  model = models.build("agame", **TINY, dtype="bfloat16", remat=True)
  rng = np.random.default_rng(0)
  batch = {
    "frames": rng.integers(0, 256, (2, 3, 32, 48, 3), np.uint8),
    "labels": (rng.random((2, 3, 32, 48)) < 0.4).astype(np.uint8),
  }
  variables = jax.jit(model.init)(
    jax.random.key(0), jnp.zeros((1, 32, 48, 3)), jnp.zeros((1, 1, 32, 48))
  )
  tx = adam.make_optimizer(
    learning_rate=1e-3, lr_decay=1.0, steps_per_epoch=1, weight_decay=1e-5
  )
  mesh = make_mesh(2, jax.devices()[:1])
  objective = agame.make_objective(model, agame_stage(clip_length=3, unroll_steps=1))
  step = make_train_step(objective, tx, mesh)
  state = replicate(TrainState.create(variables, tx, 0), mesh)
  state, metrics = jax.device_get(step(state, shard(batch, mesh)))
  assert all(np.isfinite(value) for value in metrics.values())
  assert metrics["grad_norm"] > 0
  for leaf in jax.tree.leaves(state.variables):
    assert leaf.dtype == np.float32
    assert np.isfinite(leaf).all()
