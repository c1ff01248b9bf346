"""The logs of a run: metrics.jsonl, TensorBoard files and curves.png."""

import json
import os
import pathlib
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from tensorboardX import summary
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import RecordWriter

METRICS = "metrics.jsonl"
VALIDATION = "validation"  # name of the score on unseen videos
_FLUSH_SECONDS = 30.0  # between two flushes of TensorBoard's file


class MetricsWriter:
  """Writes one line per logged step, and the same numbers for TensorBoard.

  Args:
    workdir: folder of the run.
    resumed_from: lines of later steps are dropped, because these steps are repeated.
    validated: whether the validation of that step, if there is one, is over; if not,
      its line is dropped as well.
  """

  def __init__(
    self, workdir: pathlib.Path, *, resumed_from: int = 0, validated: bool = True
  ):
    self._path = workdir / METRICS
    lines = [
      line
      for line in read_metrics(workdir)
      if line["step"] <= resumed_from
      and (validated or line["step"] < resumed_from or VALIDATION not in line)
    ]
    _replace(self._path, "".join(json.dumps(line) + "\n" for line in lines))
    folder = workdir / "tensorboard"
    folder.mkdir(exist_ok=True)
    # tensorboardX's SummaryWriter writes in a thread: on a full disk that thread ends
    # with a traceback, and training waits for it forever.
    name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"
    self._board = RecordWriter(str(folder / name))
    self._flushed = time.monotonic()
    self._add(0, file_version="brain.Event:2")
    # TensorBoard hides what an earlier file holds of this step and later ones.
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    self._add(resumed_from + 1, session_log=start)

  def write(self, step: int, values: Mapping[str, float | str]) -> None:
    """Logs the values of a step."""
    line = json.dumps({"step": step, **values}) + "\n"
    with self._path.open("a") as file:
      file.write(line)  # in one call: a kill truncates at most this line
    for name, value in values.items():
      if not isinstance(value, str):
        self._add(step, summary=summary.scalar(name, value))

  def write_image(
    self, step: int, name: str, image: UInt8[np.ndarray, "h w 3"]
  ) -> None:
    """Shows an image in TensorBoard."""
    self._add(step, summary=summary.image(name, image, dataformats="HWC"))

  def close(self) -> None:
    """Flushes and closes TensorBoard's file."""
    self._board.close()

  def _add(self, step: int, **content: Any) -> None:
    """Writes an event to TensorBoard's file."""
    event = event_pb2.Event(step=step, wall_time=time.time(), **content)
    self._board.write(event.SerializeToString())
    if time.monotonic() - self._flushed > _FLUSH_SECONDS:
      self._board.flush()
      self._flushed = time.monotonic()


def read_metrics(workdir: pathlib.Path) -> list[dict[str, Any]]:
  """The lines of metrics.jsonl, without a truncated last one."""
  path = workdir / METRICS
  if not path.exists():
    return []
  lines = path.read_text().split("\n")
  return [json.loads(line) for line in lines[:-1] if line]


def draw_curves(workdir: pathlib.Path) -> None:
  """Draws losses, IoU and validation scores over the steps to curves.png."""
  from matplotlib.figure import Figure  # takes half a second to import

  lines = read_metrics(workdir)
  panels = {
    "loss": ("loss", "final_loss", "coarse_loss"),
    "IoU of the object": ("iou",),
    "J&F on unseen videos": (VALIDATION,),
  }
  panels = {
    title: tuple(name for name in names if any(name in line for line in lines))
    for title, names in panels.items()
  }
  panels = {title: names for title, names in panels.items() if names}
  if not panels:
    return
  figure = Figure(figsize=(4.5 * len(panels), 3.2), layout="constrained")
  for axes, (title, names) in zip(
    figure.subplots(1, len(panels), squeeze=False)[0], panels.items()
  ):
    for name in names:
      _draw(axes, [line for line in lines if name in line], name)
    axes.set(title=title, xlabel="step")
    if title == "loss" and min(axes.dataLim.y0, axes.dataLim.y1) > 0:
      axes.set_yscale("log")  # otherwise the first steps flatten the rest
    axes.grid(alpha=0.3, which="both")
    if len(names) > 1:
      axes.legend(frameon=False)
  temporary = workdir / ".curves.png"
  figure.savefig(temporary, dpi=120, format="png")
  os.replace(temporary, workdir / "curves.png")


def _draw(axes: Any, lines: Sequence[Mapping[str, Any]], name: str) -> None:
  steps = [line["step"] for line in lines]
  values = np.array([line[name] for line in lines], float)
  many = len(values) > 20
  style = {"alpha": 0.3} if many else {"marker": ".", "label": name}
  (line,) = axes.plot(steps, values, **style)
  if many:  # a moving average over a twentieth of the run
    width = len(values) // 20 + 1
    smooth = np.convolve(values, np.ones(width) / width, "valid")
    axes.plot(steps[width - 1 :], smooth, color=line.get_color(), label=name)


def _replace(path: pathlib.Path, text: str) -> None:
  temporary = path.with_name(f".{path.name}")
  temporary.write_text(text)
  os.replace(temporary, path)
