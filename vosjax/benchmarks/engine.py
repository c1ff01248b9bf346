"""Benchmarks of `VideoSegmenter` from host to host, and of encoders in batches."""

import statistics
import time
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from vosjax.benchmarks import model as benchmark
from vosjax.inference import compilation, programs
from vosjax.inference.engine import VideoSegmenter
from vosjax.models.api import bind

# Of the largest value. The official goldens are held to 2e-5 to 5e-5, at larger sizes.
TOLERANCE = 1e-4


def measure(
  name: str,
  *,
  size: tuple[int, int],
  objects: int,
  frames: int,
  mode: Literal["stream", "whole"],
  **fields: Any,
) -> dict[str, Any]:
  """Times a video from uint8 frames on the host to labels on the host.

  Args:
    name: of the model.
    size: (height, width) of the frames.
    objects: in the video, or slots of a zero-shot model.
    frames: to time, of a clip that is segmented several times.
    mode: "stream" calls `step` for each frame and reads the labels of the frame before;
      "whole" is one `run`, which encodes frames in batches.
    **fields: of the model, such as `dtype`.

  Returns:
    `ms_per_frame`: in a stream the median, of a whole video the mean.
    `frames_per_second`, `compile_seconds`, `peak_memory_bytes`.
  """
  model = benchmark.build(name, objects, **fields)
  segmenter = VideoSegmenter(model, benchmark.random_variables(model))
  labels = None
  if segmenter.one_shot:
    labels = benchmark.bands(size, objects, 1)[0]
  rng = np.random.default_rng(0)
  clip = rng.integers(0, 256, (frames, *size, 3), dtype=np.uint8)
  run = {"stream": _stream, "whole": _run}[mode]
  began = time.perf_counter()
  for _ in range(compilation.COMPILING_CALLS):
    run(segmenter, clip, labels)
  first = time.perf_counter() - began
  seconds = run(segmenter, clip, labels)
  return {
    "device": jax.devices()[0].device_kind,
    "ms_per_frame": 1e3 * seconds,
    "frames_per_second": 1 / seconds,
    "compile_seconds": max(0.0, first - compilation.COMPILING_CALLS * seconds * frames),
    "peak_memory_bytes": benchmark.peak_memory(),
  }


def _stream(segmenter: VideoSegmenter, clip: Any, labels: Any) -> float:
  before = segmenter.start(clip[0], labels)
  seconds = []
  for frame in clip[1:]:
    began = time.perf_counter()
    result = segmenter.step(frame)
    np.asarray(before.labels)
    before = result
    seconds.append(time.perf_counter() - began)
  np.asarray(before.labels)
  return statistics.median(seconds)


def _run(segmenter: VideoSegmenter, clip: Any, labels: Any) -> float:
  began = time.perf_counter()
  for result in segmenter.run(clip, labels):
    np.asarray(result.labels)
  return (time.perf_counter() - began) / len(clip)


def measure_encoder(
  name: str, *, size: tuple[int, int], batch: int, frames: int = 10, **fields: Any
) -> dict[str, Any]:
  """Times the encoder on the largest batch that fits into memory.

  Args:
    name: of the model.
    size: (height, width) of the frames.
    batch: the batch to begin with; it is halved for as long as it does not fit.
    frames: how many times a batch is encoded; the median counts.
    **fields: of the model, such as `dtype`.

  Returns:
    `batch`, `ms_per_frame`, `frames_per_second`, `gflop_per_frame`,
    `peak_gflop_per_second`, `fraction_of_peak`, `compile_seconds` and
    `peak_memory_bytes`, as those of `vosjax.benchmarks.model.measure`.
  """
  model = benchmark.build(name, 1, **fields)
  variables = benchmark.random_variables(model)
  dtype = jnp.dtype(fields.get("dtype") or "float32")
  peak = benchmark.matrix_peak(dtype)
  prepared, folded = programs.prepare(model, variables)
  while True:
    try:
      began = time.perf_counter()
      images = jnp.zeros((batch, *size, 3), jnp.uint8)

      def call(images=images):
        jax.block_until_ready(programs.encode(prepared, folded, images))

      call()
      compile_seconds = time.perf_counter() - began
      seconds = benchmark.median_seconds(call, frames) / batch
      break
    except jax.errors.JaxRuntimeError as error:
      if "RESOURCE_EXHAUSTED" not in str(error) or batch == 1:
        raise
      batch //= 2
  gflop = _encoder_flops(model, variables, size) / 1e9
  return {
    "device": jax.devices()[0].device_kind,
    "batch": batch,
    "ms_per_frame": 1e3 * seconds,
    "frames_per_second": 1 / seconds,
    "compile_seconds": compile_seconds,
    "gflop_per_frame": gflop,
    "peak_gflop_per_second": peak / 1e9,
    "fraction_of_peak": gflop * 1e9 / seconds / peak,
    "peak_memory_bytes": benchmark.peak_memory(),
  }


def _encoder_flops(model: Any, variables: Any, size: tuple[int, int]) -> float:
  """FLOP of one frame; ValueError as `vosjax.benchmarks.model.count_flops`."""
  frames = jax.ShapeDtypeStruct((1, *model.framing(size).framed_size, 3), jnp.float32)

  network = bind(model, jax.device_get(variables))  # constants of a program for the CPU
  return benchmark.count_flops(network.encode, frames)


def compare_with_cpu(
  name: str, *, size: tuple[int, int] = (64, 96), **fields: Any
) -> dict[str, Any]:
  """Compares two frames of a video on this device with the same on the CPU.

  The program is compiled as for a video: on a GPU, it runs as a CUDA graph. Both
  multiply matrices in float32 (precision "highest"). Weights are random.

  Args:
    name: of the model.
    size: (height, width) of the frames.
    **fields: of the model.

  Returns:
    `device`; `difference`: the largest one of features and logits, as a fraction of the
    largest value of the same array; `tolerance`, and `agrees`.
  """
  model = benchmark.build(name, 2, **fields)
  variables = benchmark.random_variables(model)
  rng = np.random.default_rng(0)
  frames = rng.random((2, 1, *model.framing(size).framed_size, 3), np.float32)
  masks = None
  if model.readout.one_shot:
    masks = np.zeros((1, 2, *frames.shape[2:4]), np.float32)
    masks[:, 0, : size[0] // 2], masks[:, 1, size[0] // 2 :] = 1, 1
  active = np.ones((1, model.readout.num_slots or 2), bool)

  def compute(variables, frames, masks):
    network = bind(model, variables)
    features = network.encode(frames[0])
    state = network.init_state(features, masks)
    _, prediction = network.segment(state, network.encode(frames[1]), active)
    return features, prediction.logits

  def run(program, device: jax.Device, calls: int) -> list[np.ndarray]:
    with jax.default_device(device), jax.default_matmul_precision("highest"):
      inputs = jax.device_put((variables, frames, masks), device)
      for _ in range(calls):  # only the last one runs as a graph
        outputs = program(*inputs)
      return jax.device_get(jax.tree.leaves(outputs))

  found = run(compilation.jit()(compute), jax.devices()[0], compilation.COMPILING_CALLS)
  expected = run(jax.jit(compute), jax.devices("cpu")[0], 1)
  difference = max(
    float(np.abs(a.astype(np.float64) - b).max() / max(np.abs(b).max(), 1e-30))
    for a, b in zip(found, expected, strict=True)
  )
  return {
    "device": jax.devices()[0].device_kind,
    "difference": difference,
    "tolerance": TOLERANCE,
    "agrees": difference < TOLERANCE,
  }
