"""A hostile suite: code that works by accident fails here.

Two fake CPU devices, rank promotion and warnings as errors, full precision of matrix
products. Annotated shapes are checked at run time (see `addopts` in setup.cfg).
"""

import ctypes
import functools
import gc
import importlib.metadata
import json
import mmap
import os
import pathlib
import re
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Read when JAX starts, and inherited by the processes that tests start.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
_FLAGS = os.environ.get("XLA_FLAGS", "")
if "device_count" not in _FLAGS:
  _FLAGS += " --xla_force_host_platform_device_count=2"
# Most programs run once or twice, so compiling them costs more than running them. The
# older of XLA's two code generators compiles forward passes in half of the processor
# time and gradients in a fifth. XLA stops at a flag that it does not know, so only the
# versions that are known to have this one get it. With the newer one, gradients without
# optimizations differ more from the official ones than in users' programs.
_HAS_OLDER_GENERATOR = importlib.metadata.version("jaxlib").startswith("0.10.")
if "fusion_emitters" not in _FLAGS and _HAS_OLDER_GENERATOR:
  _FLAGS += " --xla_cpu_use_fusion_emitters=false"
if _HAS_OLDER_GENERATOR:
  os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ["XLA_FLAGS"] = _FLAGS.strip()
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("MPLBACKEND", "agg")

import jax  # noqa: E402
import jax.export  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")

# Later lines win. Each exception concerns third-party code and says why.
WARNINGS = (
  "error",
  # Runs that share the cache may read half-written entries; they then recompile.
  "default:Error (reading|writing) persistent compilation cache:UserWarning",
)


# glibc keeps what is freed unless it is told to return it; other systems lack this.
_MALLOC_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)


def pytest_configure(config):
  for line in WARNINGS:
    config.addinivalue_line("filterwarnings", line)


_LARGE = ("tests/models/", "tests/app/test_page.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
  """With `-n 2` alone, decides which tests one worker runs one after another.

  These are the tests of a file, which share what they have compiled; and all that take
  much memory, for networks of full size or a browser, so that no two do at once.
  """
  if config.getvalue("dist") != "load":  # somebody's own choice
    return None
  from xdist.scheduler import LoadScopeScheduling

  class Scheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid):
      file, *_ = nodeid.split("::")
      return "large" if file.startswith(_LARGE) else file

  return Scheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
  """Makes garbage collection rare and cheap: tracing allocates much, and frees it."""
  gc.collect()
  gc.freeze()  # modules and collected tests are not looked at again
  gc.set_threshold(100_000, 50, 50)


class _Memory:
  """Returns what compiled programs and arrays took: for the whole suite, gigabytes.

  To look for garbage takes longer than most tests. So the memory of the process has to
  have grown since; where the system does not say how large it is, only modules do it.
  """

  MORE = 128 * 2**20

  def __init__(self):
    self._kept = 0

  def free_after_test(self) -> None:
    resident = _resident()
    if resident is None:
      return
    self._kept = min(self._kept, resident)
    if resident > self._kept + self.MORE:
      self._free()
      self._kept = _resident()

  def free_after_module(self) -> None:
    jax.clear_caches()
    if _resident() is None:
      self._free()
    else:
      self.free_after_test()

  def _free(self) -> None:
    jax.clear_caches()
    gc.collect()
    if _MALLOC_TRIM is not None:
      _MALLOC_TRIM(0)


@pytest.fixture(scope="session")
def _memory():
  return _Memory()


@pytest.fixture(autouse=True, scope="module")
def free_memory_of_modules(_memory):
  yield
  _memory.free_after_module()


@pytest.fixture(autouse=True)
def free_memory_of_tests(_memory):
  yield
  _memory.free_after_test()


def _resident() -> int | None:
  """Bytes of memory of this process, where the system says it."""
  try:
    pages = pathlib.Path("/proc/self/statm").read_text().split()[1]
  except OSError:
    return None
  return int(pages) * mmap.PAGESIZE


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
  """Folder of test data beside the repository; tests that need it skip without."""
  path = ROOT.parent / "shared"
  if not path.is_dir():
    pytest.skip("needs ../shared, which is not here")
  return path


@pytest.fixture(scope="session")
def start_together():
  """Starts a command of Python in several processes with fake devices, which connect.

  Takes the command's arguments, the number of processes and that of devices of each.
  """
  started: list[subprocess.Popen] = []

  def start(arguments, num_processes, num_devices):
    with socket.socket() as free:
      free.bind(("localhost", 0))
      port = free.getsockname()[1]
    flags = re.sub(r"--xla_force_host_platform_device_count=\d+", "", _FLAGS)
    flags += f" --xla_force_host_platform_device_count={num_devices}"
    coordinates = [
      f"--coordinator=localhost:{port}",
      f"--num_processes={num_processes}",
    ]
    # XLA has as many threads as there are processors, or devices if those are more, and
    # on CPUs their number decides in which order it sums. NPROC stands for processors.
    environment = {"PYTHONPATH": str(ROOT), "XLA_FLAGS": flags, "NPROC": "8"}
    together = [
      subprocess.Popen(
        [
          *(sys.executable, *arguments),
          *([*coordinates, f"--process_id={i}"] if num_processes > 1 else []),
        ],
        env=os.environ | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
      )
      for i in range(num_processes)
    ]
    started.extend(together)
    return together

  yield start
  for process in started:  # of tests that failed
    process.kill()


@pytest.fixture(scope="session")
def end_together():
  """Waits for processes; returns their exit codes, outputs and errors."""

  def end(processes, timeout=400):
    try:
      texts = [process.communicate(timeout=timeout) for process in processes]
    finally:
      for process in processes:
        process.kill()
    return [process.returncode for process in processes], *zip(*texts)

  return end


@pytest.fixture(scope="session")
def golden():
  """Reads `tests/golden/<name>`: .npz as a dict of arrays, .json as its value."""

  def load(name: str):
    path = ROOT / "tests" / "golden" / name
    if path.suffix == ".npz":
      with np.load(path) as arrays:
        return dict(arrays)
    if path.suffix == ".json":
      return json.loads(path.read_text())
    raise ValueError(f"golden({name!r}): expected an .npz or .json file")

  return load


ACCELERATORS = ("tpu", "cuda")
# What XLA itself expands or drops. Anything else is a kernel of some backend.
_CALLS_OF_XLA = {"Sharding", "annotate_device_placement"}


@pytest.fixture(scope="session")
def lower():
  """Lowers a function for ACCELERATORS, which need not be here.

  Takes the function and its arguments, or their shapes, and returns the shapes of its
  results; nothing is compiled. An operation that a platform lacks raises, and so does a
  custom call that not every platform has.
  """

  def make(function, *arguments, platforms=ACCELERATORS):
    exported = jax.export.export(jax.jit(function), platforms=platforms)(*arguments)
    calls = set(re.findall(r"custom_call @([^(\s]+)", exported.mlir_module()))
    assert calls <= _CALLS_OF_XLA, sorted(calls - _CALLS_OF_XLA)
    outputs = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in exported.out_avals]
    return jax.tree.unflatten(exported.out_tree, outputs)

  return make


_MOVES = "all-gather|all-to-all|collective-permute|collective-broadcast|reduce-scatter"
_KINDS = {"sent": rf"{_MOVES}|ragged-all-to-all", "summed": "all-reduce"}


@pytest.fixture(scope="session")
def exchanged():
  """Sizes of the arrays that devices exchange in a compiled program.

  Takes the program and a kind: "sent" as they are, or "summed" over devices, as
  gradients are.
  """

  def find(compiled, kind):
    calls = rf"= (.*?) (?:{_KINDS[kind]})(?:-start)?\("
    shapes = "".join(re.findall(calls, compiled.as_text()))
    dimensions = re.findall(r"\[([\d,]*)\]", shapes)
    return [int(np.prod([int(n) for n in d.split(",") if n])) for d in dimensions]

  return find


# Tests of the engine and of the command line share these, compiled at 32 x 48.
_SMALL = {"backbone": "resnet18", "width": 4}
SMALL_MODELS = {
  "agame": _SMALL | {"features": 8, "fusion_features": 8},
  "cosnet": _SMALL
  | {
    "features": 8,
    "branch_features": 4,
    "rates": (1, 2),
    "size": None,
    "num_references": 3,
  },
  "ris": {"channels": 4, "num_convolutions": 2, "num_objects": 4},
  "rsis": _SMALL | {"features": 16, "num_objects": 4, "num_classes": 3},
  "rvos": _SMALL | {"features": 16, "num_objects": 2},
}


@pytest.fixture(scope="session")
def small_fields():
  """Fields of the small models, by name."""
  return SMALL_MODELS


@pytest.fixture(scope="session")
def small():
  """Makes (model, variables) by name and fields; no variable has its initial value."""

  @functools.cache
  def make(name, **fields):
    from vosjax import models  # not before jaxtyping's hook is in place

    model = models.build(name, **SMALL_MODELS[name] | fields)
    frames = np.zeros((1, 32, 48, 3), np.float32)
    masks = np.zeros((1, 4, 32, 48), np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), frames, masks)
    rng = np.random.default_rng(3)

    def leaf(path, x):
      if path[-1].key in ("scale", "var"):
        return rng.uniform(0.5, 1.5, x.shape).astype(np.float32)
      fan_in = np.prod(x.shape[:-1]) if x.ndim > 1 else 4
      # COSNet normalises frames to about -130 to 130.
      gain = 0.01 if name == "cosnet" and "stem" in str(path) else 1.5
      return rng.normal(0, gain / np.sqrt(fan_in), x.shape).astype(np.float32)

    return model, jax.tree_util.tree_map_with_path(leaf, shapes)

  return make


@pytest.fixture(scope="session")
def tiny():
  """(model, variables): a small A-GAME with no variable at its initial value.

  Scores are sums over channels, so the kernels that read them are small, which keeps
  logits moderate.
  """
  from vosjax import models  # only after jaxtyping has installed its import hook

  model = models.build("agame", **SMALL_MODELS["agame"])
  frames, masks = np.zeros((1, 32, 32, 3), np.float32), np.zeros((1, 1, 32, 32))
  shapes = jax.eval_shape(model.init, jax.random.key(0), frames, masks)
  rng = np.random.default_rng(0)

  def make(path, leaf):
    name = path[-1].key
    if name == "kernel":
      gain = 0.1 if path[-2].key in ("join", "head") else 1.5
      scale = gain / np.sqrt(np.prod(leaf.shape[:-1]))
      return rng.normal(0, scale, leaf.shape).astype(np.float32)
    low, high = (0.5, 1.5) if name in ("scale", "var") else (-0.2, 0.2)
    return rng.uniform(low, high, leaf.shape).astype(np.float32)

  return model, jax.tree_util.tree_map_with_path(make, shapes)
