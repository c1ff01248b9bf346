"""Benchmark of `vosjax segment`: each stage alone, and all of them together.

The stages are decoding a video file, the network, drawing the overlay, encoding it, and
writing masks. Together they run in threads, so the slowest one decides, unless there
are too few cores for all of them.
"""

import contextlib
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from vosjax import cores, viz, weights
from vosjax.benchmarks import overhead
from vosjax.inference.compilation import COMPILING_CALLS
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.frame_result import FrameResult
from vosjax.media.outputs import open_outputs
from vosjax.media.pipeline import ReadAhead
from vosjax.media.read import VideoFrames, read_video
from vosjax.media.write import video_writer, write_labels

FREE = "no network"  # its masks are known, so that it costs nothing
AHEAD = 4  # decoded frames that wait for the network
_KINDS = ("masks", "overlay")
_FRAMES_PER_SECOND = 25.0
_BATCHES = 9  # frames: a batch, and another

Run = Callable[[Any], Iterator[FrameResult]]  # from frames to results
Rates = dict[str, dict[str, float]]  # of a stage: frames and CPU seconds


def measure(
  *,
  size: tuple[int, int] = (480, 854),
  objects: int = 1,
  frames: int = 50,
  networks: Sequence[str] = (FREE, "agame-lite"),
  progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
  """Measures the stages of `vosjax segment` on a synthetic video.

  Args:
    size: (height, width) of the frames.
    objects: number of objects in the video.
    frames: length of the video.
    networks: `FREE`, and names of weights in the package.
    progress: called with the name of each part of the measurement before it starts.

  Returns:
    `stages`: by name, `frames_per_second` and `cpu_ms_per_frame` of each stage alone.
    `networks`: by name, the same of the network `alone` and of all stages `together`,
    and `fraction`: the rate of all together, relative to what is possible. That is the
    slowest stage's rate or, if it is less, what the cores can do of all stages' work.
    `overhead`: what `VideoSegmenter` itself costs, see `overhead.measure`. And `cores`,
    `device` and the arguments.
  """
  report = progress or (lambda _: None)
  labels = [_labels(size, objects, index, frames) for index in range(frames)]
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    report("a video to read")
    _write_video(folder / "video.mp4", labels)
    video = read_video(folder / "video.mp4")
    images = [video[index] for index in range(frames)]
    report("stages alone")
    stages = _measure_stages(folder, images, labels)
    report("a network that computes nothing")
    beside = overhead.measure(size=size, frames=frames)
    found = {}
    for network in networks:
      report(network)
      run = _network(network, labels)
      for _ in range(COMPILING_CALLS):
        _consume(run(images[:_BATCHES]))
      alone = _timed(frames, _consume, run(images))
      together = _timed(frames, _segment, run, folder)
      found[network] = {
        "alone": alone,
        "together": together,
        "fraction": together["frames_per_second"]
        / _possible_rate([*stages.values(), alone]),
      }
  return {
    "device": jax.devices()[0].device_kind,
    "cores": cores.available(),
    "size": list(size),
    "objects": objects,
    "frames": frames,
    "stages": stages,
    "overhead": beside,
    "networks": found,
  }


def table(result: Mapping[str, Any]) -> str:
  """Formats the result of `measure` for a terminal."""
  rows, columns = result["size"]
  lines = [
    f"segment, {rows}x{columns}, {result['objects']} object(s), {result['frames']} "
    f"frames, {result['cores']} cores, network on {result['device']}",
    f"{'':<32}{'frames/s':>10}{'ms/frame':>10}{'CPU ms':>10}",
  ]

  def line(name: str, rate: Mapping[str, float], note: str = "") -> str:
    speed = rate["frames_per_second"]
    numbers = f"{speed:>10.1f}{1e3 / speed:>10.1f}{rate['cpu_ms_per_frame']:>10.1f}"
    return f"  {name:<30}{numbers}{note}"

  lines += [line(name, rate) for name, rate in result["stages"].items()]
  beside = result["overhead"]
  lines.append(
    f"  VideoSegmenter itself: {beside['step_ms']:.2f} ms to submit a frame, "
    f"{beside['labels_ms']:.2f} ms to read its labels"
  )
  for name, found in result["networks"].items():
    share = f"  {100 * found['fraction']:.0f} % of what is possible"
    if name != FREE:
      lines.append(line(f"{name}, alone", found["alone"]))
    lines.append(line(f"{name}, all together", found["together"], share))
  return "\n".join(lines)


def _measure_stages(
  folder: pathlib.Path,
  images: Sequence[UInt8[np.ndarray, "h w 3"]],
  labels: Sequence[Int[np.ndarray, "h w"]],
) -> Rates:
  """Each stage that is not the network, alone and in one thread of ours."""
  video = read_video(folder / "video.mp4")
  drawn: list[UInt8[np.ndarray, "h w 3"]] = []

  def draw() -> None:
    drawn.extend(map(viz.overlay, images, labels))

  def encode() -> None:
    with _writer(folder / "alone.mp4", images[0].shape[:2]) as write:
      for image in drawn:
        write(image)

  def write_masks() -> None:
    for index, mask in enumerate(labels):
      write_labels(folder / f"alone-{index}.png", mask)

  viz.overlay(images[0], labels[0])  # makes palettes
  calls = {
    "decode": lambda: _consume(video[index] for index in range(len(video))),
    "draw": draw,
    "encode": encode,
    "masks": write_masks,
  }
  return {name: _timed(len(images), call) for name, call in calls.items()}


def _segment(run: Run, folder: pathlib.Path) -> None:
  """All stages, as the command runs them."""
  video: VideoFrames = read_video(folder / "video.mp4")
  with (
    tempfile.TemporaryDirectory(dir=folder) as out,
    ReadAhead(video, AHEAD) as frames,
    open_outputs(
      _KINDS,
      pathlib.Path(out),
      video_name="video",
      size=video.size,
      frames_per_second=_FRAMES_PER_SECOND,
    ) as outputs,
  ):
    for index, result in enumerate(run(frames)):
      outputs.write(
        index,
        video.frame_names[index],
        result.frame,
        lambda result=result: result.labels,
        result.object_ids,
      )


def _network(name: str, labels: Sequence[Int[np.ndarray, "h w"]]) -> Run:
  """A network by its name."""
  if name == FREE:
    empty = np.zeros((1, 0, *labels[0].shape), np.float32)

    def copy(frames: Any) -> Iterator[FrameResult]:
      for index in range(len(frames)):
        yield FrameResult(frames[index], labels[index], (), empty, ())

    return copy
  segmenter = VideoSegmenter(*weights.load(name))
  return lambda frames: segmenter.run(frames, labels[0])


def _timed(frames: int, call: Callable[..., object], *args: Any) -> dict[str, float]:
  """The rate of a call that handles so many frames."""
  began, cpu = time.perf_counter(), time.process_time()
  call(*args)
  seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
  return {"frames_per_second": frames / seconds, "cpu_ms_per_frame": 1e3 * cpu / frames}


def _possible_rate(stages: Sequence[Mapping[str, float]]) -> float:
  """Frames per second of stages that run beside each other."""
  cpu = sum(stage["cpu_ms_per_frame"] for stage in stages) / 1e3
  slowest = min(stage["frames_per_second"] for stage in stages)
  return min(slowest, cores.available() / cpu)


def _consume(items: Iterator[Any]) -> None:
  for item in items:
    if isinstance(item, FrameResult):
      np.asarray(item.labels)  # waits for the network


def _write_video(path: pathlib.Path, labels: Sequence[Int[np.ndarray, "h w"]]) -> None:
  """A textured scene with the objects of the labels, under a moving camera."""
  height, width = labels[0].shape
  rng = np.random.default_rng(0)
  coarse = rng.integers(0, 256, (height // 16 + 4, width // 16 + 4, 3), np.uint8)
  smooth = Image.fromarray(coarse).resize((width + 64, height + 64))
  scene = np.asarray(smooth).astype(np.int16)
  scene = (scene + rng.integers(-12, 13, scene.shape)).clip(0, 255).astype(np.uint8)
  colors = viz.bright_palette()
  with _writer(path, (height, width)) as write:
    for index, mask in enumerate(labels):
      shift = index % 64
      frame = scene[shift : shift + height, shift // 2 : shift // 2 + width].copy()
      inside = mask > 0
      frame[inside] = frame[inside] // 2 + colors[mask[inside]] // 2
      write(frame)


def _labels(
  size: tuple[int, int], objects: int, index: int, frames: int
) -> Int[np.ndarray, "h w"]:
  """Discs that move from left to right."""
  height, width = size
  rows, columns = np.ogrid[:height, :width]
  labels = np.zeros(size, np.int32)
  radius = height / (2 * objects + 2)
  for number in range(objects):
    y = height * (number + 1) / (objects + 1)
    x = width * (0.2 + 0.6 * index / frames)
    labels[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = number + 1
  return labels


def _writer(
  path: pathlib.Path, size: tuple[int, ...]
) -> contextlib.AbstractContextManager[Callable[[UInt8[np.ndarray, "h w c"]], None]]:
  return video_writer(path, (size[0], size[1]), _FRAMES_PER_SECOND)
