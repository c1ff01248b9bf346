"""Commands to be disturbed: small inputs, what each writes, and the figures found.

Counts are options, for example `python -m pytest tests/faults -m slow --kills 50`.
"""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

pytest.register_assert_rewrite("fuzzing")

ROOT = pathlib.Path(__file__).resolve().parents[2]
COUNTS = {
  "kills": (5, "SIGKILLs at random instants of each command"),
  "full-disks": (5, "sizes of a disk that is too small for each command"),
  "truncations": (10, "random places at which a checkpoint is cut off"),
  "fuzzed": (100, "random inputs of each kind of fuzzing"),
  "frames": (1000, "frames of the longest video"),
  "steps": (10_000, "training steps"),
  "videos": (60, "videos that devices and hosts share"),
}
_FIGURES: list[str] = []


def pytest_addoption(parser):
  for name, (default, meaning) in COUNTS.items():
    parser.addoption(
      f"--{name}", type=int, metavar="N", help=f"{meaning} (default: {default})"
    )


def pytest_terminal_summary(terminalreporter):
  if _FIGURES:
    terminalreporter.section("figures")
    for line in _FIGURES:
      terminalreporter.line(line)


@pytest.fixture(scope="session")
def count(request):
  """The number that an option of this folder gives, by its name."""
  return lambda name: request.config.getoption(f"--{name}", None) or COUNTS[name][0]


@pytest.fixture(scope="session")
def tell():
  """Adds a line to the figures at the end."""
  return _FIGURES.append


@dataclasses.dataclass(frozen=True)
class Command:
  """A command that writes to a folder and can be started again after a fault.

  Attributes:
    arguments: of Python; `{out}` stands for the folder.
    variable: patterns of files that hold times or random names, with what reads the
      part of them that must not differ; None if there is no such part.
  """

  arguments: tuple[str, ...]
  variable: dict[str, Callable[[pathlib.Path], Any] | None]

  def start(self, out: pathlib.Path, **options: Any) -> subprocess.Popen:
    """Starts the command in a process group of its own."""
    return subprocess.Popen(
      [sys.executable, *(text.format(out=out) for text in self.arguments)],
      env=os.environ | {"PYTHONPATH": str(ROOT)},
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      start_new_session=True,
      **{"text": True} | options,
    )

  def finish(self, out: pathlib.Path) -> str:
    """Runs the command to its end, which must be a good one; returns what it said."""
    process = self.start(out)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return said

  def results(self, out: pathlib.Path) -> dict[str, Any]:
    """The content of all files below the folder, by their names."""
    found: dict[str, Any] = {}
    for path in sorted(out.rglob("*")):
      name = path.relative_to(out).as_posix()
      pattern = next((p for p in self.variable if path.match(p)), None)
      if pattern is not None:
        read = self.variable[pattern]
        found[name if read else pattern] = read and read(path)
      elif path.is_file() and not any(
        parent.match(p) for p in self.variable for parent in path.parents
      ):
        found[name] = path.read_bytes()
    return found


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
  """Requires equal files, to the last bit."""
  assert sorted(found) == sorted(expected)
  for name, value in expected.items():
    if isinstance(value, list) and isinstance(value[0], np.ndarray):
      for ours, theirs in zip(found[name], value, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
    else:
      assert found[name] == value, name


def kill(process: subprocess.Popen, after: float) -> bool:
  """Kills a process after so many seconds; returns whether it was still running."""
  try:
    process.wait(after)
  except subprocess.TimeoutExpired:
    process.kill()  # alone: what it has started is left to itself, as by the kernel
  process.communicate()
  return process.returncode == -signal.SIGKILL


def _leaves(path: pathlib.Path) -> list[np.ndarray]:
  """The arrays of a checkpoint."""
  import orbax.checkpoint as ocp

  with ocp.StandardCheckpointer() as checkpointer:
    tree = checkpointer.restore(path.absolute())
  return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def _records(path: pathlib.Path) -> list[bytes]:
  from array_record.python.array_record_module import ArrayRecordReader

  reader = ArrayRecordReader(str(path))
  try:
    return reader.read_all()
  finally:
    reader.close()


def _without_checksums(path: pathlib.Path) -> dict[str, Any]:
  return json.loads(path.read_bytes()) | {"files": None}


@pytest.fixture(scope="session")
def command_type():
  return Command


@pytest.fixture(scope="session")
def leaves():
  """Reads the arrays of a checkpoint."""
  return _leaves


@pytest.fixture(scope="session", name="same")
def _same():
  return same


@pytest.fixture(scope="session", name="kill")
def _kill():
  return kill


@pytest.fixture(scope="session")
def make_davis():
  """Writes videos of noise in the layout of DAVIS 2017; returns the root.

  Takes a folder, the names, the number of frames and the names of each list.
  """

  def make(folder, names, num_frames, lists):
    root = folder / "DAVIS"
    rng = np.random.default_rng(0)
    for name in names:
      for kind in ("JPEGImages", "Annotations"):
        (root / kind / "480p" / name).mkdir(parents=True)
      for t in range(num_frames):
        _save_frame(root / f"JPEGImages/480p/{name}/{t:05}.jpg", rng)
        _save_labels(root / f"Annotations/480p/{name}/{t:05}.png", t)
    (root / "ImageSets/2017").mkdir(parents=True)
    for list_name, listed in lists.items():
      path = root / f"ImageSets/2017/{list_name}.txt"
      path.write_text("\n".join(listed) + "\n")
    return root

  return make


@pytest.fixture(scope="session")
def davis(make_davis, tmp_path_factory):
  """Twelve videos of eight frames in the layout of DAVIS 2017."""
  names = [f"video{number:02}" for number in range(12)]
  lists = {"train": names[:10], "val": names[10:], "test-dev": names}
  return make_davis(tmp_path_factory.mktemp("data"), names, 8, lists)


@pytest.fixture(scope="session")
def frames(tmp_path_factory):
  """A folder of 450 frames, beside the mask of the first one."""
  folder = tmp_path_factory.mktemp("segment") / "frames"
  folder.mkdir()
  rng = np.random.default_rng(1)
  for t in range(450):
    _save_frame(folder / f"{t:05}.jpg", rng)
  _save_labels(folder.parent / "first.png", 0)
  return folder


def _save_frame(path, rng):
  Image.fromarray(rng.integers(0, 256, (32, 48, 3), np.uint8)).save(path)


def _save_labels(path, t):
  labels = np.zeros((32, 48), np.uint8)
  labels[4:14, 4 + t : 20 + t] = 1
  labels[18:28, 20:34] = 2
  image = Image.fromarray(labels)
  image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
  image.save(path)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
  """A small A-GAME with a matching cue, not trained."""
  from vosjax import checkpoints
  from vosjax.train import run
  from vosjax.train.configs.agame import get_config

  config = get_config("smoke")
  fields = config.model.fields.to_dict()
  variables = run.random_variables(run.build(config), config)
  folder = tmp_path_factory.mktemp("checkpoint") / "model"
  checkpoints.save(folder, "agame", fields, variables)
  return folder


@pytest.fixture(scope="session")
def commands(davis, frames, checkpoint):
  """Every command that can be started again, by its name."""
  vosjax = ("-m", "vosjax")
  of_training = {
    "tensorboard": None,  # times of events
    "checkpoints/*/state": _leaves,
    "checkpoints/*/_CHECKPOINT_METADATA": None,  # times
    "checkpoints/*/checksums.json": None,  # of files with random names
    "checkpoints/*/commit_success.txt": None,
    "model/arrays": _leaves,
    "model/checkpoint.json": _without_checksums,
  }
  build = (
    "import sys; sys.path.insert(0, 'datasets'); import build;"
    "builder = build.builder_class('davis2017'); builder.SHARD_BYTES = 1;"
    "builder.NUM_VIDEOS = {{'train': 10, 'validation': 2}};"
    f"sys.exit(build.main(['davis2017', '--manual_dir={davis}', '--workers=1',"
    "'--data_dir={out}']))"
  )
  return {
    "train": Command(
      (
        *(*vosjax, "train", "agame:smoke", "--workdir={out}"),
        *("--config.checkpoint.every_steps=3", "--config.log.every_steps=1"),
      ),
      of_training,
    ),
    # The loop of training on a toy model, in two stages.
    "loop": Command((str(ROOT / "tests/train/toy.py"), "{out}"), of_training),
    "predict": Command(
      (
        *(*vosjax, "train", "agame:smoke", "--workdir={out}"),
        *("--config.mode=predict", "--config.evaluation.dataset=davis"),
        *(f"--config.data.root={davis}", "--config.evaluation.subset=test-dev"),
        *("--config.data.year=2017", f"--config.evaluation.checkpoint={checkpoint}"),
      ),
      {},
    ),
    "segment": Command(
      (
        *(*vosjax, "segment", str(frames), "--mask", str(frames.parent / "first.png")),
        *("--checkpoint", str(checkpoint), "--out", "{out}"),
        *("--save", "masks,overlay,coco,results,report,youtube-vos,objects"),
      ),
      {},
    ),
    "import-data": Command(
      (*vosjax, "import-data", str(davis), "--out", "{out}", "--workers", "2"), {}
    ),
    # Of equal records, array_record does not always make equal files.
    "build": Command(("-c", build), {"*.array_record*": _records}),
  }


@dataclasses.dataclass(frozen=True)
class Whole:
  """An undisturbed run.

  Attributes:
    results: of the command.
    began: seconds until the first file or folder was there.
    ended: seconds until it ended.
  """

  results: dict[str, Any]
  began: float
  ended: float


@pytest.fixture(scope="session")
def undisturbed(commands, tmp_path_factory):
  """Runs a command twice (so that nothing is compiled), by its name."""
  known: dict[str, Whole] = {}

  def run(name: str) -> Whole:
    if name not in known:
      command = commands[name]
      first = tmp_path_factory.mktemp(name) / "first"
      command.finish(first)
      out = tmp_path_factory.mktemp(name) / "out"
      start, began = time.monotonic(), None
      process = command.start(out)
      while process.poll() is None:
        if began is None and any(out.parent.iterdir()):
          began = time.monotonic() - start
        time.sleep(0.01)
      said, _ = process.communicate()
      assert process.returncode == 0, said
      ended = time.monotonic() - start
      known[name] = Whole(command.results(out), began or 0.0, ended)
      same(command.results(first), known[name].results)
    return known[name]

  return run
