"""Names of torchvision's VGG-16, whose hidden dense layers become convolutions."""

from collections.abc import Callable, Iterator

import numpy as np

from vosjax.convert.rules import Rule

# Indices of the convolutions in torchvision's `features`, stage by stage.
_INDICES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
_WINDOW = 7  # rows and columns that the first dense layer covers


def _kernel(side: int) -> Callable[[np.ndarray], np.ndarray]:
  """Layout (out, in * side * side) -> (side, side, in, out)."""
  return lambda tensor: tensor.reshape(len(tensor), -1, side, side).transpose(
    2, 3, 1, 0
  )


def _rules() -> Iterator[Rule]:
  for stage, places in enumerate(_INDICES, 1):
    for i, place in enumerate(places, 1):
      path = f"params/conv{stage}_{i}"
      yield rf"features\.{place}\.weight", f"{path}/kernel", "conv"
      yield rf"features\.{place}\.bias", f"{path}/bias", "same"
  for place, name, side in ((0, "fc6", _WINDOW), (3, "fc7", 1)):
    yield rf"classifier\.{place}\.weight", f"params/{name}/kernel", _kernel(side)
    yield rf"classifier\.{place}\.bias", f"params/{name}/bias", "same"
  yield r"classifier\.6\.(weight|bias)", None, None  # the classes of ImageNet


RULES: tuple[Rule, ...] = tuple(_rules())
