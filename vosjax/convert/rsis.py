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


def find_fields(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Fields of the model that these weights belong to, and their training size.

  The number of classes identifies the dataset; that of leaves (2) had another size.
  """
  weight = state_dict.get("decoder.fc_class.weight")
  num_classes = 21 if weight is None else len(weight)
  size = (400, 400) if num_classes == 2 else (256, 256)
  return {"num_classes": num_classes, "size": size}
