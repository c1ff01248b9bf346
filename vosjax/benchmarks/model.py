"""How fast a model runs here, against what the machine can do.

Weights are random: they change no speed. Times are of whole frames, from bytes on the
device to labels on the device, each waited for.
"""

import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from vosjax import models
from vosjax.inference import programs
from vosjax.types import Variables

_PLAIN_FRAMES = 3


def measure(
  name: str,
  *,
  size: tuple[int, int] = (480, 864),
  objects: int = 1,
  batch: int = 1,
  dtype: str = "float32",
  frames: int = 10,
  compare: bool = True,
  progress: Callable[[str], None] | None = None,
  **fields: Any,
) -> dict[str, Any]:
  """Measures a model's frame after the first, in streaming.

  Args:
    name: of the model.
    size: rows and columns of the frames.
    objects: in each video, or that a zero-shot model looks for.
    batch: videos that run side by side.
    dtype: of the convolutions.
    frames: that are timed; the median counts.
    compare: also time the network as it is written down, see `plain_ms_per_frame`,
      and frames of one video that are encoded together, see `encode_ms_in_run`.
    progress: told what is done next, if given.
    **fields: of the model.

  Returns:
    `device`; `ms_per_frame`, the median over frames, for one video of the batch;
    `frames_per_second`; `compile_seconds`, of all programs; `gflop_per_frame` that the
    network's direct form needs (two per multiply-add); `peak_gflop_per_second`, of a
    matrix product measured in this run; `fraction_of_peak`; `peak_memory_bytes`, of
    the device, or of the process on CPU; `plain_ms_per_frame`, with BatchNorm apart,
    no transformed kernels, the compiler's defaults and each object on its own;
    `speedup_over_plain`; `encode_ms`, the encoder's part, a frame at a time;
    `encode_ms_in_run`, the same of `frames_at_once` in one batch, as
    `VideoSegmenter.run` encodes them.
  """
  report = progress or (lambda _: None)
  model = build(name, objects, dtype=dtype, **fields)
  objects = model.readout.num_slots or objects
  variables = random_variables(model)
  report("peak of a matrix product")
  peak = matrix_peak(jnp.dtype(dtype))
  report("compilation")
  began = time.perf_counter()
  prepared, folded = programs.prepare(model, variables)
  # Scores of random weights end anywhere.
  prepared = models.with_execution(prepared, stop_early=False)
  clip = _Clip(prepared, folded, size, objects, batch)
  clip.step()
  compile_seconds = time.perf_counter() - began
  report(f"{frames} frames")
  seconds = _median_seconds(clip.step, frames) / batch
  gflop = direct_flops(model, variables, size, objects) / 1e9
  result = {
    "model": name,
    "device": jax.devices()[0].device_kind,
    "platform": jax.default_backend(),
    "size": list(size),
    "objects": objects,
    "batch": batch,
    "dtype": dtype,
    "ms_per_frame": 1e3 * seconds,
    "frames_per_second": 1 / seconds,
    "compile_seconds": compile_seconds,
    "gflop_per_frame": gflop,
    "peak_gflop_per_second": peak / 1e9,
    "fraction_of_peak": gflop * 1e9 / seconds / peak,
    "peak_memory_bytes": peak_memory(),
  }
  if compare:
    report("the plain form")
    plain = _Plain(model, variables, size, objects, batch)
    plain.step()
    plain_seconds = _median_seconds(plain.step, _PLAIN_FRAMES) / batch
    result["plain_ms_per_frame"] = 1e3 * plain_seconds
    result["speedup_over_plain"] = plain_seconds / seconds
    report("the encoder, frame by frame and some at once")
    result |= clip.measure_encoder(frames)
  return result


def build(name: str, objects: int, **fields: Any) -> nn.Module:
  """The model, with as many slots as there are objects if it has slots of its own."""
  has_slots = hasattr(models.MODELS.get(name), "num_objects")
  slots = {"num_objects": objects} if has_slots else {}
  return models.build(name, **slots | fields)


def random_variables(model: nn.Module) -> Variables:
  """Weights of an ordinary scale without running the initialisers."""
  frames = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  masks = jax.ShapeDtypeStruct((1, 1, 64, 64), jnp.float32)
  shapes = jax.eval_shape(model.init, jax.random.key(0), frames, masks)
  rng = np.random.default_rng(0)

  def make(path, shape):
    if path[-1] == "kernel":
      scale = np.sqrt(1 / np.prod(shape.shape[:-1]))
      return rng.standard_normal(shape.shape, np.float32) * np.float32(scale)
    return np.full(shape.shape, path[-1] in ("scale", "var"), np.float32)

  flat = flax.traverse_util.flatten_dict(shapes)
  leaves = {path: jnp.asarray(make(path, shape)) for path, shape in flat.items()}
  return flax.traverse_util.unflatten_dict(leaves)


def matrix_peak(dtype: Any) -> float:
  """FLOP per second of a large matrix product."""
  n = 2048 if jax.default_backend() == "cpu" else 8192
  a = jax.random.normal(jax.random.key(0), (n, n)).astype(dtype)
  product = jax.jit(lambda a: a @ a)
  product(a).block_until_ready()
  return 2 * n**3 / _median_seconds(lambda: product(a).block_until_ready(), 10)


def direct_flops(
  model: nn.Module, variables: Variables, size: tuple[int, int], objects: int
) -> float:
  """FLOP of one frame, as the compiler counts them before optimising.

  It counts one iteration of a loop, so objects do not run in one here; what is read
  from several references does.
  """
  model = models.with_execution(model, unroll_objects=True)
  frames = jax.ShapeDtypeStruct((1, *model.framing(size).padded_size, 3), jnp.float32)
  masks = jax.ShapeDtypeStruct((1, objects, *frames.shape[1:3]), jnp.float32)
  active = jax.ShapeDtypeStruct((1, objects), bool)

  def apply(method):
    return lambda *args: model.apply(variables, *args, method=method)

  features = jax.eval_shape(apply("encode"), frames)
  given = masks if model.readout.one_shot else None
  state = jax.eval_shape(apply("init_state"), features, given)

  def frame(state, frames, active, probs):
    features = apply("encode")(frames)
    state, prediction = apply("segment")(state, features, active)
    return apply("update")(state, features, probs), prediction

  return jax.jit(frame).lower(state, frames, active, masks).cost_analysis()["flops"]


def peak_memory() -> int:
  """Bytes of device memory at their highest; of the process where CPU is the device."""
  stats = jax.devices()[0].memory_stats()
  if stats and "peak_bytes_in_use" in stats:
    return stats["peak_bytes_in_use"]
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _median_seconds(call, times):
  durations = []
  for _ in range(times):
    began = time.perf_counter()
    call()
    durations.append(time.perf_counter() - began)
  return statistics.median(durations)


class _Clip:
  """Videos in mid-course: `step` segments one more frame of each."""

  def __init__(self, model, variables, size, objects, batch):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (batch, *size, 3), dtype=np.uint8)
    self.frames = jnp.asarray(frames)
    self.model, self.variables, self.size = model, variables, size
    self.active = jnp.ones((batch, objects), bool)
    labels = _bands(size, objects, batch) if model.readout.one_shot else None
    self.state = programs.begin(
      model,
      size,
      variables,
      None,
      self.encode(),
      labels,
      np.ones((batch, objects), bool),
    )

  def encode(self):
    return programs.encode(self.model, self.variables, self.frames)

  def measure_encoder(self, times):
    """Of one video's frames: by themselves, and as `VideoSegmenter.run` does."""
    many = programs.frames_at_once(times)
    batch = [np.asarray(self.frames[0])] * many

    def seconds(at_once):
      def call():
        jax.block_until_ready(
          [*programs.encode_each(self.model, self.variables, batch, at_once)]
        )

      call()  # compiles
      return _median_seconds(call, times) / many

    return {
      "encode_ms": 1e3 * seconds(1),
      "encode_ms_in_run": 1e3 * seconds(many),
      "frames_at_once": many,
    }

  def step(self):
    self.state, labels, *_ = programs.advance(
      self.model,
      self.size,
      "aggregated",
      self.variables,
      self.state,
      self.encode(),
      self.active,
    )
    labels.block_until_ready()


class _Plain(_Clip):
  """The same work as the network is written down."""

  def __init__(self, model, variables, size, objects, batch):
    super().__init__(model, variables, size, objects, batch)
    self.times = 1
    if model.readout.threshold is None:  # objects do not see each other
      self.state = jax.tree.map(lambda x: x[:, :1], self.state)
      self.active, self.times = self.active[:, :1], objects
    framing = model.framing(size)
    recurrence = "aggregated" if model.readout.threshold is None else "fine"

    def encode(variables, frames):
      frames = framing.frames(frames.astype(jnp.float32) / 255)
      return model.apply(variables, frames, method="encode")

    def advance(variables, state, features, active):
      state, prediction = model.apply(
        variables, state, features, active, method="segment"
      )
      probs = models.decide(prediction, active, recurrence)
      return model.apply(variables, state, features, probs, method="update"), probs

    self._encode, self._advance = jax.jit(encode), jax.jit(advance)

  def step(self):
    features = self._encode(self.variables, self.frames)
    for _ in range(self.times):
      state, probs = self._advance(self.variables, self.state, features, self.active)
      jax.block_until_ready((state, probs))


def _bands(size, objects, batch):
  """Labels in which every object has a share of the rows."""
  rows = np.arange(size[0]) * objects // size[0] + 1
  return np.broadcast_to(rows.astype(np.int32)[None, :, None], (batch, *size))
