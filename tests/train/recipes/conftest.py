"""A network whose predictions are its parameters."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.models.api import Readout
from vosjax.ops.resize import PadToMultiple
from vosjax.types import Prediction, VideoBatch


class Given(nn.Module):
  """Predicts its `params`: "logits" [b o h w] and any others."""

  box_head: bool = False
  num_objects: int = 5
  readout = Readout(one_shot=False, num_slots=5, threshold=0.5)

  def framing(self, original_size):
    return PadToMultiple(original_size, 1)

  def encode(self, frames, *, steps=1, train=False):
    del steps, train
    return frames

  def init_state(self, features, masks):
    assert masks is None
    return features.mean()

  def segment(self, state, features, active):
    del features
    params = self.variables["params"]
    slots = {name: value[:, : active.shape[1]] for name, value in params.items()}
    return state, Prediction(slots.pop("logits"), slots)

  def update(self, state, features, probs):
    del features, probs
    return state


@pytest.fixture
def given():
  return Given


@pytest.fixture
def images():
  """Two images with three instances and one, of at most five, and their masks."""
  labels = np.zeros((2, 1, 6, 8), np.uint8)
  labels[0, 0, :, :3], labels[0, 0, :3, 5:], labels[0, 0, 4:, 6:] = 1, 2, 3
  labels[1, 0, 2:5, 1:7] = 1
  classes = np.array([[2, 1, 3, 0, 0], [3, 0, 0, 0, 0]], np.uint8)
  frames = np.zeros((2, 1, 6, 8, 3), np.uint8)
  batch = VideoBatch(jnp.asarray(frames), jnp.asarray(labels), jnp.asarray(classes))
  masks = labels == np.arange(1, 6)[None, :, None, None]
  return batch, masks.astype(np.float64)
