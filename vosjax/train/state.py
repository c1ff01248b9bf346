"""Everything that a run needs to resume exactly where it stopped."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from vosjax.types import Variables


class TrainState(flax.struct.PyTreeNode):
  """Arrays only, so that it can be saved, donated and sharded as one value.

  Attributes:
    step: number of updates since the run began, over all stages.
    params: parameters of the model.
    batch_stats: running statistics of BatchNorm.
    opt_state: state of the current stage's optimizer.
    key: data of a PRNG key. It is folded with `step`, so that a resumed run draws the
      same random numbers.
  """

  step: Any  # a scalar, or its stand-in while shapes are evaluated
  params: Variables
  batch_stats: Variables
  opt_state: Any
  key: Any

  @classmethod
  def create(
    cls, variables: Variables, tx: optax.GradientTransformation, seed: int
  ) -> "TrainState":
    """The state before the first update."""
    return cls(
      step=jnp.zeros((), jnp.int32),
      params=variables["params"],
      batch_stats=variables.get("batch_stats", {}),
      opt_state=tx.init(variables["params"]),
      key=jax.random.key_data(jax.random.key(seed)),
    )

  @property
  def variables(self) -> dict[str, Variables]:
    """The variables that `model.apply` takes."""
    return {"params": self.params, "batch_stats": self.batch_stats}

  def step_key(self) -> Any:
    """PRNG key of the next update."""
    return jax.random.fold_in(jax.random.wrap_key_data(self.key), self.step)
