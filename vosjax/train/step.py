"""One update, on one or many devices."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from vosjax.inference import compilation
from vosjax.train.recipe import Objective, Outputs
from vosjax.train.state import TrainState
from vosjax.types import Variables, VideoBatch

DATA = "data"  # the only axis of the mesh

Metrics = Mapping[str, jax.Array]
TrainStep = Callable[[TrainState, VideoBatch], tuple[TrainState, Metrics]]


def make_mesh(batch_size: int, devices: Any = None, *, accumulate: int = 1) -> Mesh:
  """A one-dimensional mesh of as many devices as divide the batch evenly.

  Args:
    batch_size: clips in a batch, over all processes.
    devices: to choose from; by default all.
    accumulate: parts of a batch, see `make_train_step`; each is divided.

  Raises:
    ValueError: several processes, whose devices do not divide the batch.
  """
  devices = np.array(jax.devices() if devices is None else devices)
  part = batch_size // accumulate
  count = next(n for n in range(len(devices), 0, -1) if part % n == 0)
  if jax.process_count() > 1 and count < len(devices):
    raise ValueError(
      f"batch_size is {batch_size} in {accumulate} part(s), which {len(devices)} "
      "devices do not divide. With several processes, make it a multiple of "
      f"{len(devices) * accumulate}."
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
  objective: Objective,
  tx: optax.GradientTransformation,
  mesh: Mesh,
  *,
  accumulate: int = 1,
) -> compilation.Program:
  """Makes the update of a stage: (state, batch) -> (state, metrics).

  On one GPU, the first two calls compile: see `vosjax.inference.compilation`. The state
  is replicated and donated; the batch is sharded over the mesh. Loss,
  gradients and batch statistics are those of the whole batch, however many devices
  share it. The metrics are the objective's and "grad_norm", before clipping.

  Args:
    objective: of the stage.
    tx: its optimizer.
    mesh: from `make_mesh`, for the same `accumulate`.
    accumulate: splits the batch into so many parts, which pass through the network one
      after another, so that a batch can be larger than memory. Gradients and metrics
      are means over the parts: those of the whole batch, if the loss is a mean over
      clips. Batch statistics are those of each part, one after another.
  """
  replicated = NamedSharding(mesh, PartitionSpec())
  sharded = NamedSharding(mesh, PartitionSpec(DATA))
  sharded_parts = NamedSharding(mesh, PartitionSpec(None, DATA))

  def differentiate(
    state: TrainState, batch: VideoBatch, key: Any
  ) -> tuple[Variables, Outputs]:
    def loss(params):
      variables = {"params": params, "batch_stats": state.batch_stats}
      return objective(variables, batch, key)

    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):  # see `on_own_clips`
      return jax.grad(loss, has_aux=True)(state.params)

  def differentiate_parts(
    state: TrainState, batch: VideoBatch, key: Any
  ) -> tuple[Variables, Outputs]:
    def split(x):  # every device keeps its own clips
      parts = x.reshape(-1, accumulate, *x.shape[1:]).swapaxes(0, 1)
      return jax.lax.with_sharding_constraint(parts, sharded_parts)

    def add(carry, part):
      grads, batch_stats = carry
      batch, index = part
      more, outputs = differentiate(
        state.replace(batch_stats=batch_stats), batch, jax.random.fold_in(key, index)
      )
      carry = jax.tree.map(jnp.add, grads, more), outputs.batch_stats
      return carry, outputs.metrics

    parts = jax.tree.map(split, batch), jnp.arange(accumulate)
    start = jax.tree.map(jnp.zeros_like, state.params), state.batch_stats
    (grads, batch_stats), metrics = jax.lax.scan(add, start, parts)
    grads = jax.tree.map(lambda x: x / accumulate, grads)
    return grads, Outputs(jax.tree.map(jnp.mean, metrics), batch_stats)

  compute = differentiate if accumulate == 1 else differentiate_parts
  jit = compilation.jit(
    graphs=mesh.size == 1,  # sums over devices have not been tried in graphs
    in_shardings=(replicated, sharded),
    out_shardings=replicated,
    donate_argnums=0,
  )

  def train_step(state: TrainState, batch: VideoBatch) -> tuple[TrainState, Metrics]:
    grads, outputs = compute(state, batch, state.step_key())
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    state = state.replace(
      step=state.step + 1,
      params=optax.apply_updates(state.params, updates),
      batch_stats=outputs.batch_stats,
      opt_state=opt_state,
    )
    return state, {**outputs.metrics, "grad_norm": optax.tree.norm(grads)}

  return jit(train_step)
