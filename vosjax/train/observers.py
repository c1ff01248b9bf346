"""Observers of every step's metrics: the log and the progress bar."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tqdm
from ml_collections import ConfigDict

from vosjax.train.loop import Stage
from vosjax.train.writers import MetricsWriter


class Logger:
  """Writes the means over the steps since the last line.

  Args:
    writer: receives the means.
    every_steps: steps between two lines.
    last: the last step of the run, after which a line is written in any case.
    pending: metrics of the steps since the last line of the run that is resumed.

  Attributes:
    pending: metrics of the steps since the last line.
  """

  def __init__(
    self,
    writer: MetricsWriter,
    every_steps: int,
    last: int,
    pending: Iterable[Mapping[str, float]] = (),
  ):
    self._writer = writer
    self._every_steps = every_steps
    self._last = last
    self.pending = list(pending)

  def __call__(self, step: int, values: Mapping[str, float]) -> None:
    """Records the metrics of a step."""
    self.pending.append(values)
    if step % self._every_steps and step != self._last:
      return
    # Different kinds of steps have different metrics.
    names = dict.fromkeys(name for values in self.pending for name in values)
    means = {
      name: float(np.mean([v[name] for v in self.pending if name in v]))
      for name in names
    }
    self.pending = []
    self._writer.write(step, means)


class Progress:
  """A progress bar with loss, IoU, frames per second and the remaining time.

  It is shown in a terminal only.

  Args:
    config: of the run; says how many frames a batch of each stage has.
    stages: of the run.
    done: number of steps completed before.
  """

  def __init__(self, config: ConfigDict, stages: Sequence[Stage], done: int):
    self._frames = {
      stage.stop: config.stages[stage.name].batch_size
      * config.stages[stage.name].clip_length
      for stage in stages
    }
    self._bar = tqdm.tqdm(
      total=stages[-1].stop,
      initial=done,
      unit="step",
      dynamic_ncols=True,
      mininterval=0.2,
      bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt}, {remaining} left{postfix}",
      disable=None,
    )

  def __enter__(self) -> "Progress":
    return self

  def __exit__(self, *_: object) -> None:
    self._bar.close()

  def __call__(self, step: int, values: Mapping[str, float]) -> None:
    """Shows the metrics of a step."""
    rate = self._bar.format_dict["rate"] or 0.0
    frames = next(n for stop, n in self._frames.items() if step <= stop)
    postfix = {
      name: f"{values[name]:.3f}" for name in ("loss", "iou") if name in values
    }
    self._bar.set_postfix(postfix | {"frames/s": f"{rate * frames:.1f}"}, refresh=False)
    self._bar.update()
