"""Configurations are complete, locked, read, and buildable."""

import ast
import functools
import keyword
import pathlib
import re
import runpy

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from vosjax import models
from vosjax.train.optimizers.adam import label_params
from vosjax.train.recipes import RECIPES

ROOT = pathlib.Path(__file__).resolve().parents[1]
FILES = sorted(p.stem for p in (ROOT / "configs").glob("*.py") if p.stem != "base")


@functools.cache
def get_config(file):
  return runpy.run_path(str(ROOT / "configs" / f"{file}.py"))["get_config"]


@functools.cache
def variants(file):
  """All variants, as the error about an unknown one lists them."""
  with pytest.raises(ValueError, match="variant 'nope' is unknown") as error:
    get_config(file)("nope")
  return ("", *re.search(r"known: (.*)\.$", str(error.value)).group(1).split(", "))


CASES = [(file, variant) for file in FILES for variant in variants(file)]


def paths(config, prefix=""):
  """Dotted names of all values, stages and what is passed whole left out."""
  for key, value in config.items():
    name = f"{prefix}{key}"
    if isinstance(value, ConfigDict):
      yield from paths(value, f"{name}.")
    else:
      yield name


@pytest.mark.parametrize("file", FILES)
def test_every_key_can_be_set_on_the_command_line(file):
  """Whose parser takes them for Python's names."""
  for variant in variants(file):
    for name in paths(get_config(file)(variant)):
      assert not any(map(keyword.iskeyword, name.split("."))), name
      assert all(map(str.isidentifier, name.split("."))), name


def test_every_recipe_has_a_configuration():
  assert set(FILES) == set(RECIPES)


@pytest.mark.parametrize("file", FILES)
def test_every_file_has_an_embedded_default_a_smoke_test_and_the_paper(file):
  assert {"", "smoke", "paper"} <= set(variants(file))


@functools.cache
def shapes_of(model):
  """Shapes of the variables; many variants share a network."""
  size = (64, 64)
  return jax.eval_shape(
    model.init, jax.random.key(0), jnp.zeros((1, *size, 3)), jnp.zeros((1, 1, *size))
  )


@pytest.mark.parametrize(("file", "variant"), CASES)
def test_every_variant_builds_its_model_and_recipe(file, variant):
  config = get_config(file)(variant)
  model = models.build(config.model.name, **config.model.fields.to_dict())
  shapes = shapes_of(model)
  label_params(shapes["params"], model.frozen)
  recipe = RECIPES[config.model.name]
  recipe.scoring(config, model)
  for stage in config.stages.values():
    recipe.objective(model, stage)
    jax.eval_shape(recipe.tx(model, stage).init, shapes["params"])
    assert stage.num_steps % stage.steps_per_epoch == 0
    assert any(stage.sources.values())


@pytest.mark.parametrize(("file", "variant"), CASES)
def test_every_variant_has_the_same_keys_and_is_locked(file, variant):
  config, whole = get_config(file)(variant), get_config(file)("")

  def rest(config):
    keep = (p for p in paths(config) if not p.startswith(("stages.", "model.fields.")))
    return sorted(keep)

  assert rest(config) == rest(whole)
  keys = set(paths(next(iter(whole.stages.values()))))
  for stage in config.stages.values():
    assert set(paths(stage)) == keys
    with pytest.raises(AttributeError):
      stage.momentums = 0.9
  with pytest.raises(AttributeError):
    config.data.rooot = "elsewhere"


@pytest.mark.parametrize("file", FILES)
def test_every_key_is_read_somewhere(file):
  read = set()
  for path in [*(ROOT / "vosjax" / "train").rglob("*.py"), ROOT / "vosjax" / "main.py"]:
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.Attribute):
        read.add(node.attr)
  config = get_config(file)("paper")
  named = (".losses.", ".sources.", ".min_chosen_pixels.", "model.fields.")
  keys = {
    path.rpartition(".")[2]
    for path in paths(config)
    if not any(part in path for part in named)
  }
  assert not keys - read
