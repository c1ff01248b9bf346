"""Packages that only some commands need, and how to install them."""

import importlib.metadata
import importlib.util
import re
from collections.abc import Mapping

_VIDEO = ("av", "pycocotools")
# Extra of setup.cfg -> modules, by the names under which they are imported.
EXTRAS: Mapping[str, tuple[str, ...]] = {
  "video": _VIDEO,
  "train": (
    *_VIDEO,
    "array_record",
    "clu",
    "grain",
    "importlib_resources",
    "matplotlib",
    "ml_collections",
    "tensorboardX",
    "tensorflow_datasets",
    "yaml",
  ),
  "export": ("flatbuffers",),
}
# What `pip install vosjax` brings along: names of modules and, if another, of packages.
REQUIRED: Mapping[str, str] = {
  "absl": "absl-py",
  "filelock": "filelock",
  "flax": "flax",
  "jax": "jax",
  "jaxtyping": "jaxtyping",
  "numpy": "numpy",
  "optax": "optax",
  "orbax": "orbax-checkpoint",
  "PIL": "pillow",
  "platformdirs": "platformdirs",
  "safetensors": "safetensors",
  "scipy": "scipy",
  "tqdm": "tqdm",
}
# The oldest release that works, by names of packages, as in setup.cfg.
OLDEST: Mapping[str, str] = {
  "av": "17",
  "flax": "0.12",
  "jax": "0.9",
  "numpy": "2.0",
  "pillow": "11.3",
  "scipy": "1.14",
}
PURPOSES = {
  "video": "video files and masks in COCO's format; folders of images work without",
  "train": "training, whole datasets, `vosjax benchmark data`",
  "export": "`vosjax export`",
}


def find_missing(extra: str) -> list[str]:
  """Modules of an extra that are not installed."""
  return [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]


def find_missing_requirements() -> list[str]:
  """Packages that vosjax requires and that are not installed."""
  return [
    package
    for name, package in REQUIRED.items()
    if importlib.util.find_spec(name) is None
  ]


def find_too_old() -> list[str]:
  """Packages that are installed but too old."""
  found = {package: version(package) for package in OLDEST}
  return [
    package
    for package, release in found.items()
    if release and _numbers(release) < _numbers(OLDEST[package])
  ]


def _numbers(release: str) -> tuple[int, ...]:
  """The first two numbers of a version."""
  return tuple(int(number) for number in re.findall(r"\d+", release)[:2])


def explain_missing(module: str | None) -> str | None:
  """What to do about a module that is not installed; None if it is not required."""
  name = (module or "").partition(".")[0]
  for extra, modules in EXTRAS.items():
    if name in modules:
      return f'{name} is not installed. Run `pip install "vosjax[{extra}]"`.'
  if name in REQUIRED:
    return f"{name} is not installed. Run `pip install {REQUIRED[name]}`."
  return None


def version(package: str) -> str | None:
  """Version of an installed package, or None."""
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None
