"""Repeated updates of COSNet's encoder, as in the released program.

Source: the released COSNet (Lu et al., CVPR 2019), whose list of parameters names most
of them several times.
"""

import re

# Pattern of a parameter's path -> how often the list names it; the first match counts.
_REPEATS = (
  (r"encoder/resnet/stage\d/block\d+/shortcut/.*", 4),
  (r"encoder/(resnet|efficientnet)/stage\d/.*", 3),
  (r"encoder/pyramid/.*", 2),
)


def num_updates(path: str) -> int:
  """Number of updates per step of the parameter at a path, joined by slashes."""
  return next((n for pattern, n in _REPEATS if re.fullmatch(pattern, path)), 1)
