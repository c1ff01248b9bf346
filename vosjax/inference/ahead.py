"""Frames of a video in order, encoded some at a time, before they are asked for."""

from collections.abc import Iterator, Sequence
from typing import Any

import flax.linen as nn
import numpy as np
from jaxtyping import UInt8

from vosjax.inference import checks, programs
from vosjax.models.api import Features
from vosjax.types import AnyArray, Variables


def encode_ahead(
  model: nn.Module,
  variables: Variables,
  frames: Sequence[UInt8[AnyArray, "h w 3"]] | Any,
  first: int,
) -> Iterator[tuple[UInt8[np.ndarray, "h w 3"], Features]]:
  """Each frame from number `first` on, with its features.

  Features do not depend on what was segmented, so that frames can share a batch.

  Raises:
    ValueError: a frame is not uint8 RGB or of another size; or whatever reading it
      raises. Frames before it have been given then.
  """
  at_once, size = programs.frames_at_once(len(frames) - first), None
  for begin in range(first, len(frames), at_once):
    batch, fault = [], None
    try:
      for t in range(begin, min(begin + at_once, len(frames))):
        batch.append(checks.read_frame(frames, t, size))
        size = batch[-1].shape[:2]
    except Exception as error:
      fault = error
    yield from zip(batch, programs.encode_each(model, variables, batch, at_once))
    if fault is not None:
      raise fault
