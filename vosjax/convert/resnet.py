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
    official_prefix: pattern before every official name, without groups, such as
      `base\\.`.
    our_prefix: path of our ResNet within a collection; "" if it is the whole model.
    drop_classifier: drop the official network's `fc`.
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
  """Name of the ResNet that a state dict with torchvision's names belongs to.

  Args:
    state_dict: official names and arrays.
    official_prefix: pattern before every official name, without groups.

  Raises:
    ValueError: it is none of ResNet 18, 34, 50, 101 and 152.
  """
  blocks: list[set[str]] = [set() for _ in range(4)]
  bottleneck = False
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
    f"the state dict has {counts} blocks in layer1 to layer4, like no ResNet of "
    f"{', '.join(BLOCKS)}; its first names are {list(state_dict)[:3]}. Is it the file "
    "of another network?"
  )


RULES = resnet_rules("", "")


def find_fields(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Fields of the ResNet that these weights belong to."""
  return {"variant": find_variant(state_dict)}
