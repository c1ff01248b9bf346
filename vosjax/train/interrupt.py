"""Stops training cleanly between two steps on SIGTERM or Ctrl-C."""

import signal
from types import FrameType

import jax

from vosjax.train import processes

STEPS_TO_AGREE = 10  # steps between two comparisons of the processes' signals


class Interrupted(Exception):
  """A signal stopped the run; its state was saved.

  Attributes:
    signum: number of the signal.
    step: the last step that was completed.
  """

  def __init__(self, signum: int, step: int):
    super().__init__(
      f"{signal.Signals(signum).name}: stopped after step {step}, which is saved. "
      "The same command with this run's --workdir resumes it."
    )
    self.signum = signum
    self.step = step


class Interrupt:
  """Records SIGTERM and SIGINT inside its context; a second Ctrl-C acts at once.

  Attributes:
    signum: number of the signal that arrived, or None.
  """

  def __init__(self) -> None:
    self.signum: int | None = None

  def __enter__(self) -> "Interrupt":
    signals = (signal.SIGTERM, signal.SIGINT)
    self._previous = {s: signal.signal(s, self._record) for s in signals}
    return self

  def __exit__(self, *_: object) -> None:
    for signum, handler in self._previous.items():
      signal.signal(signum, handler)

  def received(self, step: int) -> int | None:
    """The signal that ends the run after this step, the same in all processes."""
    if jax.process_count() == 1:
      return self.signum
    return None if step % STEPS_TO_AGREE else processes.agree(self.signum)

  def _record(self, signum: int, frame: FrameType | None) -> None:
    del frame
    if self.signum is not None and signum == signal.SIGINT:
      raise KeyboardInterrupt
    self.signum = signum
