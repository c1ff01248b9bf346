"""What watches every step's metrics: the log and the progress bar."""

import sys
from collections.abc import Mapping, Sequence

import numpy as np
import tqdm
from ml_collections import ConfigDict

from vosjax.train.loop import Stage
from vosjax.train.writers import MetricsWriter


class Logger:
  """Writes the means of the steps since the line before.

  Args:
    writer: where they go.
    every_steps: steps between two lines.
    last: step that is written, too.
  """

  def __init__(self, writer: MetricsWriter, every_steps: int, last: int):
    self._writer = writer
    self._every_steps = every_steps
    self._last = last
    self._seen: list[Mapping[str, float]] = []

  def __call__(self, step: int, values: Mapping[str, float]) -> None:
    """Takes in a step."""
    self._seen.append(values)
    if step % self._every_steps and step != self._last:
      return
    # Steps of different kinds have metrics of their own.
    names = dict.fromkeys(name for seen in self._seen for name in seen)
    means = {
      name: float(np.mean([seen[name] for seen in self._seen if name in seen]))
      for name in names
    }
    self._seen = []
    self._writer.write(step, means)


class Progress:
  """A bar with loss, IoU, frames per second and the time that is left.

  Args:
    config: for the frames in a batch of each stage.
    stages: of the run.
    done: steps that an earlier start made.
  """

  def __init__(self, config: ConfigDict, stages: Sequence[Stage], done: int):
    self._frames = {
      stage.stop: config.stages[stage.name].batch_size
      * config.stages[stage.name].clip_length
      for stage in stages
    }
    interactive = sys.stderr.isatty()
    self._bar = tqdm.tqdm(
      total=stages[-1].stop,
      initial=done,
      unit="step",
      dynamic_ncols=True,
      mininterval=0.2 if interactive else 15.0,
      bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt}, {remaining} left{postfix}",
    )

  def __enter__(self) -> "Progress":
    return self

  def __exit__(self, *_: object) -> None:
    self._bar.close()

  def __call__(self, step: int, values: Mapping[str, float]) -> None:
    """Takes in a step."""
    rate = self._bar.format_dict["rate"] or 0.0
    frames = next(n for stop, n in self._frames.items() if step <= stop)
    shown = {name: f"{values[name]:.3f}" for name in ("loss", "iou") if name in values}
    self._bar.set_postfix(shown | {"frames/s": f"{rate * frames:.1f}"}, refresh=False)
    self._bar.update()
