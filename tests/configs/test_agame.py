"""A-GAME's variants: what each changes, and the paper's numbers."""

import pathlib
import runpy

import jax
import jax.numpy as jnp
import pytest

from vosjax import models

ROOT = pathlib.Path(__file__).resolve().parents[2]
GET_CONFIG = runpy.run_path(str(ROOT / "configs" / "agame.py"))["get_config"]

ABLATIONS = (
  "no_appearance",
  "no_mask_prop",
  "unimodal",
  "no_update",
  "softmax",
  "no_end_to_end",
)
VARIANTS = (
  "",
  "smoke",
  "davis_folder",
  "paper",
  "paper_davis",
  *ABLATIONS,
  *(f"paper_{name}" for name in ABLATIONS),
)


@pytest.mark.parametrize("variant", VARIANTS)
def test_precision_and_remat_can_be_set_on_every_variant(variant):
  config = GET_CONFIG(variant)
  config.model.fields.update(dtype="bfloat16", remat=True)
  model = models.build(config.model.name, **config.model.fields.to_dict())
  features = jax.eval_shape(
    lambda: model.init_with_output(
      jax.random.key(0), jnp.zeros((1, 32, 32, 3)), method="encode"
    )[0]
  )
  assert features.deep.dtype == features.skip4.dtype == jnp.bfloat16
  if model.use_appearance:  # its sums need every bit
    assert features.appearance.dtype == jnp.float32


@pytest.mark.parametrize(
  ("variant", "field", "value"),
  [
    ("no_appearance", "use_appearance", False),
    ("no_mask_prop", "use_propagation", False),
    ("unimodal", "residual", False),
    ("no_update", "update_rate", 0.0),
    ("softmax", "softmax_scores", True),
    ("no_end_to_end", "end_to_end", False),
  ],
)
@pytest.mark.parametrize("recipe", ["", "paper"])
def test_an_ablation_changes_one_field_of_its_recipe(recipe, variant, field, value):
  plain = GET_CONFIG(recipe).to_dict()
  changed = GET_CONFIG(f"{recipe}_{variant}".lstrip("_")).to_dict()
  assert changed["model"]["fields"].pop(field) == value
  assert field not in plain["model"]["fields"]
  for config in (plain, changed):
    config.pop("title")
  assert changed == plain


def test_the_paper_recipe_has_the_numbers_of_the_released_program():
  alpha, beta = GET_CONFIG("paper").stages.values()
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
  alpha, beta = GET_CONFIG("paper_davis").stages.values()
  assert alpha.num_steps * alpha.batch_size == 80 * 2600
  assert beta.num_steps * beta.batch_size == 100 * 118
  assert (alpha.lr_decay, alpha.zoom, beta.zoom) == (0.95, True, False)
