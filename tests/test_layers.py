"""The layers of the package: imports point downwards and never run in a circle."""

import ast
import collections
import functools
import graphlib
import importlib
import pathlib
import subprocess
import sys
from typing import NamedTuple

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Folders and files directly in vosjax/, from the bottom up. A file imports from its own
# folder and from lower layers only.
LAYERS = (
  ("types", "files", "labels", "cores", "children"),
  ("ops",),
  ("models", "losses", "metrics", "data", "viz", "crf"),
  ("media", "checkpoints"),
  ("convert", "evaluation", "inference", "weights"),
  ("train", "export"),
  ("benchmarks", "app"),
  ("cli",),
  ("__init__",),
  ("__main__",),
  ("main",),
)
LAYER_OF = {unit: number for number, units in enumerate(LAYERS) for unit in units}

# Units that load neither JAX nor TensorFlow: they run in data workers, evaluations and
# wherever only masks and video files are handled.
WITHOUT_JAX = (
  "files",
  "labels",
  "cores",
  "children",
  "metrics",
  "data",
  "viz",
  "media",
  "evaluation",
)

ARRAYS = {"jax", "jaxtyping", "numpy"}
IMAGES = {"jaxtyping", "numpy", "PIL", "scipy"}
THIRD_PARTIES = {
  "types": ARRAYS | {"flax"},
  "files": set(),
  "labels": {"jaxtyping", "numpy"},
  "cores": set(),
  "children": set(),
  "ops": ARRAYS | {"flax.struct"},
  "models": ARRAYS | {"flax"},
  "losses": ARRAYS | {"optax"},
  "metrics": IMAGES,
  "data": IMAGES
  | {
    "absl",
    "array_record",
    "grain",
    "pillow_heif",
    "pycocotools",
    "tensorflow_datasets",
    "yaml",
  },
  "viz": IMAGES,
  "media": IMAGES | {"av", "pycocotools"},
  "checkpoints": ARRAYS | {"absl", "flax", "orbax"},
  "crf": ARRAYS,
  "convert": ARRAYS | {"absl", "flax"},
  "evaluation": IMAGES,
  "weights": ARRAYS | {"flax", "safetensors"},
  "inference": ARRAYS | {"absl", "flax", "safetensors"},
  "export": ARRAYS | {"flax", "safetensors"},
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
  "app": {"anyio", "cv2", "jaxtyping", "numpy", "PIL", "starlette", "uvicorn"},
  "main": set(),
  "__main__": set(),
  "cli": ARRAYS | {"absl", "flatbuffers", "flax", "PIL", "platformdirs", "tqdm"},
  "__init__": set(),
}


class Import(NamedTuple):
  """An imported name: `from a.b import c` in line 3 of a file is (file, 3, "a.b.c")."""

  path: pathlib.Path
  line: int
  name: str

  @property
  def where(self) -> str:
    return f"{self.path}:{self.line}"


@functools.cache
def imports(package: pathlib.Path) -> list[Import]:
  """All imports of all files, also those inside of functions."""
  found = []
  for path in sorted(package.rglob("*.py")):
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
      if isinstance(node, ast.Import):
        found += [Import(path, node.lineno, alias.name) for alias in node.names]
      elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        names = [f"{module}.{alias.name}" for alias in node.names]
        found += [Import(path, node.lineno, name) for name in names]
  return found


def unit_of(package: pathlib.Path, path: pathlib.Path) -> str:
  return path.relative_to(package).parts[0].removesuffix(".py")


def fault(unit: str, name: str) -> str | None:
  """Why `unit` must not import `name`, or None."""
  if name.startswith("."):
    return "relative import"
  top, _, rest = name.partition(".")
  if top == "vosjax":
    target = rest.partition(".")[0] or "__init__"
    if target not in LAYER_OF:
      return f"vosjax.{target} is in no layer: add it to LAYERS"
    if target == unit:
      return None
    if unit in WITHOUT_JAX and target not in WITHOUT_JAX:
      return f"{unit} must not load JAX, which vosjax.{target} does"
    if LAYER_OF[target] < LAYER_OF[unit]:
      return None
    return f"layer {LAYER_OF[unit]} imports layer {LAYER_OF[target]}"
  if top in sys.stdlib_module_names:
    return None
  if any(f"{name}.".startswith(f"{allowed}.") for allowed in THIRD_PARTIES[unit]):
    return None
  return f"{name} is not on the list of {unit}"


def violations(package: pathlib.Path) -> list[str]:
  """`file:line: name: reason` for each import that breaks a rule."""
  found = []
  for path in sorted({*package.glob("*.py"), *package.glob("[!_.]*/")}):
    unit = unit_of(package, path)
    if unit not in LAYER_OF:
      found.append(f"{path}: {unit} is in no layer: add it to LAYERS")
  for entry in imports(package):
    unit = unit_of(package, entry.path)
    if unit in LAYER_OF and (reason := fault(unit, entry.name)):
      found.append(f"{entry.where}: {entry.name}: {reason}")
  return found


def resolve(package: pathlib.Path, name: str) -> pathlib.Path | None:
  """The file of the package that a dotted name imports; None for third parties."""
  top, *parts = name.split(".")
  if top != "vosjax":
    return None
  while parts:
    path = package.joinpath(*parts)
    if path.with_suffix(".py").is_file():
      return path.with_suffix(".py")
    if path.is_dir():
      return path / "__init__.py"
    parts.pop()  # an attribute of a module
  return package / "__init__.py"


def circles(package: pathlib.Path) -> list[str]:
  """A line for each folder whose files and sub-folders import each other in a circle.

  A sub-folder counts as one thing: what its files import, it imports.
  """
  graphs: dict[pathlib.Path, dict[str, dict[str, str]]] = {}
  for entry in imports(package):
    target = resolve(package, entry.name)
    if target is None or target == entry.path:
      continue
    here, there = entry.path.parts, target.parts
    depth = next(n for n, (a, b) in enumerate(zip(here, there)) if a != b)
    graph = graphs.setdefault(
      pathlib.Path(*here[:depth]), collections.defaultdict(dict)
    )
    graph[here[depth]].setdefault(there[depth], entry.where)
  found = []
  for folder, graph in graphs.items():
    try:
      graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
      circle = error.args[1][::-1]  # from importer to imported
      steps = [f"{a} -> {b} ({graph[a][b]})" for a, b in zip(circle, circle[1:])]
      found.append(f"{folder}: {', '.join(steps)}")
  return found


def write_package(folder: pathlib.Path, files: dict[str, str]) -> pathlib.Path:
  for name, source in files.items():
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
  return folder


def test_imports_point_downwards():
  found = violations(ROOT / "vosjax")
  assert not found, "\n".join(found)


def test_no_folder_imports_in_a_circle():
  found = circles(ROOT / "vosjax")
  assert not found, "\n".join(found)


def modules_of(unit: str) -> list[str]:
  paths = [ROOT / "vosjax" / f"{unit}.py", *(ROOT / "vosjax" / unit).rglob("*.py")]
  found = [path.relative_to(ROOT) for path in paths if path.is_file()]
  return [".".join(path.with_suffix("").parts) for path in found]


def test_masks_and_videos_are_handled_without_jax():
  light = ["vosjax.cli.evaluate"]
  for unit in WITHOUT_JAX:
    light += modules_of(unit) if unit != "data" else []
  assert "vosjax.evaluation.protocols" in light and "vosjax.files" in light
  data = modules_of("data")
  assert "vosjax.data.pipeline" in data
  for module in data:  # skips the test where a package of an extra is missing
    importlib.import_module(module)
  # Grain itself loads JAX where it is installed and does without it elsewhere, so the
  # modules of data/ are imported as if it were not installed.
  script = f"""
import importlib, sys
heavy = ("jax", "flax", "tensorflow")
for module in {light}:
  importlib.import_module(module)
  for name in heavy:
    assert name not in sys.modules, f"{{module}} loads {{name}}"

class NotInstalled:
  def find_spec(name, *_):
    if name.partition(".")[0] in heavy:
      raise ImportError(f"{{name}} is not installed")

sys.meta_path.insert(0, NotInstalled)
for module in {data}:
  importlib.import_module(module)
"""
  run = subprocess.run(
    [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
  )
  assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
  ("file", "source", "reason"),
  [
    ("ops/resize.py", "from vosjax.models import api", "layer 1 imports layer 2"),
    ("models/agame.py", "def f():\n  import vosjax.data.video", "layer 2 imports"),
    ("models/agame.py", "import optax", "optax is not on the list of models"),
    ("metrics/region.py", "from vosjax import ops", "must not load JAX"),
    ("data/video.py", "import jax.numpy as jnp", "is not on the list of data"),
    ("convert/rules.py", "import vosjax.inference.engine", "layer 4 imports layer 4"),
    ("losses/matching.py", "from . import segmentation", "relative import"),
    ("ops/resize.py", "import flax.linen", "flax.linen is not on the list of ops"),
    ("ops/resize.py", "from flax import linen", "flax.linen is not on the list of ops"),
    ("train/loop.py", "import datasets", "datasets is not on the list"),
    ("train/loop.py", "import vosjax", "layer 5 imports layer 8"),
    ("train/loop.py", "from vosjax import utils", "vosjax.utils is in no layer"),
  ],
)
def test_a_wrong_import_is_named_with_file_and_line(tmp_path, file, source, reason):
  package = write_package(tmp_path, {file: source})
  (found,) = violations(package)
  assert found.startswith(f"{package / file}:{source.count(chr(10)) + 1}: ")
  assert reason in found


def test_new_folders_and_files_need_a_layer(tmp_path):
  package = write_package(tmp_path, {"helpers/a.py": "", "utils.py": "", "README": ""})
  found = violations(package)
  assert [line.partition(": ")[2].split()[0] for line in found] == ["helpers", "utils"]


@pytest.mark.parametrize(
  ("files", "folder", "named"),
  [
    pytest.param(
      {
        "data/video.py": "def f():\n  from vosjax.data.formats import davis",
        "data/formats/davis.py": "from vosjax.data.video import Video",
      },
      "data",
      ("data/video.py:2", "data/formats/davis.py:1"),
      id="file and sub-folder",
    ),
    pytest.param(
      {
        "train/recipes/a.py": "import vosjax.train.scoring.b",
        "train/recipes/z.py": "",
        "train/scoring/b.py": "",
        "train/scoring/y.py": "from vosjax.train.recipes.z import f",
      },
      "train",
      ("recipes -> scoring", "scoring -> recipes", "train/scoring/y.py:1"),
      id="sub-folders, though no file is in a circle",
    ),
    pytest.param(
      {
        "metrics/__init__.py": "from vosjax.metrics.region import f",
        "metrics/region.py": "from vosjax import metrics",
      },
      "metrics",
      ("__init__.py -> region.py", "region.py -> __init__.py"),
      id="facade and file",
    ),
  ],
)
def test_circles_are_named_with_file_and_line(tmp_path, files, folder, named):
  (found,) = circles(write_package(tmp_path, files))
  assert found.startswith(f"{tmp_path / folder}: ")
  for text in named:
    assert text in found


def test_imports_in_one_direction_are_no_circle(tmp_path):
  files = {
    "data/video.py": "from vosjax import files\nimport numpy",
    "data/formats/davis.py": "from vosjax.data import video",
    "data/formats/coco.py": "from vosjax.data.formats.davis import f",
    "files.py": "",
  }
  assert not circles(write_package(tmp_path, files))


def test_every_unit_has_a_list_of_third_parties():
  assert THIRD_PARTIES.keys() == LAYER_OF.keys()


def test_datasets_and_configs_stay_outside_of_the_package():
  for name in ("configs", "datasets", "tests"):
    assert not (ROOT / "vosjax" / name).exists()
    assert not (ROOT / name / "__init__.py").exists()
