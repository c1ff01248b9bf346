"""SIGTERM and Ctrl-C as a wish that the loop grants between two steps."""

import signal
from types import FrameType

import jax

from vosjax.train import processes

STEPS_TO_AGREE = 10  # between two questions to the other processes


class Interrupted(Exception):
  """A signal ended the run; its state was saved.

  Attributes:
    signum: the signal.
    step: up to which the run came.
  """

  def __init__(self, signum: int, step: int):
    super().__init__(
      f"{signal.Signals(signum).name}: stopped after step {step}, which is saved. "
      "The same command with this run's --workdir goes on from there."
    )
    self.signum = signum
    self.step = step


class Interrupt:
  """Notes SIGTERM and SIGINT while the context lasts; a second Ctrl-C acts at once.

  Attributes:
    signum: the signal that came, or None.
  """

  def __init__(self):
    self.signum: int | None = None

  def __enter__(self) -> "Interrupt":
    signals = (signal.SIGTERM, signal.SIGINT)
    self._previous = {s: signal.signal(s, self._note) for s in signals}
    return self

  def __exit__(self, *_: object) -> None:
    for signum, handler in self._previous.items():
      signal.signal(signum, handler)

  def heard(self, step: int) -> int | None:
    """The signal that ends the run after this step, the same in all processes."""
    if jax.process_count() == 1:
      return self.signum
    return None if step % STEPS_TO_AGREE else processes.agree(self.signum)

  def _note(self, signum: int, frame: FrameType | None) -> None:
    del frame
    if self.signum is not None and signum == signal.SIGINT:
      raise KeyboardInterrupt
    self.signum = signum
