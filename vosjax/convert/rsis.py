"""Names of the released RSIS checkpoints, encoder and decoder in one dict."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vosjax.convert.rvos import DECODER_RULES, encoder_rules

RULES = (
  *encoder_rules(5),
  *DECODER_RULES,
  *(
    rule
    for official, ours in (("fc_class", "classify"), ("fc_stop", "stop"))
    for rule in (
      (rf"decoder\.{official}\.weight", f"params/{ours}/kernel", "dense"),
      (rf"decoder\.{official}\.bias", f"params/{ours}/bias", "same"),
    )
  ),
)


# Number of classes, with the background -> size of images, number of instances.
_OF_CLASSES = {21: ((256, 256), 10), 2: ((400, 400), 20), 9: ((256, 512), 20)}


def find_fields(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Fields of the model that these weights belong to, with their training size.

  The number of classes identifies the dataset, which decides the size of images and
  the number of instances: Pascal VOC (21), leaves (2) or Cityscapes (9).
  """
  weight = state_dict.get("decoder.fc_class.weight")
  num_classes = 21 if weight is None else len(weight)
  size, num_objects = _OF_CLASSES.get(num_classes, _OF_CLASSES[21])
  return {"num_classes": num_classes, "size": size, "num_objects": num_objects}
