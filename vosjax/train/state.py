"""All that a run needs to go on exactly where it stopped."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from vosjax.types import Variables


@flax.struct.dataclass
class TrainState:
  """Arrays only, so that it can be saved, donated and sharded as one value.

  Attributes:
    step: updates made since the run began, over all stages.
    params: of the model.
    batch_stats: running statistics of BatchNorm.
    opt_state: of the present stage's optimizer.
    key: folded with `step`, so that resuming repeats the same randomness.
  """

  step: Any  # a scalar; or what stands for it while shapes are worked out
  params: Variables
  batch_stats: Variables
  opt_state: Any
  key: Any

  @classmethod
  def create(
    cls, variables: Variables, tx: optax.GradientTransformation, seed: int
  ) -> "TrainState":
    """State before the first update."""
    return cls(
      step=jnp.zeros((), jnp.int32),
      params=variables["params"],
      batch_stats=variables.get("batch_stats", {}),
      opt_state=tx.init(variables["params"]),
      key=jax.random.key_data(jax.random.key(seed)),
    )

  @property
  def variables(self) -> dict[str, Variables]:
    """What `model.apply` takes."""
    return {"params": self.params, "batch_stats": self.batch_stats}

  def step_key(self) -> Any:
    """PRNG key of the coming update."""
    return jax.random.fold_in(jax.random.wrap_key_data(self.key), self.step)
