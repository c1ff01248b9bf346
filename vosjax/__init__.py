"""vosjax: video object segmentation in JAX.

Public names are imported on first use, so that `import vosjax` is fast and a forward
pass loads no data library.
"""

import importlib
from typing import Any

__version__ = "0.1.0"  # setup.cfg reads it from here

# Public name -> "module" or "module:attribute".
_PUBLIC = {
  "VideoSegmenter": "vosjax.inference.engine:VideoSegmenter",
  "checkpoints": "vosjax.checkpoints",
  "convert": "vosjax.convert",
  "crf": "vosjax.crf",
  "load": "vosjax.weights:load",
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
