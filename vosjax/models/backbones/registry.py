"""The backbones that models take by name."""

from typing import Literal

from vosjax.models.backbones import efficientnet, resnet
from vosjax.models.backbones.efficientnet import EfficientNet
from vosjax.models.backbones.resnet import ResNet
from vosjax.models.execution import Execution

BACKBONES = (*resnet.BLOCKS, *efficientnet.VARIANTS)


def build_backbone(
  variant: str,
  width: int,
  output_stride: int,
  *,
  execution: Execution,
  lineage: Literal["torchvision", "caffe"] = "torchvision",
  frozen: tuple[str, ...] = (),
  name: str | None = None,
) -> ResNet | EfficientNet:
  """A network that returns Stages; its `normalise` makes its input of frames.

  Args:
    variant: one of BACKBONES.
    width: 64 for the published channels, see the network.
    output_stride: 8, 16 or 32.
    execution: how the network is executed, see Execution.
    lineage: of a ResNet.
    frozen: stages that are not trained.
    name: of the module.

  Raises:
    ValueError: the variant is unknown; the known ones are listed.
  """
  _check(variant)
  if variant in efficientnet.VARIANTS:
    return EfficientNet(variant, width, output_stride, frozen, execution, name=name)
  return ResNet(variant, width, output_stride, lineage, frozen, execution, name=name)


def stage_channels(variant: str, width: int) -> tuple[int, int, int, int]:
  """Channels of stage1 to stage4.

  Raises:
    ValueError: the variant is unknown; the known ones are listed.
  """
  _check(variant)
  if variant in efficientnet.VARIANTS:
    return efficientnet.stage_channels(variant, width)
  return resnet.stage_channels(variant, width)


def _check(variant: str) -> None:
  if variant not in BACKBONES:
    raise ValueError(f"backbone {variant!r} is unknown; known: {list(BACKBONES)}.")
