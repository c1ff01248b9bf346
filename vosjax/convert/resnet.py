"""Names of torchvision's ResNets 18 to 152."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from vosjax.convert.rules import Rule
from vosjax.models.backbones.resnet import BLOCKS


def resnet_rules(
  official_prefix: str, our_prefix: str, drop_classifier: bool = True
) -> tuple[Rule, ...]:
  """Rules of a backbone without its classifier.

  Args:
    official_prefix: pattern before every name, without groups, such as `base\\.`.
    our_prefix: path of our ResNet within a collection; "" if it is the model.
    drop_classifier: the official network carries `fc`, which is not used.
  """
  ours = f"{our_prefix}/" if our_prefix else ""
  block = rf"{official_prefix}layer(\d)\.(\d+)\."
  place = rf"{ours}stage\1/block\2"
  units = (
    (rf"{official_prefix}conv1", rf"{official_prefix}bn1", f"{ours}stem"),
    (rf"{block}conv(\d)", rf"{block}bn(\d)", rf"{place}/conv\3"),
    (rf"{block}downsample\.0", rf"{block}downsample\.1", f"{place}/shortcut"),
  )
  rules: list[Rule] = []
  for conv, norm, path in units:
    rules.append((rf"{conv}\.weight", f"params/{path}/conv/kernel", "conv"))
    rules.append((norm, f"{path}/norm", "bn"))
  if drop_classifier:
    rules.append((rf"{official_prefix}fc\.(weight|bias)", None, None))
  return tuple(rules)


def find_variant(
  state_dict: Mapping[str, np.ndarray], official_prefix: str = ""
) -> str:
  """Which ResNet a state dict with torchvision's names belongs to.

  Args:
    state_dict: official names and arrays.
    official_prefix: pattern before every name, without groups.

  Raises:
    ValueError: the names are of no ResNet 18, 34, 50, 101 or 152.
  """
  blocks, bottleneck = [set() for _ in range(4)], False
  for name in state_dict:
    if match := re.match(rf"{official_prefix}layer([1-4])\.(\d+)\.(\w+)", name):
      blocks[int(match[1]) - 1].add(match[2])
      bottleneck |= match[3] == "conv3"
  counts = tuple(len(found) for found in blocks)
  for variant, expected in BLOCKS.items():
    basic = variant in ("resnet18", "resnet34")
    if expected == counts and basic != bottleneck:
      return variant
  raise ValueError(
    f"no ResNet of {', '.join(BLOCKS)} has {counts} blocks in layer1 to layer4; the "
    f"state dict begins with {list(state_dict)[:3]}."
  )


RULES = resnet_rules("", "")


def find_fields(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Fields of the ResNet that these weights belong to."""
  return {"variant": find_variant(state_dict)}
