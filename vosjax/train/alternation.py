"""COSNet's training: steps on stills and on pairs of frames take turns.

Source: the released COSNet (Lu et al., CVPR 2019).
"""

from typing import NamedTuple

PERIOD = 3  # one step on stills, then two on pairs
BASE_RATE = 2.5e-4
DECAY_POWER = 0.9
LATE_EPOCH, LATE_FACTOR = 6, 0.5  # the rate is halved from here on


class Rates(NamedTuple):
  """Learning rates of the encoder and of everything behind it."""

  encoder: float
  heads: float


def is_still_step(iteration: int) -> bool:
  """Whether a step is on stills: the first of every three.

  Args:
    iteration: the released program counts within the epoch, so that with 130 steps an
      epoch kinds of steps and rates (`learning_rates`) fall out of phase; counted
      from the beginning they stay together.
  """
  return iteration % PERIOD == 0


def learning_rates(
    iteration: int, iterations_per_epoch: int, num_epochs: int = 60
) -> Rates:
  """Polynomial decay, the encoder's in steps on stills, the heads' in the others.

  Args:
    iteration: counted from the beginning.
    iterations_per_epoch: steps of both kinds.
    num_epochs: after which the rate is 0.
  """
  late = iteration // iterations_per_epoch >= LATE_EPOCH
  left = 1 - iteration / (num_epochs * iterations_per_epoch)
  rate = BASE_RATE * (LATE_FACTOR if late else 1.0) * left**DECAY_POWER
  if is_still_step(iteration):
    return Rates(rate, 0.0)
  return Rates(0.01 * rate, 10 * rate)
