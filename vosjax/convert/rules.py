"""Converts official tensors to our variables by a table of rules, without omissions.

A table is a tuple of rules `(pattern, path, layout)`, tried in order; the first one
whose pattern matches the whole official name applies.

- `pattern` is a regular expression; `path` a template of our path (`\\1` is its first
  group), such as `params/backbone/stem/conv/kernel`.
- `layout` says how the tensor is rearranged:
  "same"   not at all;
  "conv"   (out, in, rows, columns) -> (rows, columns, in, out);
  "dense"  (out, in) or (out, in, 1, 1) -> (in, out);
  "bn"     the pattern matches a BatchNorm and `path` is its module, without a
           collection:
           weight, bias -> `params/<path>/scale, bias`; running_mean, running_var ->
           `batch_stats/<path>/mean, var`; num_batches_tracked is dropped;
  a function of the tensor;
  None     with path None: the tensor is dropped deliberately.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.traverse_util
import jax.numpy as jnp
import numpy as np

from vosjax.types import Variables

Layout = str | Callable[[np.ndarray], np.ndarray] | None
Rule = tuple[str, str | None, Layout]

_LAYOUTS = {
  "same": lambda tensor: tensor,
  "conv": lambda tensor: tensor.transpose(2, 3, 1, 0),
  "dense": lambda tensor: tensor.reshape(tensor.shape[:2]).T,
}
_BATCH_NORM = {
  "weight": ("params", "scale"),
  "bias": ("params", "bias"),
  "running_mean": ("batch_stats", "mean"),
  "running_var": ("batch_stats", "var"),
}
_SHOWN = 10


def strip_data_parallel(state_dict: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Removes the prefix `module.` of PyTorch's DataParallel, if every name has it."""
  if not all(name.startswith("module.") for name in state_dict):
    return dict(state_dict)
  return {name.removeprefix("module."): value for name, value in state_dict.items()}


def _expand(
  rules: Sequence[Rule],
) -> Iterator[tuple[re.Pattern[str], str | None, Layout]]:
  """Compiled rules, with a rule for each tensor of a "bn"."""
  for pattern, path, layout in rules:
    if layout != "bn":
      yield re.compile(pattern), path, layout
      continue
    for official, (collection, leaf) in _BATCH_NORM.items():
      name = re.compile(rf"{pattern}\.{official}")
      yield name, f"{collection}/{path}/{leaf}", "same"
    yield re.compile(rf"{pattern}\.num_batches_tracked"), None, None


def _rearrange(
  tensor: np.ndarray, layout: Layout, shape: tuple[int, ...]
) -> np.ndarray | np.generic | None:
  """The tensor in our layout, or None if that does not have the expected shape."""
  assert layout is not None
  try:
    result = (layout if callable(layout) else _LAYOUTS[layout])(tensor)
  except (ValueError, IndexError):  # it lacks axes that the layout requires
    return None
  return result if result.shape == shape else None


def _abbreviate(names: Sequence[str]) -> str:
  more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
  return f"{list(names[:_SHOWN])}{more}"


def apply_rules(
  name: str,
  rules: Sequence[Rule],
  state_dict: Mapping[str, np.ndarray],
  shapes: Variables,
) -> dict:
  """Fills the tree `shapes` from a state dict.

  Args:
    name: what is converted, for error messages.
    rules: see above.
    state_dict: official names and arrays in PyTorch's layout.
    shapes: our variables; each leaf has a `shape` and a `dtype`.

  Returns:
    A tree like `shapes`, of arrays.

  Raises:
    ValueError: a tensor has no rule, a variable is never filled or filled twice, or a
      shape differs. All such names are listed.
  """
  target = flax.traverse_util.flatten_dict(dict(shapes), sep="/")
  table = tuple(_expand(rules))
  filled: dict[str, Any] = {}
  orphans, wrong, twice = [], [], []
  for official, tensor in state_dict.items():
    matches = ((rule[0].fullmatch(official), *rule[1:]) for rule in table)
    match, path, layout = next((m for m in matches if m[0]), (None, None, None))
    if match is None:
      orphans.append(official)
    elif path is not None:
      path = match.expand(path)
      if path not in target:
        orphans.append(f"{official} (its rule leads to {path}, which the model lacks)")
        continue
      expected = target[path]
      result = _rearrange(tensor, layout, tuple(expected.shape))
      if path in filled:
        twice.append(path)
      elif result is None:
        filled[path] = tensor
        wrong.append(f"{official} {tensor.shape} for {path} {tuple(expected.shape)}")
      else:
        filled[path] = jnp.asarray(result, expected.dtype)
  missing = sorted(set(target) - set(filled))
  if orphans or missing or wrong or twice:
    again = f"; filled twice {_abbreviate(twice)}" if twice else ""
    raise ValueError(
      f"{name} checkpoint: no rule for {_abbreviate(orphans)}; never filled "
      f"{_abbreviate(missing)}; wrong shape {_abbreviate(wrong)}{again}. Is it the "
      "checkpoint of another model, or of other fields?"
    )
  return flax.traverse_util.unflatten_dict(filled, sep="/")
