"""RSIS: the instances of one image, one after another.

Source: Salvador et al., Recurrent Neural Networks for Semantic Instance Segmentation,
arXiv 1712.00617.
"""

import functools

import flax.linen as nn
import flax.struct
import jax.numpy as jnp

from vosjax.models.api import Readout
from vosjax.models.modules.conv import Dtype
from vosjax.models.modules.recurrent_decoder import (
  LevelFeatures,
  RecurrentDecoder,
  SkipMode,
  torch_init,
)
from vosjax.models.modules.sequence import decode_until_stop
from vosjax.models.modules.skip_encoder import SkipEncoder
from vosjax.ops import antialias
from vosjax.types import Active, Frames, Masks, Prediction, record

_LEVELS = 5


@record
class RSISFeatures:
  """What all objects share of an image.

  Attributes:
    levels: parts of the decoder's gates, coarse to fine.
    size: rows and columns of the image.
  """

  levels: tuple[LevelFeatures, ...]
  size: tuple[int, int] = flax.struct.field(pytree_node=False)


@record
class RSISState:
  """Nothing: an image is a video of one frame."""


class RSIS(nn.Module):
  """The RSIS network; defaults are those of the released Pascal VOC weights.

  `segment` decodes as many objects as `active` has slots. It gives
  `aux["class_logits"]` [b o k], class 0 being the end of the sequence,
  `aux["stop_logits"]` [b o], positive where there is an object, and with a box head
  `aux["boxes"]` [b o 4].

  Attributes:
    backbone: resnet18 to resnet152.
    width: channels of its stem.
    features: channels of the coarsest level; finer ones have 1/2 to 1/16.
    num_objects: slots.
    num_classes: the end of the sequence included.
    box_head: predict (x_min, y_min, x_max, y_max) as fractions of the image. The
      slides have this head, the released program has none; this is our reading.
    skip_mode: how a skip connection meets the upsampled hidden map.
    skip_stops: at inference pass over objects whose stop score is low, as the
      released program does; the slides end the sequence there.
    size: rows and columns that images are resized to at inference; None leaves them
      as they are. The released weights saw 256 x 256.
    balanced_init: let the previous object weigh as much as the picture in the initial
      gates; training from noise for minutes tells objects apart sooner so. The
      released program does without.
    unroll_objects: objects per iteration of the scan; a matter of speed alone.
    stop_early: decode no slot behind the last sequence's end, see `decode_until_stop`.
      A matter of speed alone where the sequence ends there; has no gradient.
    frozen_stages: stages of the backbone that are not trained.
    remat: recompute blocks of the backbone in the backward pass.
    folded: the variables come from `fold`.
    axis_name: mapped axis that shares batch statistics, under `pmap` only.
    dtype: of convolutions; states, heads and logits stay in float32.
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
  unroll_objects: int = 1
  stop_early: bool = False
  size: tuple[int, int] | None = None
  frozen_stages: tuple[str, ...] = ()
  remat: bool = False
  folded: bool = False
  axis_name: str | None = None
  dtype: Dtype = None

  def setup(self):
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
      temporal=False,
      skip_mode=self.skip_mode,
      spatial_gain=4.0 if self.balanced_init else 1.0,
      unroll=self.unroll_objects,
      dtype=self.dtype,
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
    """Objects up to the stop, without specks, as in the released program."""
    return Readout(
      one_shot=False,
      num_slots=self.num_objects,
      threshold=0.5,
      score="stop_logits",
      ends=not self.skip_stops,
      min_share=0.001,
    )

  def framing(self, size: tuple[int, int]) -> antialias.ResizeTo:
    """How images of any size are made to fit, and undone as officially."""
    return antialias.ResizeTo(size, self.size or size, back="aligned")

  def __call__(self, frames: Frames, masks: Masks | None = None) -> Prediction:
    """All objects of an image; masks are not used."""
    del masks
    active = jnp.ones((len(frames), self.num_objects), bool)
    return self.segment(RSISState(), self.encode(frames), active)[1]

  def encode(
    self, frames: Frames, *, steps: int = 1, train: bool = False
  ) -> RSISFeatures:
    """Backbone, skip connections and shared gates; see VosModel.encode."""
    skips = self.encoder(frames, train=train, steps=steps)
    return RSISFeatures(self.decoder.encode(skips), frames.shape[1:3])

  def init_state(self, features: RSISFeatures, masks: Masks | None) -> RSISState:
    """Nothing is remembered, and no masks can be given."""
    del features
    if masks is not None:
      raise ValueError("rsis: masks are given, but RSIS is zero-shot; pass None.")
    return RSISState()

  def segment(
    self, state: RSISState, features: RSISFeatures, active: Active
  ) -> tuple[RSISState, Prediction]:
    """Decodes one object per slot; slots that are not active take part too."""
    if self.stop_early:
      start = self.decoder.start(features.levels)
      follow = functools.partial(RSIS._decode_next, features=features)
      stop = self.readout.score
      return state, decode_until_stop(self, follow, start, active, stop)
    hidden = self.decoder(features.levels, (), jnp.zeros(active.shape, bool))
    return state, self._read(hidden, features.size)

  def _decode_next(self, states, features):
    states, hidden = self.decoder.follow(states, features.levels)
    return states, self._read(hidden, features.size)

  def _read(self, hidden, size):
    """Masks and scores of objects."""
    side = jnp.concatenate([x.max((2, 3)) for x in hidden], axis=-1)
    aux = {
      "class_logits": self.classify(side),
      "stop_logits": self.stop(side)[..., 0],
    }
    if self.box_head:
      aux["boxes"] = nn.sigmoid(self.box(side))
    return Prediction(self.decoder.logits(hidden[-1], size), aux)

  def update(self, state: RSISState, features: RSISFeatures, probs: Masks) -> RSISState:
    """The next frame is another image."""
    del features, probs
    return state
