"""How a network is executed: options of speed, memory and precision.

They are not part of the architecture: the same weights fit all of them, and results
agree up to rounding.
"""

import dataclasses
from typing import Any

import flax.linen as nn

Dtype = Any  # a NumPy dtype or its name; None: that of the input


@dataclasses.dataclass(frozen=True)
class Execution:
  """Options of all models; without effect on a model that lacks what they act on.

  Attributes:
    dtype: of convolutions. Recurrent states, statistics, affinities and logits stay in
      float32.
    remat: recompute the blocks of the backbone (of RIS: its convolutions) in the
      backward pass instead of storing their activations.
    axis_name: mapped axis over which batch statistics are averaged. Needed under
      `pmap` and `shard_map` only; under `jit` they cover the global batch anyway.
    unroll_objects: objects per iteration of the loop in which RVOS, RSIS and RIS
      decode one object after another; True: all, False: one. RVOS with ten objects
      at 256x448 on CPU: 132 ms as a loop, 98 ms unrolled.
    folded: the variables come from `fold`, so there is no BatchNorm. Set by
      inference.
    stop_early: RSIS and RIS decode no slot after the end of the longest sequence, see
      `decode_until_stop` in `modules/sequence.py`. Not differentiable. Set by
      inference.
  """

  dtype: Dtype = None
  remat: bool = False
  axis_name: str | None = None
  unroll_objects: int | bool = 1
  folded: bool = False
  stop_early: bool = False


# What a configuration may set; the others are for inference.
OPTIONS = ("dtype", "remat", "axis_name", "unroll_objects")


def with_execution(model: nn.Module, **options: Any) -> nn.Module:
  """The same network with other execution options.

  Args:
    model: any model or backbone of `vosjax.models`.
    **options: fields of Execution to change.
  """
  return model.clone(execution=dataclasses.replace(model.execution, **options))


def construct(kind: type[nn.Module], fields: dict[str, Any]) -> nn.Module:
  """Builds a module from one flat mapping of its fields and OPTIONS.

  Raises:
    TypeError: a field is unknown.
  """
  options = {name: fields[name] for name in OPTIONS if name in fields}
  rest = {name: value for name, value in fields.items() if name not in options}
  return kind(**rest, execution=Execution(**options))
