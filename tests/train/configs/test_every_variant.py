"""Built-in configurations are complete, locked, read and buildable."""

import ast
import functools
import importlib
import keyword
import pathlib
import re
import runpy

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from vosjax import models
from vosjax.train import configs
from vosjax.train.config import ordered_stages
from vosjax.train.optimizers.adam import label_params
from vosjax.train.recipes import RECIPES

ROOT = pathlib.Path(__file__).resolve().parents[3]


def get_config(name, variant=""):
  return importlib.import_module(f"vosjax.train.configs.{name}").get_config(variant)


@functools.cache
def variants(name):
  """All variants, as the error about an unknown one lists them."""
  with pytest.raises(ValueError, match=f"{name}: variant 'nope' is unknown") as error:
    get_config(name, "nope")
  return ("", *re.search(r"known: (.*)\.$", str(error.value)).group(1).split(", "))


CASES = [(name, variant) for name in configs.NAMES for variant in variants(name)]


def keys(config, prefix=""):
  """Dotted names of all values."""
  for key, value in config.items():
    if isinstance(value, ConfigDict):
      yield from keys(value, f"{prefix}{key}.")
    else:
      yield f"{prefix}{key}"


def test_every_recipe_has_a_configuration():
  assert set(configs.NAMES) == set(RECIPES)


@pytest.mark.parametrize("name", configs.NAMES)
def test_the_repository_has_a_file_for_each_that_works_from_any_folder(
  name, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  found = runpy.run_path(str(ROOT / "configs" / f"{name}.py"))["get_config"]("smoke")
  assert found.to_dict() == get_config(name, "smoke").to_dict()


@pytest.mark.parametrize("name", configs.NAMES)
def test_each_has_an_embedded_default_a_smoke_test_and_the_paper(name):
  assert {"", "smoke", "paper"} <= set(variants(name))


@pytest.mark.parametrize("name", configs.NAMES)
def test_a_smoke_test_looks_for_no_further_dataset(name):
  assert get_config(name, "smoke").evaluation.also == ()


@functools.cache
def shapes_of(model):
  """Shapes of the variables; many variants share a network."""
  size = (64, 64)
  return jax.eval_shape(
    model.init, jax.random.key(0), jnp.zeros((1, *size, 3)), jnp.zeros((1, 1, *size))
  )


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_every_variant_builds_its_model_and_recipe(name, variant):
  config = get_config(name, variant)
  model = models.build(config.model.name, **config.model.fields.to_dict())
  shapes = shapes_of(model)
  label_params(shapes["params"], model.frozen)
  recipe = RECIPES[config.model.name]
  recipe.scoring(config, model)
  for stage in ordered_stages(config).values():
    recipe.objective(model, stage)
    optimizer = recipe.clipped_optimizer(model, stage)
    assert stage.num_steps % stage.steps_per_epoch == 0
    assert any(stage.sources.values())
  jax.eval_shape(optimizer.init, shapes["params"])  # stages differ in numbers alone


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_every_variant_has_the_same_keys_and_is_locked(name, variant):
  config, default = get_config(name, variant), get_config(name)

  def common(config):
    return sorted(key for key in keys(config) if not key.startswith("stages."))

  assert common(config) == common(default)
  stage_keys = set(keys(next(iter(default.stages.values()))))
  for stage in config.stages.values():
    assert set(keys(stage)) == stage_keys
    with pytest.raises(AttributeError):
      stage.momentums = 0.9
  with pytest.raises(AttributeError):
    config.data.rooot = "elsewhere"
  for key in keys(config):  # the command line takes Python's names alone
    for part in key.split("."):
      assert part.isidentifier() and not keyword.iskeyword(part), key


def test_every_key_is_read_somewhere():
  read = set()
  for path in (ROOT / "vosjax").rglob("*.py"):
    if path.parent.name == "configs" or path.name == "config.py":
      continue
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.Attribute):
        read.add(node.attr)
  by_name = ("model.fields.", ".losses.", ".sources.", ".min_chosen_pixels.")
  unread = {
    key
    for name in configs.NAMES
    for key in keys(get_config(name, "paper"))
    if not any(part in key for part in by_name)
    and key.rpartition(".")[2] not in read | {"stage_order"}
  }
  assert not unread
