"""What a run leaves to read: metrics.jsonl, TensorBoard files, curves.png."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorboardX
from jaxtyping import UInt8

METRICS = "metrics.jsonl"


class MetricsWriter:
  """Appends one line per logged step, and the same numbers for TensorBoard.

  Args:
    workdir: folder of the run.
    resumed_from: lines of later steps are dropped, because those steps come again.
  """

  def __init__(self, workdir: pathlib.Path, *, resumed_from: int = 0):
    self._path = workdir / METRICS
    lines = [line for line in read_metrics(workdir) if line["step"] <= resumed_from]
    _replace(self._path, "".join(json.dumps(line) + "\n" for line in lines))
    self._board = tensorboardX.SummaryWriter(
      str(workdir / "tensorboard"), purge_step=resumed_from + 1
    )

  def write(self, step: int, values: Mapping[str, float | str]) -> None:
    """Logs the values of a step."""
    line = json.dumps({"step": step, **values}) + "\n"
    with self._path.open("a") as file:
      file.write(line)  # one write: a kill leaves at most one broken last line
    for name, value in values.items():
      if not isinstance(value, str):
        self._board.add_scalar(name, value, step)

  def write_picture(
    self, step: int, name: str, picture: UInt8[np.ndarray, "h w 3"]
  ) -> None:
    """Shows a picture in TensorBoard."""
    self._board.add_image(name, picture, step, dataformats="HWC")

  def close(self) -> None:
    """Flushes TensorBoard's file."""
    self._board.close()


def read_metrics(workdir: pathlib.Path) -> list[dict[str, Any]]:
  """Lines of metrics.jsonl; a last one that a kill cut short is left out."""
  path = workdir / METRICS
  if not path.exists():
    return []
  lines = path.read_text().split("\n")
  return [json.loads(line) for line in lines[:-1] if line]


def draw_curves(workdir: pathlib.Path) -> None:
  """Draws curves.png: losses, IoU and validation scores over the steps."""
  from matplotlib.figure import Figure  # half a second that only this needs

  lines = read_metrics(workdir)
  panels = {
    "loss": ("loss", "final_loss", "coarse_loss"),
    "IoU of the clip's object": ("iou",),
    "J&F on unseen videos": ("validation",),
  }
  panels = {
    title: present
    for title, names in panels.items()
    if (present := [n for n in names if any(n in line for line in lines)])
  }
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
      axes.set_yscale("log")  # the first steps would flatten all others
    axes.grid(alpha=0.3, which="both")
    if len(names) > 1:
      axes.legend(frameon=False)
  temporary = workdir / ".curves.png"
  figure.savefig(temporary, dpi=120, format="png")
  os.replace(temporary, workdir / "curves.png")


def _draw(axes, lines: Sequence[Mapping[str, Any]], name: str):
  steps = [line["step"] for line in lines]
  values = np.array([line[name] for line in lines], float)
  many = len(values) > 20
  style = {"alpha": 0.3} if many else {"marker": ".", "label": name}
  (drawn,) = axes.plot(steps, values, **style)
  if many:  # the trend, over a twentieth of the run
    width = len(values) // 20 + 1
    smooth = np.convolve(values, np.ones(width) / width, "valid")
    axes.plot(steps[width - 1 :], smooth, color=drawn.get_color(), label=name)


def _replace(path: pathlib.Path, text: str):
  temporary = path.with_name(f".{path.name}")
  temporary.write_text(text)
  os.replace(temporary, path)
