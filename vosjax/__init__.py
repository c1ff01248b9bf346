"""vosjax: video object segmentation in JAX.

The public names load on first use, so that `import vosjax` costs next to nothing and
a forward pass drags in no data library.
"""

import importlib
from typing import Any

# Public name -> module, for names inside a module "module:attribute".
_PUBLIC = {
  "VideoSegmenter": "vosjax.inference.engine:VideoSegmenter",
  "checkpoints": "vosjax.checkpoints",
  "convert": "vosjax.convert",
  "crf": "vosjax.crf",
  "losses": "vosjax.losses",
  "metrics": "vosjax.metrics",
  "models": "vosjax.models",
  "viz": "vosjax.viz",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
  if name not in _PUBLIC:
    raise AttributeError(f"vosjax has no {name!r}; public names: {__all__}.")
  module, _, attribute = _PUBLIC[name].partition(":")
  value = importlib.import_module(module)
  if attribute:
    value = getattr(value, attribute)
  globals()[name] = value
  return value


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__})
