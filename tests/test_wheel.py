"""The wheel works by itself: built, installed away from the clone, and used there."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = ("vosjax", "setup.cfg", "pyproject.toml", "README.md", "LICENSE", "NOTICE")


def run(*command, cwd, **environment):
  done = subprocess.run(
    command,
    cwd=cwd,
    env=os.environ | environment,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
  """The wheel of a copy of the sources: a build leaves files among them."""
  copy = tmp_path_factory.mktemp("sources")
  for name in SOURCES:
    if (ROOT / name).is_dir():
      ignored = shutil.ignore_patterns("__pycache__")
      shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    else:
      shutil.copy(ROOT / name, copy / name)
  out = tmp_path_factory.mktemp("wheel")
  pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
  options = ("--no-deps", "--no-index", "--no-build-isolation", "-w", str(out))
  run(*pip, "wheel", *options, str(copy), cwd=copy)
  (path,) = out.glob("vosjax-*.whl")
  return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
  """A function that runs a command with the installed wheel, far from the clone."""
  site, elsewhere = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("empty")
  pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q")
  run(*pip, "--no-deps", "--no-index", "--target", site, wheel, cwd=elsewhere)

  def call(*command):
    path = f"{site}/bin{os.pathsep}{os.environ['PATH']}"
    return run(*command, cwd=elsewhere, PYTHONPATH=str(site), PATH=path)

  call.site, call.folder = site, elsewhere
  return call


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel):
  with zipfile.ZipFile(wheel) as archive:
    names = {name for name in archive.namelist() if ".dist-info/" not in name}
    found = {pathlib.PurePath(name).name for name in archive.namelist()}
  package = {
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "vosjax").rglob("*")
    if path.is_file() and path.parent.name != "__pycache__"
  }
  assert "vosjax/py.typed" in package
  assert names == package
  assert {"LICENSE", "NOTICE"} <= found


def test_the_commands_are_there(installed):
  text = installed("vosjax", "--help")
  assert "commands:" in text
  assert "segment" in text


def test_a_model_is_built_and_run(installed):
  code = """
import jax, jax.numpy as jnp, vosjax
print(vosjax.__file__)
model = vosjax.models.build("ris", channels=4, num_convolutions=2, num_objects=2)
prediction, _ = model.init_with_output(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
print(prediction.logits.shape)
"""
  where, shape = installed(sys.executable, "-c", code).splitlines()
  assert pathlib.Path(where).is_relative_to(installed.site)
  assert shape == "(1, 2, 16, 16)"


def test_a_model_is_trained_without_a_clone(installed):
  text = installed("vosjax", "train", "ris:smoke", "--workdir=run")
  assert "this model" in text
  assert (installed.folder / "run" / "model" / "checkpoint.json").is_file()


def test_a_video_is_segmented_with_the_weights_in_the_wheel(installed):
  """A dark square that moves over a texture."""
  rng = np.random.default_rng(0)
  texture = rng.integers(60, 256, (48, 64, 3), np.uint8)
  masks = np.zeros((5, 48, 64), bool)
  (installed.folder / "frames").mkdir()
  for t, mask in enumerate(masks):
    mask[16:32, 10 + 6 * t : 26 + 6 * t] = True
    image = np.where(mask[..., None], 0, texture).astype(np.uint8)
    Image.fromarray(image).save(installed.folder / "frames" / f"{t:05d}.png")
  Image.fromarray(masks[0].astype(np.uint8)).save(installed.folder / "first.png")
  text = installed("vosjax", "segment", "frames", "--mask", "first.png", "--out", "out")
  assert text.startswith("weights: agame-lite")
  predicted = np.asarray(Image.open(installed.folder / "out" / "00004.png")) == 1
  assert (predicted & masks[4]).sum() / (predicted | masks[4]).sum() > 0.6
  assert not (masks[0] & masks[4]).any()  # to copy the first mask finds nothing
