"""Rules that reflection can check: names, docstrings, annotations, light imports."""

import ast
import configparser
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import pytest

import vosjax
from vosjax import __main__ as command_line

ROOT = pathlib.Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "vosjax").rglob("*.py"))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

# What `import vosjax` and a forward pass must not import.
HEAVY = (
  "tensorflow",
  "tensorflow_datasets",
  "grain",
  "av",
  "matplotlib",
  "orbax",
  "clu",
  "ml_collections",
  "optax",
  "PIL",
  "scipy",
  "tqdm",
  "vosjax.data",
)


def trees():
  for path in FILES:
    yield path.relative_to(ROOT), ast.parse(path.read_text(), str(path))


def is_public(node) -> bool:
  return not node.name.startswith("_") and node.name != "setup"  # linen's hook


def public_functions(tree):
  """Public functions of a module and methods of its public classes."""
  for node in tree.body:
    if isinstance(node, FUNCTIONS) and is_public(node):
      yield node, False
    elif isinstance(node, ast.ClassDef) and is_public(node):
      for method in node.body:
        if isinstance(method, FUNCTIONS) and is_public(method):
          yield method, True


def unannotated(function, is_method) -> list[str]:
  """Arguments without annotation, and "return" where that is missing."""
  spec = function.args
  named = [*spec.posonlyargs, *spec.args]
  decorators = {getattr(item, "id", "") for item in function.decorator_list}
  if is_method and "staticmethod" not in decorators:
    named = named[1:]
  named += [*spec.kwonlyargs, *filter(None, (spec.vararg, spec.kwarg))]
  missing = [argument.arg for argument in named if argument.annotation is None]
  return missing + ["return"] * (function.returns is None)


def test_public_names_are_few_and_can_be_loaded():
  assert len(vosjax.__all__) <= 10
  assert vosjax.__all__ == sorted(set(vosjax.__all__))
  for name in vosjax.__all__:
    assert getattr(vosjax, name) is not None
    assert name in dir(vosjax)


def test_an_unknown_name_lists_the_public_ones():
  with pytest.raises(AttributeError, match=r"no 'Segmenter'.*VideoSegmenter"):
    vosjax.Segmenter  # noqa: B018


def test_the_version_is_the_one_that_a_wheel_gets():
  assert re.fullmatch(r"\d+\.\d+\.\d+", vosjax.__version__)
  setup = configparser.ConfigParser()
  setup.read(ROOT / "setup.cfg")
  assert setup["metadata"]["version"] == "attr: vosjax.__version__"


def test_losses_are_public():
  """Every public function of its modules, so that none has to be searched for."""
  folder = ROOT / "vosjax" / "losses"
  defined = {
    function.name
    for path in folder.glob("*.py")
    for function, _ in public_functions(ast.parse(path.read_text()))
  }
  assert defined and defined <= set(vosjax.losses.__all__)


def test_every_all_holds_what_its_module_defines():
  faults = []
  for path, tree in trees():
    if path == pathlib.Path("vosjax/__init__.py"):
      continue
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    if not any(getattr(node.targets[0], "id", "") == "__all__" for node in assigned):
      continue
    module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    loaded = importlib.import_module(module)
    faults += [f"{path}: {n}" for n in loaded.__all__ if not hasattr(loaded, n)]
    if len(set(loaded.__all__)) < len(loaded.__all__):
      faults.append(f"{path}: a name appears twice")
  assert not faults, "\n".join(faults)


def test_public_functions_and_classes_are_documented():
  faults = []
  for path, tree in trees():
    if tree.body and not ast.get_docstring(tree):
      faults.append(f"{path}:1: module")
    named = (node for node in tree.body if isinstance(node, (*FUNCTIONS, ast.ClassDef)))
    faults += [
      f"{path}:{node.lineno}: {node.name}"
      for node in named
      if is_public(node) and not ast.get_docstring(node)
    ]
  assert not faults, "no docstring:\n" + "\n".join(faults)


def test_public_functions_are_annotated():
  faults = [
    f"{path}:{function.lineno}: {function.name}({', '.join(missing)})"
    for path, tree in trees()
    for function, is_method in public_functions(tree)
    if (missing := unannotated(function, is_method))
  ]
  assert not faults, "no annotation:\n" + "\n".join(faults)


def test_no_star_imports_and_no_utils():
  for path, tree in trees():
    assert path.stem not in ("utils", "util", "helpers", "misc"), path
    for node in ast.walk(tree):
      if isinstance(node, ast.ImportFrom):
        assert node.names[0].name != "*", f"{path}:{node.lineno}"


def loaded_after(statement: str) -> dict:
  """Modules and seconds of a fresh process that already holds jax and flax."""
  code = (
    "import flax.linen, jax.numpy, jaxtyping, json, sys, time\n"
    "start = time.perf_counter()\n"
    f"{statement}\n"
    "seconds = time.perf_counter() - start\n"
    "print(json.dumps({'modules': list(sys.modules), 'seconds': seconds}))"
  )
  result = subprocess.run(
    [sys.executable, "-c", code],
    cwd=ROOT,
    env=os.environ | {"PYTHONPATH": ""},
    capture_output=True,
    text=True,
    check=True,
  )
  return json.loads(result.stdout.splitlines()[-1])


def test_importing_vosjax_is_light(record_property):
  found = loaded_after("import vosjax")
  record_property("import_seconds_beyond_jax_and_flax", found["seconds"])
  assert not set(HEAVY) & set(found["modules"])


def test_models_need_jax_and_flax_only(record_property):
  found = loaded_after("import vosjax; vosjax.models; vosjax.VideoSegmenter")
  record_property("model_seconds_beyond_jax_and_flax", found["seconds"])
  allowed = {"optax", "orbax"}  # flax brings these along by itself
  already = set(loaded_after("pass")["modules"])
  assert not (set(HEAVY) - allowed) & (set(found["modules"]) - already)


@pytest.mark.parametrize("name", command_line.COMMANDS)
def test_every_command_exists_and_helps_with_an_example(name, capsys):
  module, summary = command_line.COMMANDS[name]
  importlib.import_module(module)
  with pytest.raises(SystemExit) as stop:
    command_line.main([name, "--help"])
  assert stop.value.code == 0
  text = capsys.readouterr().out
  assert "example" in text.lower()
  assert f"vosjax {name}" in text
  assert summary


def test_the_first_help_lists_every_command(capsys):
  with pytest.raises(SystemExit) as stop:
    command_line.main(["--help"])
  assert stop.value.code == 0
  text = capsys.readouterr().out
  for name, (_, summary) in command_line.COMMANDS.items():
    assert name in text
    assert summary in text


@pytest.mark.parametrize("arguments", [[], ["paint"], ["segment"]])
def test_bad_usage_exits_with_2(arguments, capsys):
  with pytest.raises(SystemExit) as stop:
    command_line.main(arguments)
  assert stop.value.code == 2
  assert "usage: vosjax" in capsys.readouterr().err


def test_the_suite_is_hostile():
  assert jax.device_count() >= 2
  assert jax.config.jax_default_matmul_precision == "highest"
  with pytest.raises(ValueError, match="rank_promotion"):
    jnp.ones((2, 3)) + jnp.ones(3)
  with pytest.raises(UserWarning):
    warnings.warn("raised", UserWarning, stacklevel=1)
