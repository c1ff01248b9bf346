"""One update, on one or many devices."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from vosjax.train.recipe import Objective
from vosjax.train.state import TrainState
from vosjax.types import VideoBatch

DATA = "data"  # the only axis of the mesh

Metrics = Mapping[str, jax.Array]
TrainStep = Callable[[TrainState, VideoBatch], tuple[TrainState, Metrics]]


def make_mesh(batch_size: int, devices: Any = None) -> Mesh:
  """A one-dimensional mesh of as many devices as divide the batch evenly.

  Args:
    batch_size: clips in a batch, over all processes.
    devices: to choose from; by default all.

  Raises:
    ValueError: several processes, whose devices do not divide the batch.
  """
  devices = np.array(jax.devices() if devices is None else devices)
  count = next(n for n in range(len(devices), 0, -1) if batch_size % n == 0)
  if jax.process_count() > 1 and count < len(devices):
    raise ValueError(
      f"batch_size is {batch_size}, which {len(devices)} devices do not divide. "
      f"With several processes, make it a multiple of {len(devices)}."
    )
  return Mesh(devices[:count], (DATA,), axis_types=(AxisType.Auto,))


def replicate(state: TrainState, mesh: Mesh) -> TrainState:
  """Copies the state to every device."""
  return jax.device_put(state, NamedSharding(mesh, PartitionSpec()))


def shard(batch: Mapping[str, Any], mesh: Mesh) -> VideoBatch:
  """Distributes this process's part of a batch over its devices."""
  sharding = NamedSharding(mesh, PartitionSpec(DATA))

  def put(array):
    return jax.make_array_from_process_local_data(sharding, array)

  kinds = ("frames", "labels", "classes")
  return VideoBatch(**{kind: put(batch[kind]) for kind in kinds if kind in batch})


def make_train_step(
  objective: Objective, tx: optax.GradientTransformation, mesh: Mesh
) -> jax.stages.Wrapped:
  """Makes the update of a stage: (state, batch) -> (state, metrics).

  The state is replicated and donated; the batch is sharded over the mesh. Loss,
  gradients and batch statistics are those of the whole batch, however many devices
  share it. The metrics are the objective's and "grad_norm", before clipping.
  """
  replicated = NamedSharding(mesh, PartitionSpec())
  sharded = NamedSharding(mesh, PartitionSpec(DATA))

  def train_step(state: TrainState, batch: VideoBatch) -> tuple[TrainState, Metrics]:
    def loss(params):
      variables = {"params": params, "batch_stats": state.batch_stats}
      return objective(variables, batch, state.step_key())

    grads, outputs = jax.grad(loss, has_aux=True)(state.params)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    state = state.replace(
      step=state.step + 1,
      params=optax.apply_updates(state.params, updates),
      batch_stats=outputs.batch_stats,
      opt_state=opt_state,
    )
    return state, {**outputs.metrics, "grad_norm": optax.tree.norm(grads)}

  return jax.jit(
    train_step,
    in_shardings=(replicated, sharded),
    out_shardings=replicated,
    donate_argnums=0,
  )
