"""Imports point downwards only, and each layer keeps to its own third parties."""

import ast
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Unit (a folder or file directly in vosjax/) -> layer.
LAYERS = {
  "types": 0,
  "files": 0,
  "ops": 1,
  "models": 2,
  "losses": 2,
  "metrics": 2,
  "data": 2,
  "viz": 2,
  "crf": 2,
  "media": 3,
  "checkpoints": 3,
  "convert": 4,
  "evaluation": 4,
  "inference": 4,
  "train": 5,
  "benchmarks": 6,
  "main": 8,
  "__main__": 7,
  "cli": 7,
  "__init__": 7,
}

# Units that must run where no JAX is wanted: data workers, scores and video files.
WITHOUT_JAX = ("files", "metrics", "data", "viz", "media", "evaluation")

ARRAYS = {"jax", "jaxtyping", "numpy"}
IMAGES = {"jaxtyping", "numpy", "PIL", "scipy"}
THIRD_PARTIES = {
  "types": ARRAYS | {"flax"},
  "files": set(),
  "ops": ARRAYS | {"flax.struct"},
  "models": ARRAYS | {"flax"},
  "losses": ARRAYS | {"optax"},
  "metrics": IMAGES,
  "data": IMAGES
  | {"absl", "array_record", "grain", "pycocotools", "tensorflow_datasets", "yaml"},
  "viz": IMAGES,
  "media": IMAGES | {"av"},
  "checkpoints": ARRAYS | {"absl", "flax", "orbax"},
  "crf": ARRAYS,
  "convert": ARRAYS | {"absl", "flax"},
  "evaluation": IMAGES | {"tqdm"},
  "inference": ARRAYS | {"absl", "flax"},
  "train": ARRAYS
  | {
    "absl",
    "clu",
    "flax",
    "grain",
    "matplotlib",
    "ml_collections",
    "optax",
    "orbax",
    "PIL",
    "tensorboardX",
    "tqdm",
  },
  "benchmarks": ARRAYS | {"flax", "ml_collections", "PIL"},
  "main": set(),
  "__main__": set(),
  "cli": ARRAYS | {"absl", "flax", "PIL", "tqdm"},
  "__init__": set(),
}


def imported(tree: ast.AST) -> list[tuple[int, str]]:
  """Every (line, dotted name) that a file imports, wherever it does so."""
  found = []
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      found += [(node.lineno, alias.name) for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      module = "." * node.level + (node.module or "")
      if module == "vosjax":
        found += [(node.lineno, f"vosjax.{alias.name}") for alias in node.names]
      else:
        found.append((node.lineno, module))
  return found


def fault(unit: str, name: str) -> str | None:
  """Why `unit` must not import `name`, or None."""
  if name.startswith("."):
    return "relative import"
  top, _, rest = name.partition(".")
  if top == "vosjax":
    target = rest.partition(".")[0] or "__init__"
    if target not in LAYERS:
      return f"vosjax.{target} is in no layer: add it to LAYERS"
    if target == unit:
      return None
    if unit in WITHOUT_JAX and target not in WITHOUT_JAX:
      return f"{unit}/ must load no JAX, which vosjax.{target} does"
    if LAYERS[target] < LAYERS[unit]:
      return None
    return f"layer {LAYERS[unit]} imports layer {LAYERS[target]}"
  if top in sys.stdlib_module_names:
    return None
  if any(f"{name}.".startswith(f"{known}.") for known in THIRD_PARTIES[unit]):
    return None
  return f"{name} is not on the list of {unit}"


def violations(package: pathlib.Path) -> list[str]:
  """`file:line: name: reason` for each import that breaks the rule."""
  found = []
  for path in sorted(package.rglob("*.py")):
    unit = path.relative_to(package).parts[0].removesuffix(".py")
    if unit not in LAYERS:
      found.append(f"{path}:1: {unit} is in no layer: add it to LAYERS")
      continue
    for line, name in imported(ast.parse(path.read_text(), str(path))):
      if reason := fault(unit, name):
        found.append(f"{path}:{line}: {name}: {reason}")
  return found


def test_imports_point_downwards():
  found = violations(ROOT / "vosjax")
  assert not found, "\n".join(found)


@pytest.mark.parametrize(
  ("file", "source", "reason"),
  [
    ("ops/resize.py", "from vosjax.models import api", "layer 1 imports layer 2"),
    ("models/agame.py", "def f():\n  import vosjax.data.video", "layer 2"),
    ("models/agame.py", "import optax", "optax is not on the list of models"),
    ("metrics/region.py", "from vosjax import ops", "must load no JAX"),
    ("data/video.py", "import jax.numpy as jnp", "is not on the list of data"),
    ("convert/rules.py", "import vosjax.inference.engine", "layer 3"),
    ("losses/matching.py", "from . import segmentation", "relative import"),
    ("ops/resize.py", "import flax.linen", "flax.linen is not on the list of ops"),
    ("train/loop.py", "import datasets", "datasets is not on the list"),
    ("train/loop.py", "import vosjax", "layer 4 imports layer 5"),
    ("helpers/a.py", "", "in no layer"),
  ],
)
def test_a_wrong_import_is_named_with_file_and_line(tmp_path, file, source, reason):
  path = tmp_path / file
  path.parent.mkdir()
  path.write_text(source)
  (found,) = violations(tmp_path)
  assert found.startswith(f"{path}:{max(1, source.count(chr(10)) + 1)}:")
  assert reason in found


def test_every_unit_has_a_list_of_third_parties():
  assert THIRD_PARTIES.keys() == LAYERS.keys()


def test_datasets_and_configs_stay_outside_of_the_package():
  for name in ("configs", "datasets", "tests"):
    assert not (ROOT / "vosjax" / name).exists()
    assert not (ROOT / name / "__init__.py").exists()
