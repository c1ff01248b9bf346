"""A-GAME's recipe: what a stage says about batch statistics, and its samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.data.cache import ArrayVideo
from vosjax.train.configs.agame import get_config
from vosjax.train.recipes import agame
from vosjax.types import VideoBatch

SIZE = (32, 48)


@pytest.fixture(scope="module")
def clips():
  """Two clips, one of them dark: statistics that they share change both."""
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (2, 2, *SIZE, 3), np.uint8)
  frames[1] //= 4
  labels = np.zeros((2, 2, *SIZE), np.uint8)
  labels[:, :, 8:20, 8:30] = 1
  return VideoBatch(jnp.asarray(frames), jnp.asarray(labels))


def run(tiny, clips, *, frozen):
  """Losses, statistics and a gradient of both clips, then of each clip twice."""
  model, variables = tiny
  stage = get_config("smoke").stages.main
  stage.update(frozen_batch_stats=frozen, clip_length=2)
  objective = agame.make_objective(model.clone(frozen_stages=()), stage)

  def loss(refinement, batch):
    params = variables["params"] | {"refinement": refinement}
    return objective({**variables, "params": params}, batch, None)

  grad = jax.jit(jax.value_and_grad(loss, has_aux=True))
  results = []
  for rows in ([0, 1], [0, 0], [1, 1]):
    batch = jax.tree.map(lambda x, rows=rows: x[np.array(rows)], clips)
    results.append(jax.device_get(grad(variables["params"]["refinement"], batch)))
  values, grads = zip(*results)
  losses, outputs = zip(*values)
  return losses, [output.batch_stats for output in outputs], grads


def test_with_frozen_statistics_clips_are_independent(tiny, clips):
  losses, stats, grads = run(tiny, clips, frozen=True)
  for after in stats:
    jax.tree.map(np.testing.assert_array_equal, after, tiny[1]["batch_stats"])
  assert losses[0] == pytest.approx(np.mean(losses[1:]), rel=1e-4)
  for both, *single in zip(*map(jax.tree.leaves, grads)):
    largest = np.abs(both).max()
    assert largest > 0  # the layers themselves are trained
    np.testing.assert_allclose(both, np.mean(single, 0), atol=1e-3 * largest)


def test_otherwise_statistics_are_those_of_the_batch(tiny, clips):
  losses, stats, _ = run(tiny, clips, frozen=False)
  before = tiny[1]["batch_stats"]
  moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), stats[0], before)
  assert min(jax.tree.leaves(moved)) > 1e-4
  assert abs(losses[0] - np.mean(losses[1:])) > 1e-3 * losses[0]


class Gaps(ArrayVideo):
  """A video whose every other frame has no annotation."""

  def labels(self, index):
    return None if index % 2 else super().labels(index)


@pytest.mark.parametrize("name", ["synthvos", "davis", "youtube_vos"])
def test_no_pixel_of_a_sample_is_void(name):
  """Which the loss relies on; neither void nor a missing annotation reaches it."""
  labels = np.full((4, 64, 64), 255, np.uint8)
  labels[:, 8:40, 8:40], labels[:, 20:60, 45:60], labels[:, 60:] = 7, 9, 0
  frames = np.zeros((4, 64, 64, 3), np.uint8)
  video = Gaps("v", tuple("0123"), frames, labels)
  config = get_config("davis_folder")
  config.data.youtube_vos_size = (64, 64)
  stage = config.stages.main
  stage.update(size=SIZE, clip_length=2, zoom=True)
  for seed in range(8):
    rng, sample = np.random.default_rng(seed), video
    for transform in agame.clip_transforms(config, stage, name):
      sample = transform.random_map(sample, rng)
    assert set(np.unique(sample["labels"])) == {0, 1}
    assert sample["labels"][0].any()
