"""RVOS: segmentation of several objects, recurrent over objects and frames.

Source: Ventura et al., RVOS: End-to-End Recurrent Network for Video Object
Segmentation, CVPR 2019.
"""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from vosjax.models.api import Readout
from vosjax.models.backbones.skip_encoder import SkipEncoder
from vosjax.models.execution import Execution
from vosjax.models.modules.recurrent_decoder import (
  LevelFeatures,
  Maps,
  RecurrentDecoder,
)
from vosjax.ops import antialias, resize
from vosjax.types import Active, AnyArray, Frames, Masks, Prediction, record

_LEVELS = 4


@record
class RVOSFeatures:
  """What all objects of a frame share.

  Attributes:
    levels: contributions to the decoder's gates, coarse to fine.
    size: rows and columns of the frame at its framed size.
  """

  levels: tuple[LevelFeatures, ...]
  size: tuple[int, int] = flax.struct.field(pytree_node=False)


@record
class RVOSState:
  """What is remembered of each object. Cell states do not pass through time.

  Attributes:
    hidden: hidden maps [b o h w c] in the previous frame; () without temporal
      recurrence.
    masks: mask [b o h w] in the previous frame, at the size of each level; () if
      zero-shot.
    seen: whether there was a previous frame.
  """

  hidden: Maps
  masks: Maps
  seen: Bool[Array, "b o"]


class RVOS(nn.Module):
  """The RVOS network; defaults are those of the released zero-shot weights.

  Objects are decoded in the order of their slots. In the paper's tables, S is
  `temporal=False`, T is `spatial=False` and ST has both; the weights of all three have
  the same shapes. `init_state` returns the state after the first frame if the model is
  one-shot; if zero-shot, the state before it, and the first frame is segmented like
  any other.

  Attributes:
    backbone: resnet18 to resnet152, or efficientnet_lite0 to efficientnet_lite4.
    width: 64 for its published channels; others are proportional to it.
    features: channels of the coarsest level; finer ones have 1/2, 1/4 and 1/8.
    num_objects: slots of a zero-shot model.
    one_shot: objects see their previous masks; otherwise masks are not used.
    spatial: objects see the state of the previous object. Without it they still do in
      their first frame, as in the released program.
    temporal: objects see their own hidden maps of the previous frame.
    balanced_init: initial gates in which one mask weighs as much as hundreds of
      features. The released program does without, but then short training from random
      weights learns nothing.
    size: rows and columns to which frames are resized at inference; None keeps their
      own. The released weights were trained on 256 x 448.
    frozen_stages: stages of the backbone that are not trained.
    execution: how the network is executed, see Execution.
  """

  backbone: str = "resnet101"
  width: int = 64
  features: int = 128
  num_objects: int = 10
  one_shot: bool = False
  spatial: bool = True
  temporal: bool = True
  balanced_init: bool = False
  size: tuple[int, int] | None = None
  frozen_stages: tuple[str, ...] = ()
  execution: Execution = Execution()

  def setup(self):
    if not (self.spatial or self.temporal):
      raise ValueError(
        "rvos: spatial and temporal are both False; set at least one of them."
      )
    self.encoder = SkipEncoder(
      self.backbone,
      self.width,
      self.features,
      _LEVELS,
      frozen=self.frozen_stages,
      execution=self.execution,
    )
    self.decoder = RecurrentDecoder(
      self.encoder.channels,
      tuple(self.features // 2**level for level in range(_LEVELS)),
      mask=self.one_shot,
      mask_gain=10.0 if self.balanced_init else 1.0,
      execution=self.execution,
    )

  @property
  def frozen(self) -> tuple[str, ...]:
    """Path prefixes of parameters that training leaves alone."""
    return tuple(f"encoder/backbone/{stage}" for stage in self.frozen_stages)

  @property
  def readout(self) -> Readout:
    """Objects are independent; the released program does not compare them."""
    return Readout(self.one_shot, self.num_objects, threshold=0.5)

  def framing(self, original_size: tuple[int, int]) -> antialias.ResizeTo:
    """How frames of any size are resized, and predictions back, as released."""
    return antialias.ResizeTo(original_size, self.size or original_size, back="nearest")

  def __call__(self, frames: Frames, masks: Masks | None = None) -> Prediction:
    """The first frame of a video; involves every parameter, for initialisation."""
    features = self.encode(frames)
    state = self.begin(features, masks if self.one_shot else None)
    return self.segment(state, features, jnp.ones(state.seen.shape, bool))[1]

  def encode(
    self, frames: Frames, *, steps: int = 1, train: bool = False
  ) -> RVOSFeatures:
    """Backbone, skip connections and shared gates; see VosModel.encode."""
    skips = self.encoder(frames, train=train, steps=steps)
    h, w = frames.shape[1], frames.shape[2]
    return RVOSFeatures(self.decoder.encode(skips), (h, w))

  def begin(self, features: RVOSFeatures, masks: Masks | None) -> RVOSState:
    """State before the first frame.

    Args:
      features: of that frame.
      masks: of the objects in it; None if zero-shot.

    Raises:
      ValueError: masks are missing or superfluous.
    """
    if self.one_shot != (masks is not None):
      raise ValueError(
        f"rvos: one_shot is {self.one_shot}, but masks are "
        f"{'not ' if masks is None else ''}given. Build the model with "
        f"one_shot={masks is not None} and load the weights that belong to it."
      )
    b = features.levels[0].gates.shape[0]
    o = self.num_objects if masks is None else masks.shape[1]
    hidden: Maps = ()
    if self.temporal:
      hidden = tuple(
        jnp.zeros((b, o, *level.gates.shape[1:3], level.gates.shape[3] // 4))
        for level in features.levels
      )
    pyramid = () if masks is None else _mask_pyramid(masks)
    return RVOSState(hidden, pyramid, jnp.zeros((b, o), bool))

  def init_state(self, features: RVOSFeatures, masks: Masks | None) -> RVOSState:
    """State after the first frame; if zero-shot, before it.

    The second frame sees the given masks again, as in the released program.
    """
    state = self.begin(features, masks)
    if masks is None:
      return state
    return self.segment(state, features, jnp.ones(masks.shape[:2], bool))[0]

  def segment(
    self, state: RVOSState, features: RVOSFeatures, active: Active
  ) -> tuple[RVOSState, Prediction]:
    """Decodes the objects of one frame, inactive slots included."""
    del active  # the released program decodes all slots
    parts = []
    if self.temporal:
      parts.append(self.decoder.object_gates("temporal", state.hidden))
    if self.one_shot:
      parts.append(self.decoder.object_gates("mask", state.masks))
    per_object = tuple(sum(level[1:], level[0]) for level in zip(*parts))
    isolated = state.seen & (not self.spatial)
    hidden = self.decoder(features.levels, per_object, isolated)
    logits = self.decoder.logits(hidden[-1], features.size)
    kept = hidden if self.temporal else ()
    state = RVOSState(kept, state.masks, jnp.ones_like(state.seen))
    return state, Prediction(logits, {})

  def update(self, state: RVOSState, features: RVOSFeatures, probs: Masks) -> RVOSState:
    """Makes the frame's masks, at the framed size, the previous ones."""
    del features
    if not self.one_shot:
      return state
    return RVOSState(state.hidden, _mask_pyramid(probs), state.seen)

  def insert(
    self, state: RVOSState, masks: Masks, new: Bool[Array, "b o"]
  ) -> RVOSState:
    """Sets the masks of the slots `new` for the frame that is segmented next.

    Their hidden maps remain those of the slots, as in the released program.
    """
    merged = jax.tree.map(
      lambda fresh, old: jnp.where(new[:, :, None, None], fresh, old),
      _mask_pyramid(masks),
      state.masks,
    )
    return RVOSState(state.hidden, merged, state.seen)


def _mask_pyramid(masks: Float[AnyArray, "b o h w"]) -> Maps:
  """Max-pooled masks at the size of every level, coarse to fine."""
  b, o, h, w = masks.shape
  x = resize.max_pool_2x2(jnp.asarray(masks).reshape(b * o, h, w, 1))
  pyramid = []
  for _ in range(_LEVELS):
    x = resize.max_pool_2x2(x)
    pyramid.append(x.reshape(b, o, *x.shape[1:3]))
  return tuple(reversed(pyramid))
