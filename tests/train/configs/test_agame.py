"""A-GAME's variants: the rows of the ablation, and the paper's numbers."""

import jax
import jax.numpy as jnp
import pytest

from vosjax import models
from vosjax.train import config_files
from vosjax.train.config import ordered_stages
from vosjax.train.configs.agame import get_config


@pytest.mark.parametrize("variant", ["", "paper"])
def test_precision_and_remat_can_be_set(variant):
  config = get_config(variant)
  config.model.fields.update(dtype="bfloat16", remat=True)
  model = models.build(config.model.name, **config.model.fields.to_dict())
  features = jax.eval_shape(
    lambda: model.init_with_output(
      jax.random.key(0), jnp.zeros((1, 32, 32, 3)), method="encode"
    )[0]
  )
  assert features.deep.dtype == features.skip4.dtype == jnp.bfloat16
  assert features.appearance.dtype == jnp.float32  # its sums need every bit


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("use_appearance", False),
    ("use_propagation", False),
    ("residual", False),
    ("update_rate", 0.0),
    ("softmax_scores", True),
    ("end_to_end", False),
  ],
)
def test_a_row_of_the_ablation_is_one_flag(field, value, flatten):
  plain = flatten(get_config("paper"))
  changed = config_files.read("agame:paper", [f"--config.model.fields.{field}={value}"])
  models.build(changed.model.name, **changed.model.fields.to_dict())
  assert flatten(changed) == plain | {f"model.fields.{field}": value}
  assert plain[f"model.fields.{field}"] != value


def test_the_paper_recipe_has_the_numbers_of_the_released_program():
  alpha, beta = ordered_stages(get_config("paper")).values()
  assert (alpha.size, alpha.batch_size, alpha.clip_length) == ((240, 432), 4, 8)
  assert (beta.size, beta.batch_size, beta.clip_length) == ((480, 864), 2, 14)
  rates = [(s.learning_rate, s.lr_decay, s.weight_decay) for s in (alpha, beta)]
  assert rates == [(1e-4, 0.975, 1e-5), (1e-5, 0.985, 1e-6)]
  assert alpha.num_steps == 160 * alpha.steps_per_epoch
  assert beta.num_steps * beta.batch_size == 100 * 120
  assert dict(alpha.losses) == {"final": 1.0, "coarse": 1.0}
  assert dict(beta.losses) == {"final": 1.0, "coarse": 0.0}
  assert dict(alpha.sources) == {"davis": 60, "youtube_vos": 3171, "synthvos": 3171}
  assert dict(beta.sources) == {"davis": 1, "youtube_vos": 1, "synthvos": 0}
  alpha, beta = ordered_stages(get_config("paper_davis")).values()
  assert alpha.num_steps * alpha.batch_size == 80 * 2600
  assert beta.num_steps * beta.batch_size == 100 * 118
  assert (alpha.lr_decay, alpha.zoom, beta.zoom) == (0.95, True, False)
