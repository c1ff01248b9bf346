"""Stops training cleanly: on SIGTERM, Ctrl-C, or when time is up."""

import signal
import sys
import time
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
  """Records SIGTERM and SIGINT inside its context; a second Ctrl-C raises as usual.

  Args:
    of_threads: threads do the work, which no exception reaches: the first signal is
      answered, and a second Ctrl-C ends the process at once.

  Attributes:
    signum: number of the signal that arrived, or None.
  """

  def __init__(self, *, of_threads: bool = False) -> None:
    self.signum: int | None = None
    self._of_threads = of_threads

  def __enter__(self) -> "Interrupt":
    signals = (signal.SIGTERM, signal.SIGINT)
    self._previous = {s: signal.signal(s, self._record) for s in signals}
    return self

  def __exit__(self, *_: object) -> None:
    for signum, handler in self._previous.items():
      signal.signal(signum, handler)

  def received(self, step: int, *, at_once: bool) -> int | None:
    """The signal that ends the run after this step, the same in all processes.

    Args:
      step: that is completed.
      at_once: compare signals now, not only every `STEPS_TO_AGREE` steps.
    """
    return _agree_after(step, self.signum, at_once=at_once)

  def _record(self, signum: int, frame: FrameType | None) -> None:
    del frame
    if self.signum is not None and signum == signal.SIGINT:
      if self._of_threads:
        processes.exit_now(128 + signum)
      raise KeyboardInterrupt
    self.signum = signum
    if self._of_threads:
      sys.stderr.write("stopping soon; Ctrl-C stops at once.\n")


class TimeLimit:
  """Says when a run has used the time it may take.

  Args:
    minutes: from now on; 0: there is no limit.
  """

  def __init__(self, minutes: float):
    self._end = time.monotonic() + 60 * minutes if minutes else None

  def is_over(self, step: int) -> bool:
    """Whether to end the run after this step, the same in all processes."""
    if self._end is None:
      return False
    over = time.monotonic() >= self._end
    return _agree_after(step, 1 if over else None) is not None


def _agree_after(step: int, value: int | None, *, at_once: bool = False) -> int | None:
  """The value of all processes after a step; None where they do not compare theirs."""
  if jax.process_count() == 1:
    return value
  return processes.agree(value) if at_once or step % STEPS_TO_AGREE == 0 else None
