"""How sure a segmenter is of each object: evidence from the device, and a score of it.

The score of an object in a frame is the overlap J that its mask is expected to have
with the true one. It is calibrated for `agame-lite`, the weights in the package; see
CALIBRATION. For models without a matching cue it is the first evidence as it is: it
tells better frames from worse ones, but its size means little.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from vosjax.ops import resize
from vosjax.types import AnyArray, Prediction

# Weights of the logits of both pieces of evidence, and the bias: a logistic regression
# of J. Fitted by `python -m vosjax.benchmarks.calibration` to 60 videos of SynthVOS
# (REAL, 240x432, 12 frames), of masks that are not empty.
CALIBRATION = (1.22, 0.16, -1.71)
_CLIP = 0.01  # of evidence, before its logit
_FIRST_SHARE = 1  # channel of the matching cue: what the object's first frame says


def evidence(
  prediction: Prediction,
  framed: Float[AnyArray, "b o framed_h framed_w"],
  probs: Float[AnyArray, "b o h w"],
  labels: Shaped[AnyArray, "b h w"],
) -> Float[Array, "b o e"]:
  """What speaks for each mask, in [0, 1].

  Args:
    prediction: of the frame, with `aux["cues"]` if the model has a matching cue.
    framed: probabilities at the framed size.
    probs: the same at the original size.
    labels: of slots, at the original size.

  Returns:
    How far the mask overlaps with the probabilities (their soft intersection over
    union), which is J if the probabilities are right; and, with a matching cue, how far
    the probabilities overlap with what the object's first frame says about this one.
    Both are 0 for an empty mask.
  """
  slots = jnp.arange(1, probs.shape[1] + 1)[None, :, None, None]
  masks = labels[:, None] == slots
  inside, area = (probs * masks).sum((2, 3)), masks.sum((2, 3))
  found = [inside / jnp.maximum(probs.sum((2, 3)) + area - inside, 1e-6)]
  if "cues" in prediction.aux:
    carried = prediction.aux["cues"][..., _FIRST_SHARE]
    b, o, h, w = carried.shape
    window = framed.shape[2] // h
    flat = jnp.asarray(framed).reshape(b * o, *framed.shape[2:], 1)
    pooled = resize.average_pool(flat, window).reshape(b, o, h, w)
    union = jnp.maximum(carried, pooled).sum((2, 3))
    both = jnp.minimum(carried, pooled).sum((2, 3))
    found.append(jnp.where(area > 0, both / jnp.maximum(union, 1e-6), 0.0))
  return jnp.stack(found, axis=-1)


def score(found: Float[np.ndarray, "o e"]) -> Float[np.ndarray, " o"]:
  """The overlap that each mask is expected to have with the true one.

  Args:
    found: what `evidence` returns for one frame.
  """
  if found.shape[1] == 1:
    return found[:, 0].astype(np.float32)
  *weights, bias = CALIBRATION
  total = logits(found) @ np.array(weights) + bias
  return (1 / (1 + np.exp(-total))).astype(np.float32)


def logits(found: Float[np.ndarray, "o e"]) -> Float[np.ndarray, "o e"]:
  """Logits of evidence, which is kept away from 0 and 1."""
  clipped = np.clip(found, _CLIP, 1 - _CLIP).astype(np.float64)
  return np.log(clipped) - np.log1p(-clipped)
