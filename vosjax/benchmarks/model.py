"""Benchmark of a model, compared with the peak speed of the machine.

Weights are random, which does not affect speed. Times are from a uint8 frame on the
device to its labels on the device, in the program that streams use. As in a stream, the
labels of a frame are awaited once the next frame has been dispatched.
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
from jaxtyping import Int

from vosjax import models
from vosjax.inference import programs, whole_video
from vosjax.inference.compilation import COMPILING_CALLS
from vosjax.models.api import Features, map_objects
from vosjax.models.unroll import Recurrence
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
  """Measures how long a model takes for each frame after the first of a stream.

  Args:
    name: of the model.
    size: (height, width) of the frames.
    objects: number of objects in each video, or of slots of a zero-shot model.
    batch: number of videos that are segmented in parallel.
    dtype: of the convolutions.
    frames: how many frames are timed.
    compare: also time the unoptimised network (`plain_ms_per_frame`) and the encoder
      alone, one frame and several frames at a time.
    progress: called with the name of each part of the measurement before it starts.
    **fields: of the model.

  Returns:
    `device`
    `ms_per_frame`: median over frames, divided by `batch`.
    `frames_per_second`
    `compile_seconds`: of all programs together.
    `gflop_per_frame`: of the unoptimised network, two FLOP per multiply-add.
    `peak_gflop_per_second`: of a matrix product, measured in the same run.
    `fraction_of_peak`
    `peak_memory_bytes`: of the device; of the process if the device is the CPU.
    `plain_ms_per_frame`: with separate batch normalisation, no transformed kernels,
    default compiler options and one object at a time.
    `speedup_over_plain`
    `encode_ms`: of the encoder, one frame at a time.
    `encode_ms_in_run`: per frame, in batches of `frames_at_once`, as in
    `VideoSegmenter.run`.
  """
  report = progress or (lambda _: None)
  model = build(name, objects, dtype=dtype, **fields)
  objects = model.readout.num_slots or objects
  variables = random_variables(model)
  gflop = direct_flops(model, variables, size, objects) / 1e9
  report("peak of a matrix product")
  peak = matrix_peak(jnp.dtype(dtype))
  report("compilation")
  began = time.perf_counter()
  prepared, folded = programs.prepare(model, variables)
  # With random weights, a model that stops early may stop at any object.
  prepared = models.with_execution(prepared, stop_early=False)
  clip = _Clip(prepared, folded, size, objects, batch)
  for _ in range(COMPILING_CALLS):
    clip.step()
  compile_seconds = time.perf_counter() - began
  report(f"{frames} frames")
  seconds = median_seconds(clip.step, frames) / batch
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
    report("the unoptimised network")
    plain = _Plain(model, variables, size, objects, batch)
    plain.step()
    plain_seconds = median_seconds(plain.step, _PLAIN_FRAMES) / batch
    result["plain_ms_per_frame"] = 1e3 * plain_seconds
    result["speedup_over_plain"] = plain_seconds / seconds
    report("the encoder, for single frames and batches")
    result |= clip.measure_encoder(frames)
  return result


def build(name: str, objects: int, **fields: Any) -> nn.Module:
  """Builds a model; if its number of slots is fixed, it is set to that of objects."""
  has_slots = "num_objects" in models.field_names(name)
  slots = {"num_objects": objects} if has_slots else {}
  return models.build(name, **slots | fields)


def random_variables(model: nn.Module) -> Variables:
  """Random weights of a common scale, without running the slow initialisers."""
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
  """FLOP per second of a large square matrix product."""
  n = 2048 if jax.default_backend() == "cpu" else 8192
  a = jax.random.normal(jax.random.key(0), (n, n)).astype(dtype)
  product = jax.jit(lambda a: a @ a)
  product(a).block_until_ready()
  return 2 * n**3 / median_seconds(lambda: product(a).block_until_ready(), 10)


def direct_flops(
  model: nn.Module, variables: Variables, size: tuple[int, int], objects: int
) -> float:
  """FLOP of one frame, see `count_flops`.

  Only one iteration of a loop counts. The loop over objects is therefore unrolled here;
  COSNet's loop over references is not.

  Raises:
    ValueError: as `count_flops`.
  """
  model = models.with_execution(model, unroll_objects=True)
  variables = jax.device_get(variables)  # constants of a program for the CPU
  frames = jax.ShapeDtypeStruct((1, *model.framing(size).framed_size, 3), jnp.float32)
  masks = jax.ShapeDtypeStruct((1, objects, *frames.shape[1:3]), jnp.float32)
  active = jax.ShapeDtypeStruct((1, objects), bool)

  def apply(method: str) -> Callable[..., Any]:
    return lambda *args: model.apply(variables, *args, method=method)

  features = jax.eval_shape(apply("encode"), frames)
  first_masks = masks if model.readout.one_shot else None
  state = jax.eval_shape(apply("init_state"), features, first_masks)

  def frame(state, frames, active, probs):
    features = apply("encode")(frames)
    state, prediction = apply("segment")(state, features, active)
    return apply("update")(state, features, probs), prediction

  return count_flops(frame, state, frames, active, masks)


def count_flops(function: Callable[..., Any], *args: Any) -> float:
  """FLOP of a function, as XLA counts them before it optimises, on whatever device.

  JAX lets XLA count for its own CPU client only, not for plugins such as those of GPUs.

  Args:
    function: to be compiled.
    *args: trees of shapes and types of arrays.

  Raises:
    ValueError: JAX was told to leave the CPU out.
  """
  try:
    cpu = jax.devices("cpu")[0]
  except RuntimeError as error:
    raise ValueError(
      "JAX_PLATFORMS leaves out the CPU, for which FLOP are counted. Add it at the "
      "end, as in `JAX_PLATFORMS=cuda,cpu`."
    ) from error
  with jax.default_device(cpu):
    cost = jax.jit(function).lower(*args).cost_analysis()
  assert cost is not None, "XLA analyses every program for CPUs"
  return cost["flops"]


def peak_memory() -> int:
  """Largest number of bytes used so far: of the device, or of the process on CPU."""
  stats = jax.devices()[0].memory_stats()
  if stats and "peak_bytes_in_use" in stats:
    return stats["peak_bytes_in_use"]
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def median_seconds(call: Callable[[], Any], times: int) -> float:
  """Median duration of a call."""
  durations = []
  for _ in range(times):
    began = time.perf_counter()
    call()
    durations.append(time.perf_counter() - began)
  return statistics.median(durations)


class _Clip:
  """A batch of videos in progress; `step` segments one more frame of each."""

  def __init__(
    self,
    model: nn.Module,
    variables: Variables,
    size: tuple[int, int],
    objects: int,
    batch: int,
  ):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (batch, *size, 3), dtype=np.uint8)
    self.frames = jnp.asarray(frames)
    self.model, self.variables, self.size = model, variables, size
    self.active = jnp.ones((batch, objects), bool)
    self.labels = None  # of the latest frame
    labels = bands(size, objects, batch) if model.readout.one_shot else None
    self.state = programs.init_slots(
      model,
      size,
      variables,
      None,
      self.encode(),
      labels,
      np.ones((batch, objects), bool),
    )

  def encode(self) -> Features:
    return programs.encode(self.model, self.variables, self.frames)

  def measure_encoder(self, times: int) -> dict[str, Any]:
    """Times the encoder on single frames, and on batches as in `VideoSegmenter.run`."""
    num_frames = whole_video.choose_batch_size(times)
    frames = [np.asarray(self.frames[0])] * num_frames

    def seconds_per_frame(batch_size: int) -> float:
      def call() -> None:
        jax.block_until_ready(
          [*whole_video.encode_each(self.model, self.variables, frames, batch_size)]
        )

      call()  # compiles
      return median_seconds(call, times) / num_frames

    return {
      "encode_ms": 1e3 * seconds_per_frame(1),
      "encode_ms_in_run": 1e3 * seconds_per_frame(num_frames),
      "frames_at_once": num_frames,
    }

  def step(self) -> None:
    _, (self.state, labels, *_) = programs.step(
      self.model,
      "aggregated",
      self.variables,
      self.state,
      self.frames,
      self.active,
    )
    jax.block_until_ready(self.labels)
    self.labels = labels


class _Plain(_Clip):
  """The same videos through the unoptimised network."""

  def __init__(
    self,
    model: nn.Module,
    variables: Variables,
    size: tuple[int, int],
    objects: int,
    batch: int,
  ):
    super().__init__(model, variables, size, objects, batch)
    self.times = 1
    recurrence: Recurrence = "fine"
    if model.readout.threshold is None:  # the network segments each object by itself
      recurrence = "aggregated"
      self.state = map_objects(lambda x: x[:, :1], self.state)
      self.active, self.times = self.active[:, :1], objects
    framing = model.framing(size)

    def apply(method: str) -> Callable[..., Any]:
      return lambda *args: model.apply(*args, method=method)

    def encode(variables, frames):
      frames = framing.frames(frames.astype(jnp.float32) / 255)
      return apply("encode")(variables, frames)

    def advance(variables, state, features, active):
      state, prediction = apply("segment")(variables, state, features, active)
      probs = models.decide(prediction, active, recurrence)
      return apply("update")(variables, state, features, probs), probs

    self._encode, self._advance = jax.jit(encode), jax.jit(advance)

  def step(self) -> None:
    features = self._encode(self.variables, self.frames)
    for _ in range(self.times):
      state, probs = self._advance(self.variables, self.state, features, self.active)
      jax.block_until_ready((state, probs))


def bands(size: tuple[int, int], objects: int, batch: int) -> Int[np.ndarray, "b h w"]:
  """Labels in which every object is a band of rows."""
  rows = np.arange(size[0]) * objects // size[0] + 1
  return np.broadcast_to(rows.astype(np.int32)[None, :, None], (batch, *size))
