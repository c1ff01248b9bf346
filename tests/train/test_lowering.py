"""Training steps lower for accelerators, which need not be here."""

import jax
import pytest

# Clip lengths, where steps of several forms take turns.
FORMS = [
  ("agame", 3),
  ("cosnet", 1),
  ("cosnet", 2),
  ("ris", 1),
  ("rsis", 1),
  ("rvos", 3),
]
# Their networks have the full size.
RECIPES = [
  ("agame:released", 3),
  ("cosnet:released", 3),
  ("agame:paper", 3),
  ("cosnet:paper", 1),
  ("cosnet:paper", 2),
  ("ris:paper", 1),
  ("rsis:paper", 1),
  ("rvos:paper", 3),
  ("rvos:paper_one_shot", 3),
]


@pytest.fixture(scope="session")
def lower_step(lower, make_update):
  """Lowers one update of the first stage, on clips of a given length."""

  def check(config, clip_length, dtype):
    config.model.fields.dtype = dtype
    step, state, batch = make_update(config, clip_length, num_devices=1)
    new, metrics = lower(step, state, batch)
    shapes = jax.tree.map(lambda x: x.shape, state)
    assert jax.tree.map(lambda x: x.shape, new) == shapes
    assert {"loss", "grad_norm"} <= set(metrics)

  return check


@pytest.mark.parametrize(("name", "clip_length"), FORMS)
def test_small_models_in_mixed_precision(lower_step, get_config, name, clip_length):
  lower_step(get_config(f"{name}:smoke"), clip_length, "bfloat16")


def test_a_small_dilated_network_in_mixed_precision(lower_step, get_config):
  config = get_config("cosnet:smoke")
  config.model.fields.deep = "dilated"
  lower_step(config, 2, "bfloat16")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "clip_length"), FORMS)
def test_small_models(lower_step, get_config, name, clip_length):
  lower_step(get_config(f"{name}:smoke"), clip_length, "float32")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("name", "clip_length"), RECIPES)
def test_recipes_of_released_and_published_weights(
  lower_step, get_config, name, clip_length, dtype
):
  lower_step(get_config(name), clip_length, dtype)
