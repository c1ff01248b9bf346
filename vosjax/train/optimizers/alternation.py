"""COSNet's training: steps on stills and on pairs of frames take turns.

Source: the released COSNet (Lu et al., CVPR 2019).
"""

from typing import NamedTuple

from jaxtyping import Array, Float, Int

PERIOD = 3  # one step on stills, then two on pairs
BASE_RATE = 2.5e-4
PAIR_FACTORS = (0.01, 10.0)
DECAY_POWER = 0.9
LATE_EPOCH, LATE_FACTOR = 6, 0.5  # the rate is halved from here on


class Rates(NamedTuple):
  """Learning rates of the encoder and of everything behind it."""

  encoder: float | Float[Array, ""]
  heads: float | Float[Array, ""]


def is_still_step(iteration: int) -> bool:
  """Whether a step is on stills: the first of every three.

  Args:
    iteration: the released program counts within the epoch, so that with 130 steps an
      epoch kinds of steps and rates (`learning_rates`) fall out of phase; counted
      from the beginning they stay together.
  """
  return iteration % PERIOD == 0


def num_still_steps(start: int, iterations_per_epoch: int | None = None) -> int:
  """Steps on stills among the first `start` ones.

  Args:
    start: how many steps are done.
    iterations_per_epoch: begin with stills in every epoch, as released; None: only
      in the first one.
  """
  epochs, rest = divmod(start, iterations_per_epoch or start + 1)
  per_epoch = -(-(iterations_per_epoch or 0) // PERIOD)
  return epochs * per_epoch + -(-rest // PERIOD)


def learning_rates(
  iteration: int | Int[Array, ""],
  iterations_per_epoch: int,
  num_epochs: float | int = 60,
  *,
  base: float = BASE_RATE,
  pair_factors: tuple[float, float] = PAIR_FACTORS,
) -> Rates:
  """Polynomial decay, the encoder's in steps on stills, the heads' in the others.

  Args:
    iteration: counted from the beginning.
    iterations_per_epoch: steps of both kinds.
    num_epochs: after which the rate is 0; not always a whole number.
    base: rate at the beginning.
    pair_factors: of encoder and heads, in steps on pairs.
  """
  late = iteration // iterations_per_epoch >= LATE_EPOCH
  left = 1 - iteration / (num_epochs * iterations_per_epoch)
  rate = base * (1 - (1 - LATE_FACTOR) * late) * left**DECAY_POWER
  still = 1 * (iteration % PERIOD == 0)
  encoder, heads = pair_factors
  return Rates(rate * (still + (1 - still) * encoder), rate * (1 - still) * heads)
