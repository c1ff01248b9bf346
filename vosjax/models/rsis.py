"""RSIS: the instances of an image, one after another.

Source: Salvador et al., Recurrent Neural Networks for Semantic Instance Segmentation,
arXiv 1712.00617.
"""

import functools

import flax.linen as nn
import flax.struct
import jax.numpy as jnp

from vosjax.models.api import Readout
from vosjax.models.backbones.skip_encoder import SkipEncoder
from vosjax.models.execution import Execution
from vosjax.models.modules.recurrent_decoder import (
  LevelFeatures,
  Maps,
  RecurrentDecoder,
  SkipMode,
  States,
  torch_init,
)
from vosjax.models.modules.sequence import decode_until_stop
from vosjax.ops import antialias
from vosjax.types import Active, Frames, Masks, Prediction, record

_LEVELS = 5


@record
class RSISFeatures:
  """What all objects of an image share.

  Attributes:
    levels: contributions to the decoder's gates, coarse to fine.
    size: rows and columns of the image at its framed size.
  """

  levels: tuple[LevelFeatures, ...]
  size: tuple[int, int] = flax.struct.field(pytree_node=False)


@record
class RSISState:
  """Empty state: frames are independent."""


class RSIS(nn.Module):
  """The RSIS network; defaults are those of the released Pascal VOC weights.

  `segment` decodes as many objects as `active` has slots. It returns
  `aux["class_logits"]` [b o k], where class 0 is the end of the sequence,
  `aux["stop_logits"]` [b o], positive where there is an object, and with a box head
  `aux["boxes"]` [b o 4].

  Attributes:
    backbone: resnet18 to resnet152, or efficientnet_lite0 to efficientnet_lite4.
    width: 64 for its published channels; others are proportional to it.
    features: channels of the coarsest level; finer ones have 1/2 to 1/16.
    num_objects: slots.
    num_classes: including the end of the sequence.
    box_head: predict (x_min, y_min, x_max, y_max) as fractions of the image. The
      slides show such a head, which the released program lacks; this is our reading.
    skip_mode: how a skip connection is combined with the upsampled hidden map.
    skip_stops: at inference skip objects with a low stop score, as the released
      program does; on the slides the sequence ends there.
    size: rows and columns to which images are resized at inference; None keeps
      their own. The released weights were trained on 256 x 256.
    balanced_init: initial gates in which the previous object weighs as much as the
      image, so that short training from random weights separates objects sooner. The
      released program does without.
    frozen_stages: stages of the backbone that are not trained.
    execution: how the network is executed, see Execution.
  """

  backbone: str = "resnet101"
  width: int = 64
  features: int = 128
  num_objects: int = 10
  num_classes: int = 21
  box_head: bool = False
  skip_mode: SkipMode = "concat"
  skip_stops: bool = False
  balanced_init: bool = False
  size: tuple[int, int] | None = None
  frozen_stages: tuple[str, ...] = ()
  execution: Execution = Execution()

  def setup(self):
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
      temporal=False,
      skip_mode=self.skip_mode,
      spatial_gain=4.0 if self.balanced_init else 1.0,
      execution=self.execution,
    )
    self.classify = nn.Dense(self.num_classes, kernel_init=torch_init)
    self.stop = nn.Dense(1, kernel_init=torch_init)
    if self.box_head:
      self.box = nn.Dense(4, kernel_init=torch_init)

  @property
  def frozen(self) -> tuple[str, ...]:
    """Path prefixes of parameters that training leaves alone."""
    return tuple(f"encoder/backbone/{stage}" for stage in self.frozen_stages)

  @property
  def readout(self) -> Readout:
    """Objects before the stop, without tiny ones, as in the released program."""
    return Readout(
      one_shot=False,
      num_slots=self.num_objects,
      threshold=0.5,
      score="stop_logits",
      stops_at_first_empty=not self.skip_stops,
      min_share=0.001,
    )

  def framing(self, original_size: tuple[int, int]) -> antialias.ResizeTo:
    """How images of any size are resized, and predictions back, as released."""
    return antialias.ResizeTo(original_size, self.size or original_size, back="aligned")

  def __call__(self, frames: Frames, masks: Masks | None = None) -> Prediction:
    """All objects of an image; masks are ignored."""
    del masks
    active = jnp.ones((len(frames), self.num_objects), bool)
    return self.segment(RSISState(), self.encode(frames), active)[1]

  def encode(
    self, frames: Frames, *, steps: int = 1, train: bool = False
  ) -> RSISFeatures:
    """Backbone, skip connections and shared gates; see VosModel.encode."""
    skips = self.encoder(frames, train=train, steps=steps)
    h, w = frames.shape[1], frames.shape[2]
    return RSISFeatures(self.decoder.encode(skips), (h, w))

  def init_state(self, features: RSISFeatures, masks: Masks | None) -> RSISState:
    """The empty state; no masks can be given."""
    del features
    if masks is not None:
      raise ValueError(
        "rsis: masks are given, but RSIS is zero-shot; pass None instead."
      )
    return RSISState()

  def segment(
    self, state: RSISState, features: RSISFeatures, active: Active
  ) -> tuple[RSISState, Prediction]:
    """Decodes one object per slot, inactive slots included."""
    if self.execution.stop_early:
      start = self.decoder.start(features.levels)
      step = functools.partial(RSIS._decode_next, features=features)
      return state, decode_until_stop(self, step, start, active, "stop_logits")
    hidden = self.decoder(features.levels, (), jnp.zeros(active.shape, bool))
    return state, self._read(hidden, features.size)

  def _decode_next(
    self, states: States, features: RSISFeatures
  ) -> tuple[States, Prediction]:
    states, hidden = self.decoder.follow(states, features.levels)
    return states, self._read(hidden, features.size)

  def _read(self, hidden: Maps, size: tuple[int, int]) -> Prediction:
    """Masks and scores of decoded objects."""
    side = jnp.concatenate([x.max((2, 3)) for x in hidden], axis=-1)
    aux = {
      "class_logits": self.classify(side),
      "stop_logits": self.stop(side)[..., 0],
    }
    if self.box_head:
      aux["boxes"] = nn.sigmoid(self.box(side))
    return Prediction(self.decoder.logits(hidden[-1], size), aux)

  def update(self, state: RSISState, features: RSISFeatures, probs: Masks) -> RSISState:
    """Returns the empty state: frames are independent."""
    del features, probs
    return state
