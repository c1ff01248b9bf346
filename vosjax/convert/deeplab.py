"""Names of the DeepLabv3 from which COSNet is trained, and of COSNet's encoder."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vosjax.convert.resnet import find_variant, resnet_rules
from vosjax.convert.rules import Rule

# Official convolution and BatchNorm in `layer5`, and our unit.
_PYRAMID = (
  ("conv", "bn_x", "pooled"),
  ("conv2d_0", "bn_0", "pointwise"),
  ("conv2d_1", "bn_1", "atrous_0"),
  ("conv2d_2", "bn_2", "atrous_1"),
  ("conv2d_3", "bn_3", "atrous_2"),
  ("bottleneck", "bn", "join"),
)


def deeplab_rules(official_prefix: str, our_prefix: str) -> tuple[Rule, ...]:
  """Rules of a DeepLab, including its saliency head.

  Args:
    official_prefix: pattern before every official name, without groups.
    our_prefix: path of our DeepLab within a collection; "" if it is the whole model.
  """
  ours = f"{our_prefix}/" if our_prefix else ""
  saliency = rf"{official_prefix}main_classifier"
  return (
    *resnet_rules(official_prefix, f"{ours}resnet", drop_classifier=False),
    *_pyramid_rules(rf"{official_prefix}layer5\.", f"{ours}pyramid"),
    (rf"{saliency}\.weight", f"params/{ours}saliency_head/kernel", "conv"),
    (rf"{saliency}\.bias", f"params/{ours}saliency_head/bias", "same"),
  )


def _pyramid_rules(official: str, ours: str) -> Iterator[Rule]:
  """Rules of the pyramid pooling, whose convolutions have biases before BatchNorm."""
  for conv, norm, unit in _PYRAMID:
    path = f"{ours}/{unit}"
    yield (rf"{official}{conv}\.weight", f"params/{path}/conv/kernel", "conv")
    yield (rf"{official}{conv}\.bias", f"params/{path}/conv/bias", "same")
    yield (f"{official}{norm}", f"{path}/norm", "bn")
  slope = f"params/{ours}/activation/negative_slope"
  yield (rf"{official}prelu\.weight", slope, lambda tensor: tensor.reshape(()))


# COSNet's program ignores the first component of every name, whatever it is.
_WRAPPER = r"(?:\w+\.)?"

RULES = deeplab_rules(_WRAPPER, "")


def find_fields(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Fields of the DeepLab that these weights belong to."""
  return {"backbone": find_variant(state_dict, _WRAPPER)}
