"""RVOS: segmentation of many objects that is recurrent over objects and frames.

Source: Ventura et al., RVOS: End-to-End Recurrent Network for Video Object
Segmentation, CVPR 2019.
"""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from vosjax.models.api import Readout
from vosjax.models.modules.conv import Dtype
from vosjax.models.modules.recurrent_decoder import (
  LevelFeatures,
  Maps,
  RecurrentDecoder,
)
from vosjax.models.modules.skip_encoder import SkipEncoder
from vosjax.ops import antialias, resize
from vosjax.types import Active, Frames, Masks, Prediction, record

_LEVELS = 4


@record
class RVOSFeatures:
  """What all objects share of a frame.

  Attributes:
    levels: parts of the decoder's gates, coarse to fine.
    size: rows and columns of the frame.
  """

  levels: tuple[LevelFeatures, ...]
  size: tuple[int, int] = flax.struct.field(pytree_node=False)


@record
class RVOSState:
  """What is remembered of each object. Cell states do not pass through time.

  Attributes:
    hidden: its hidden maps [b o h w c] in the frame before; () without temporal
      recurrence.
    masks: its mask [b o h w] in the frame before, at the size of each level; () if
      zero-shot.
    seen: whether there was a frame before.
  """

  hidden: Maps
  masks: Maps
  seen: Bool[Array, "b o"]


class RVOS(nn.Module):
  """The RVOS network; defaults are those of the released zero-shot weights.

  Objects are decoded in the order of their slots. In the slides' tables S is
  `temporal=False`, T is `spatial=False` and ST both; weights of all have one shape.
  `init_state` takes in the reference frame if masks are given; zero-shot, it gives
  the state before the first frame, which is then segmented as any other.

  Attributes:
    backbone: resnet18 to resnet152.
    width: channels of its stem.
    features: channels of the coarsest level; finer ones have a half, fourth, eighth.
    num_objects: slots of a zero-shot model.
    one_shot: see each object's previous mask; otherwise masks are not used.
    spatial: objects see the state of the object before. Without it they still do so
      in their first frame, as in the released program.
    temporal: objects see their own hidden maps of the frame before.
    balanced_init: let one mask weigh as much as hundreds of features in the initial
      gates. The released program does without, but training from noise, for minutes,
      leads nowhere then.
    unroll_objects: objects per iteration of the scan, True for all: a matter of speed
      alone. Ten objects at 256x448 on CPU: 132 ms as a loop, 98 ms unrolled.
    size: rows and columns that frames are resized to at inference; None leaves them
      as they are. The released weights saw 256 x 448.
    frozen_stages: stages of the backbone that are not trained.
    remat: recompute blocks of the backbone in the backward pass.
    folded: the variables come from `fold`.
    axis_name: mapped axis that shares batch statistics, under `pmap` only.
    dtype: of convolutions; states and logits stay in float32.
  """

  backbone: str = "resnet101"
  width: int = 64
  features: int = 128
  num_objects: int = 10
  one_shot: bool = False
  spatial: bool = True
  temporal: bool = True
  balanced_init: bool = False
  unroll_objects: int | bool = 1
  size: tuple[int, int] | None = None
  frozen_stages: tuple[str, ...] = ()
  remat: bool = False
  folded: bool = False
  axis_name: str | None = None
  dtype: Dtype = None

  def setup(self):
    if not (self.spatial or self.temporal):
      raise ValueError("rvos: spatial and temporal are both False.")
    self.encoder = SkipEncoder(
      self.backbone,
      self.width,
      self.features,
      _LEVELS,
      frozen=self.frozen_stages,
      remat=self.remat,
      folded=self.folded,
      axis_name=self.axis_name,
      dtype=self.dtype,
    )
    self.decoder = RecurrentDecoder(
      self.encoder.channels,
      tuple(self.features // 2**level for level in range(_LEVELS)),
      mask=self.one_shot,
      mask_gain=10.0 if self.balanced_init else 1.0,
      unroll=self.unroll_objects,
      dtype=self.dtype,
    )

  @property
  def frozen(self) -> tuple[str, ...]:
    """Path prefixes of parameters that training leaves alone."""
    return tuple(f"encoder/backbone/{stage}" for stage in self.frozen_stages)

  @property
  def readout(self) -> Readout:
    """Every object by itself; the released program compares none with another."""
    return Readout(self.one_shot, self.num_objects, threshold=0.5)

  def framing(self, size: tuple[int, int]) -> antialias.ResizeTo:
    """How frames of any size are made to fit, and undone as officially."""
    return antialias.ResizeTo(size, self.size or size, back="nearest")

  def __call__(self, frames: Frames, masks: Masks | None = None) -> Prediction:
    """The first frame of a video; every parameter takes part."""
    features = self.encode(frames)
    state = self.begin(features, masks if self.one_shot else None)
    return self.segment(state, features, jnp.ones(state.seen.shape, bool))[1]

  def encode(
    self, frames: Frames, *, steps: int = 1, train: bool = False
  ) -> RVOSFeatures:
    """Backbone, skip connections and shared gates; see VosModel.encode."""
    skips = self.encoder(frames, train=train, steps=steps)
    return RVOSFeatures(self.decoder.encode(skips), frames.shape[1:3])

  def begin(self, features: RVOSFeatures, masks: Masks | None) -> RVOSState:
    """State before the first frame.

    Args:
      features: of that frame.
      masks: of the objects in it; None if zero-shot.
    """
    if self.one_shot != (masks is not None):
      raise ValueError(
        f"rvos: one_shot is {self.one_shot}, but masks are "
        f"{'not ' if masks is None else ''}given. Build the model with "
        f"one_shot={masks is not None}, and weights that belong to it."
      )
    b = features.levels[0].gates.shape[0]
    o = masks.shape[1] if self.one_shot else self.num_objects
    hidden = ()
    if self.temporal:
      hidden = tuple(
        jnp.zeros((b, o, *level.gates.shape[1:3], level.gates.shape[3] // 4))
        for level in features.levels
      )
    return RVOSState(
      hidden,
      _shrink(masks) if self.one_shot else (),
      jnp.zeros((b, o), bool),
    )

  def init_state(self, features: RVOSFeatures, masks: Masks | None) -> RVOSState:
    """State after the reference frame; zero-shot, before the first frame.

    The next frame sees the given masks once more, as in the released program.
    """
    state = self.begin(features, masks)
    if masks is None:
      return state
    return self.segment(state, features, jnp.ones(masks.shape[:2], bool))[0]

  def segment(
    self, state: RVOSState, features: RVOSFeatures, active: Active
  ) -> tuple[RVOSState, Prediction]:
    """Decodes the objects of one frame; slots that are not active take part too."""
    del active  # the released program decodes all slots
    own = []
    if self.temporal:
      own.append(self.decoder.own_gates("temporal", state.hidden))
    if self.one_shot:
      own.append(self.decoder.own_gates("mask", state.masks))
    own = tuple(sum(parts[1:], parts[0]) for parts in zip(*own))
    alone = state.seen & (not self.spatial)
    hidden = self.decoder(features.levels, own, alone)
    logits = self.decoder.logits(hidden[-1], features.size)
    state = state.replace(
      hidden=hidden if self.temporal else (), seen=jnp.ones_like(state.seen)
    )
    return state, Prediction(logits, {})

  def update(self, state: RVOSState, features: RVOSFeatures, probs: Masks) -> RVOSState:
    """Takes the frame's masks, of its own size, as the next frame's previous ones."""
    del features
    return state.replace(masks=_shrink(probs)) if self.one_shot else state

  def insert(
    self, state: RVOSState, masks: Masks, new: Bool[Array, "b o"]
  ) -> RVOSState:
    """Gives the slots `new` a mask of the frame that is segmented next.

    Their hidden maps stay what the slot has gathered, as in the released program.
    """
    new = new[:, :, None, None]
    merged = jax.tree.map(
      lambda given, old: jnp.where(new, given, old), _shrink(masks), state.masks
    )
    return state.replace(masks=merged)


def _shrink(masks: Float[Array, "b o h w"]) -> Maps:
  """Masks at the size of every level, coarse to fine; no detail is lost to averages."""
  b, o, h, w = masks.shape
  x = resize.max_pool_2x2(masks.reshape(b * o, h, w, 1))
  pyramid = []
  for _ in range(_LEVELS):
    x = resize.max_pool_2x2(x)
    pyramid.append(x.reshape(b, o, *x.shape[1:3]))
  return tuple(reversed(pyramid))
