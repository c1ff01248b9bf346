"""Weights that every program converts to a lower precision are converted once."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.extend import core

from vosjax.models.api import KeepsSlots, TakesCorrections, TakesReferences, bind
from vosjax.types import Variables

_SIZE = (64, 64)  # of a frame; which conversions there are does not depend on it
# They move values without changing them, so a conversion may as well come before.
_MOVES = ("slice", "squeeze", "reshape", "transpose", "broadcast_in_dim", "copy")
_CALLS = (
  "jit",
  "pjit",
  "closed_call",
  "custom_jvp_call",
  "remat2",
  "checkpoint",
  "scan",
)


def cast_weights(model: nn.Module, variables: Variables) -> Variables:
  """Converts weights to `model.execution.dtype` where nothing needs more precision.

  The networks keep float32 weights and convert them where they are used, which costs a
  pass over each of them in every frame. A weight is converted here if each of its uses
  in all programs is such a conversion, so that values are rounded as before.

  Args:
    model: as inference runs it.
    variables: of the model.

  Returns:
    The same variables; those that could be converted have the lower precision.
  """
  dtype = jnp.dtype(model.execution.dtype or jnp.float32)
  if dtype == jnp.float32:
    return variables
  leaves, tree = jax.tree.flatten(variables)
  use = _make_use(model)

  def use_leaves(leaves: Sequence[Any]) -> Any:
    return use(jax.tree.unflatten(tree, leaves))

  shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
  jaxpr = jax.make_jaxpr(use_leaves)(shapes).jaxpr
  uses: list[set[bool]] = [set() for _ in leaves]
  _collect(jaxpr, {var: i for i, var in enumerate(jaxpr.invars)}, dtype, uses)
  converted = [
    leaf.astype(dtype) if found == {True} else leaf
    for leaf, found in zip(leaves, uses, strict=True)
  ]
  return jax.tree.unflatten(tree, converted)


def _make_use(model: nn.Module) -> Callable[[Variables], Any]:
  """A function that calls every method of the model's protocol with the variables."""
  size = model.framing(_SIZE).framed_size
  frames = jnp.zeros((1, *size, 3))
  objects = model.readout.num_slots or 1
  masks = jnp.zeros((1, objects, *size)) if model.readout.one_shot else None
  active = jnp.ones((1, objects), bool)

  def use(variables: Variables) -> Any:
    network = bind(model, variables)
    features = network.encode(frames)
    state = network.init_state(features, masks)
    results = [state]
    if isinstance(network, KeepsSlots):
      state = network.begin(features, masks)
      results.append(state)
      if masks is not None:
        results.append(network.insert(state, masks, active))
    if isinstance(network, TakesCorrections) and masks is not None:
      results.append(network.correct(state, state, masks, active))
    if isinstance(network, TakesReferences) and network.num_references:
      results.append(network.remember(state, features, jnp.int32(0)))
    state, prediction = network.segment(state, features, active)
    probs = jax.nn.sigmoid(prediction.logits)
    return results, prediction, network.update(state, features, probs)

  return use


def _collect(
  jaxpr: core.Jaxpr,
  weights: dict[Any, int],
  dtype: Any,
  uses: list[set[bool]],
) -> None:
  """Notes each use of a weight: True if it is a conversion to the dtype.

  Args:
    jaxpr: of a program.
    weights: number of the weight that a variable of the program holds.
    dtype: of the conversions.
    uses: of each weight; changed.
  """
  weights = dict(weights)

  def numbers(variables: Sequence[Any]) -> list[int | None]:
    return [weights.get(x) if isinstance(x, core.Var) else None for x in variables]

  for equation in jaxpr.eqns:
    given = numbers(equation.invars)
    name = equation.primitive.name
    if all(number is None for number in given):
      continue
    if name in _CALLS:
      inner = equation.params.get("jaxpr") or equation.params["call_jaxpr"]
      inner = getattr(inner, "jaxpr", inner)
      pairs = zip(inner.invars, given, strict=True)
      _collect(inner, {x: n for x, n in pairs if n is not None}, dtype, uses)
    elif name in _MOVES:
      weights[equation.outvars[0]] = next(n for n in given if n is not None)
    else:
      converts = name == "convert_element_type"
      same = converts and equation.params["new_dtype"] == dtype
      for number in given:
        if number is not None:
          uses[number].add(same)
  for number in numbers(jaxpr.outvars):
    if number is not None:
      uses[number].add(False)
