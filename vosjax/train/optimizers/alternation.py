"""COSNet's schedule: steps on stills and on pairs of frames alternate.

Source: the released COSNet (Lu et al., CVPR 2019).
"""

from typing import NamedTuple

from jaxtyping import Array, Float, Int

PERIOD = 3  # one step on stills, then two on pairs
BASE_RATE = 2.5e-4
PAIR_FACTORS = (0.01, 10.0)
DECAY_POWER = 0.9
LATE_EPOCH, LATE_FACTOR = 6, 0.5  # the rate is halved from this epoch on


class Rates(NamedTuple):
  """Learning rates.

  Attributes:
    encoder: of the encoder.
    heads: of everything behind the encoder.
  """

  encoder: float | Float[Array, ""]
  heads: float | Float[Array, ""]


def is_still_step(step: int) -> bool:
  """Whether a step is on stills: the first of every three.

  Args:
    step: number of the step. The released program counts within the epoch; with 130
      steps per epoch, its kinds of steps drift away from the rates (see
      `learning_rates`). Counted from the start of the stage, they stay together.
  """
  return step % PERIOD == 0


def num_still_steps(start: int, steps_per_epoch: int | None = None) -> int:
  """Number of steps on stills among the first `start` steps.

  Args:
    start: number of steps done.
    steps_per_epoch: every epoch of this length starts with stills, as released. None:
      only the first one does.
  """
  epochs, rest = divmod(start, steps_per_epoch or start + 1)
  per_epoch = -(-(steps_per_epoch or 0) // PERIOD)
  return epochs * per_epoch + -(-rest // PERIOD)


def learning_rates(
  step: int | Int[Array, ""],
  steps_per_epoch: int,
  num_epochs: float | int = 60,
  *,
  base: float = BASE_RATE,
  pair_factors: tuple[float, float] = PAIR_FACTORS,
) -> Rates:
  """Polynomial decay. Steps on stills train the encoder, those on pairs the heads.

  Args:
    step: number of the step, counted from the start of the stage.
    steps_per_epoch: steps of both kinds in an epoch.
    num_epochs: epochs after which the rate is 0; need not be an integer.
    base: initial rate.
    pair_factors: factors for encoder and heads in steps on pairs.
  """
  late = step // steps_per_epoch >= LATE_EPOCH
  remaining = 1 - step / (num_epochs * steps_per_epoch)
  rate = base * (1 - (1 - LATE_FACTOR) * late) * remaining**DECAY_POWER
  still = 1 * (step % PERIOD == 0)
  encoder, heads = pair_factors
  return Rates(rate * (still + (1 - still) * encoder), rate * (1 - still) * heads)
