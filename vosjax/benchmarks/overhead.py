"""What `VideoSegmenter` itself costs in each frame, beside the network."""

import statistics
import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vosjax.inference.compilation import COMPILING_CALLS
from vosjax.inference.engine import VideoSegmenter
from vosjax.models.api import Readout
from vosjax.models.execution import Execution
from vosjax.ops import resize
from vosjax.types import Active, Frames, Masks, Prediction

_WARM_UP = COMPILING_CALLS + 2


class _Free(nn.Module):
  """A network that computes nothing: the objects stay where they are.

  Its state are the masks, and what it extracts from a frame is one number.
  """

  execution: Execution = Execution()  # every model has it

  @property
  def readout(self) -> Readout:
    return Readout(one_shot=True)

  def framing(self, original_size: tuple[int, int]) -> resize.PadToMultiple:
    return resize.PadToMultiple(original_size, 1)

  def encode(
    self, frames: Frames, *, steps: int = 1, train: bool = False
  ) -> Float[Array, " b"]:
    del steps, train
    return jnp.asarray(frames)[:, 0, 0, 0]

  def init_state(self, features: Float[Array, " b"], masks: Masks | None) -> Masks:
    del features
    assert masks is not None  # it is one-shot
    return masks

  def segment(
    self, state: Masks, features: Float[Array, " b"], active: Active
  ) -> tuple[Masks, Prediction]:
    del features, active
    return state, Prediction(4 * jnp.asarray(state) - 2, {})

  def update(self, state: Masks, features: Float[Array, " b"], probs: Masks) -> Masks:
    del features, probs
    return state


def measure(
  *, size: tuple[int, int] = (480, 854), frames: int = 50
) -> dict[str, float]:
  """Times a stream of frames through a network that computes nothing.

  Args:
    size: (height, width) of the frames.
    frames: to time; medians count.

  Returns:
    `step_ms`: what `VideoSegmenter.step` takes before it returns, while the device
    works on; and `labels_ms`: what it takes to read the labels of a frame that is
    ready.
  """
  segmenter = VideoSegmenter(_Free(), {"params": {}})
  images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
  labels = np.zeros(size, np.int32)
  labels[: size[0] // 2] = 1
  segmenter.start(images[0], labels)
  steps, reads = [], []
  for number in range(_WARM_UP + frames):
    began = time.perf_counter()
    result = segmenter.step(images[number % 2])
    steps.append(time.perf_counter() - began)
    jax.block_until_ready(result.slot_probs)
    began = time.perf_counter()
    _ = result.labels
    reads.append(time.perf_counter() - began)
  return {
    name: 1e3 * statistics.median(seconds[_WARM_UP:])
    for name, seconds in (("step_ms", steps), ("labels_ms", reads))
  }
