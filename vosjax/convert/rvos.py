"""Names of the released RVOS checkpoints, encoder and decoder in one dict."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vosjax.convert.resnet import resnet_rules
from vosjax.convert.rules import Rule


def encoder_rules(num_skips: int) -> tuple[Rule, ...]:
  """Rules of the backbone and its skip connections, numbered downwards from 5."""
  rules: list[Rule] = [*resnet_rules(r"encoder\.base\.", "encoder/backbone")]
  for i in range(num_skips):
    place = f"encoder/skips_{i}"
    rules += [
      (rf"encoder\.sk{5 - i}\.weight", f"params/{place}/conv/kernel", "conv"),
      (rf"encoder\.sk{5 - i}\.bias", f"params/{place}/conv/bias", "same"),
      (rf"encoder\.bn{5 - i}", f"{place}/norm", "bn"),
    ]
  return tuple(rules)


_CELL = r"decoder\.clstm_list\.(\d)\.Gates"

DECODER_RULES: tuple[Rule, ...] = (
  (rf"{_CELL}\.weight", r"params/decoder/cells_\1/gates/kernel", "conv"),
  (rf"{_CELL}\.bias", r"params/decoder/cells_\1/gates/bias", "same"),
  (r"decoder\.conv_out\.weight", "params/decoder/head/kernel", "conv"),
  (r"decoder\.conv_out\.bias", "params/decoder/head/bias", "same"),
)

RULES = (
  *encoder_rules(4),
  *DECODER_RULES,
  # Leftovers of RSIS in some files; the released loader deletes them as well.
  (r"decoder\.fc_stop\.(weight|bias)", None, None),
)


def find_fields(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Fields of the model that these weights belong to, and their training size."""
  weight = state_dict.get("decoder.clstm_list.0.Gates.weight")
  # Inputs: the skip connection, two hidden maps of its width, and a mask if one-shot.
  one_shot = weight is not None and weight.shape[1] % 2 == 1
  return {"one_shot": one_shot, "size": (256, 448)}
