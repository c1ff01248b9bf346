"""COSNet on cues: samples, loss and what is trained."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax import models
from vosjax.data.synthvos import SynthVos
from vosjax.train import feeds
from vosjax.train.configs.cosnet import get_config
from vosjax.train.recipes import cosnet, cosnet_cues
from vosjax.types import VideoBatch

SIZE = (32, 48)


def test_a_sample_is_a_frame_with_its_past():
  video = SynthVos(0, 1, size=SIZE, length=5, max_objects=2, void=1.0)[0]
  frames, _ = video.clip(0, 5)
  sample = cosnet_cues.FrameWithEarlier((1, 3))
  chosen = set()
  for seed in range(30):
    clip = sample.random_map(video, np.random.default_rng(seed))
    t, *earlier = (
      next(t for t in range(5) if (frames[t] == frame).all())
      for frame in clip["frames"]
    )
    assert earlier == [max(t - 1, 0), max(t - 3, 0)]
    assert set(np.unique(clip["labels"])) == {0, 1}
    chosen.add(t)
  assert chosen == {*range(5)}


def test_a_video_of_one_frame_is_its_own_past():
  video = SynthVos(0, 1, size=SIZE, length=1, max_objects=1)[0]
  clip = cosnet_cues.FrameWithEarlier((1, 3)).random_map(
    video, np.random.default_rng(0)
  )
  assert len(clip["frames"]) == 3 and (clip["frames"] == clip["frames"][0]).all()


def test_a_step_trains_all_but_the_backbone():
  config = get_config("released_smoke")
  stage = config.stages.main
  model = models.build("cosnet", **config.model.fields.to_dict())
  sources = feeds.training_sources(config, stage)
  batch = next(cosnet.make_batches(config, stage, sources, 0)(0))
  assert batch["frames"].shape == (2, 3, *SIZE, 3)
  batch = VideoBatch(jnp.asarray(batch["frames"]), jnp.asarray(batch["labels"]))
  variables = jax.jit(model.init)(jax.random.key(0), batch.frames[:, 0] / 255.0)
  objective = cosnet.make_objective(model, stage)
  optimizer = cosnet.make_optimizer(model, stage)

  @jax.jit
  def step(params):
    def loss(params):
      return objective(variables | {"params": params}, batch, None)[0]

    value, grads = jax.value_and_grad(loss)(params)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    return value, updates

  value, updates = step(variables["params"])
  assert 0 < value < 20
  backbone = jax.tree.leaves(updates.pop("backbone"))
  assert not any(np.any(x) for x in backbone)
  assert all(np.any(x) for x in jax.tree.leaves(updates))


def test_frames_of_any_size_are_compared_with_the_truth():
  config = get_config("released_smoke")
  model = models.build("cosnet", **config.model.fields.to_dict())
  objective = cosnet.make_objective(model, config.stages.main)
  shape = (1, 3, 39, 47)  # neither is a multiple of the stride, 4
  batch = VideoBatch(jnp.zeros((*shape, 3), jnp.uint8), jnp.zeros(shape, jnp.uint8))
  variables = jax.eval_shape(model.init, jax.random.key(0), batch.frames[:, 0] / 255.0)
  loss, _ = jax.eval_shape(objective, variables, batch, None)
  assert loss.shape == ()


def test_clips_of_another_length_are_refused():
  config = get_config("released_smoke")
  config.stages.main.clip_length = 2
  model = models.build("cosnet", **config.model.fields.to_dict())
  with pytest.raises(ValueError, match=r"clip_length is 2; expected 3.*\(2, 5\)"):
    cosnet.make_objective(model, config.stages.main)


def test_references_are_refused_before_anything_is_trained():
  config = get_config("released_smoke")
  model = models.build("cosnet", **config.model.fields.to_dict())
  cosnet.make_scoring(config, model)
  config.evaluation.compare_references = (0, 2)
  with pytest.raises(ValueError, match=r"compare_references is \(0, 2\).*Choose 0 and"):
    cosnet.make_scoring(config, model)
