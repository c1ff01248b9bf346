"""COSNet: zero-shot segmentation by co-attention between frames of a video.

Source: Lu et al., See More, Know More: Unsupervised Video Object Segmentation with
Co-Attention Siamese Networks, CVPR 2019.
"""

from typing import Literal

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.models.api import Readout
from vosjax.models.backbones.deeplab import DeepLab
from vosjax.models.backbones.registry import build_backbone
from vosjax.models.backbones.resnet import BLOCKS, stage_channels
from vosjax.models.backbones.stages import STAGES
from vosjax.models.execution import Execution
from vosjax.models.modules import motion, primary
from vosjax.models.modules.co_attention import CoAttention, Map
from vosjax.models.modules.conv import Conv
from vosjax.models.modules.norm import ConvNorm
from vosjax.ops import antialias, resize
from vosjax.types import Active, AnyArray, Frames, Masks, Prediction, record

Attention = Literal["vanilla", "symmetric", "channelwise", "none"]
ReferenceFusion = Literal["summary", "prediction", "joint", "group"]


@record
class COSNetFeatures:
  """Features of a frame.

  Attributes:
    deep: what co-attention compares.
    size: rows and columns of the frame at its framed size.
    cues: None unless `deep` is "cues".
  """

  deep: Map
  size: tuple[int, int] = flax.struct.field(pytree_node=False)
  cues: primary.Cues | None = None


@record
class COSNetState:
  """What is known of other frames.

  Attributes:
    references: features of the reference frames `r`.
    earlier: keys of the latest frames; None without the motion cue.
  """

  references: Float[Array, "b r h w c"]
  earlier: motion.EarlierFrames | None = None


@record
class PairLogits:
  """Logits of a pair of frames at the size of the features.

  Attributes:
    a: of the first frame, with the second as its reference.
    b: of the second frame, with the first as its reference.
    saliency_a: of the first frame alone.
    saliency_b: of the second frame alone.
  """

  a: Float[Array, "b h w"]
  b: Float[Array, "b h w"]
  saliency_a: Float[Array, "b h w"]
  saliency_b: Float[Array, "b h w"]


class Head(nn.Module):
  """Logit at each position, from the summary and the features of a frame."""

  features: int
  execution: Execution = Execution()

  def setup(self):
    self.join = ConvNorm(self.features, 3, execution=self.execution)
    self.out = Conv(1, 1, dtype=jnp.float32)

  def __call__(
    self, summary: Map | None, deep: Map, train: bool = False
  ) -> Float[Array, "b h w"]:
    """Logits; from the features alone if there is no summary."""
    x = deep if summary is None else jnp.concatenate([summary, deep], axis=-1)
    return self.out(nn.relu(self.join(x, train=train)))[..., 0]


class COSNet(nn.Module):
  """The COSNet network; defaults are those of the released weights.

  It has three forms. `pair` segments two frames, each with the other as its reference;
  `saliency` segments a frame by itself; and the VosModel protocol segments a frame
  with any number of references, whose features are computed once.

  Attributes:
    backbone: resnet18 to resnet152, or efficientnet_lite0 to efficientnet_lite4.
    width: 64 for its published channels; others are proportional to it.
    features: channels of the features that are compared.
    branch_features: channels of each branch of the pyramid pooling.
    rates: dilations of its 3x3 branches.
    attention: form of co-attention, see CoAttention; with "none" frames are segmented
      from their own features.
    gated: weight summaries with a gate.
    fusion: how several references are combined. "summary": mean of the summaries (the
      paper; mean J of 80.5 on DAVIS 2016, 75.6 on FBMS, 70.5 on YouTube-Objects);
      "prediction": mean of the probabilities that each reference yields (the released
      test of the pair model; 79.5, 74.2 and 69.9 in the paper), which runs the head
      once per reference; "joint": one softmax over the positions of all references;
      "group": the released group model, which normalises twice and therefore reads
      little more than the mean of all features.
    num_references: references in the state. Beside their features, segmenting at
      473 x 473 needs 21 MiB with one, 53 with five and 60 with seven (81 with fusion
      "prediction"); the affinity of five alone would need 247.
    size: rows and columns to which frames are resized at inference; None keeps their
      own.
    short_side: instead of `size`, the shorter side of the frames at inference; the
      aspect ratio is kept but for rounding to multiples of 8. 0: see `size`.
    deep: the features: those of a "dilated" backbone with pyramid pooling, as in the
      paper; those of a "pyramid", the last three stages of the backbone side by side,
      each at its own stride and enlarged to 8, with the same pooling; or only "cues" of
      a frozen backbone that need no training, see `modules/primary.py`. The last two
      are not in the paper. Cues have neither references nor co-attention.
    frozen_stages: stages of the backbone that are not trained; () with cues, which
      train none in any case.
    motion_lags: ages, in frames, of the earlier frames against which motion is
      measured, see `modules/motion.py`. Needs the cues; (): without motion.
    execution: how the network is executed, see Execution.
  """

  backbone: str = "resnet101"
  width: int = 64
  features: int = 256
  branch_features: int = 512
  rates: tuple[int, ...] = (6, 12, 18)
  attention: Attention | str = "vanilla"
  gated: bool = True
  fusion: ReferenceFusion | str = "summary"
  num_references: int = 5
  size: tuple[int, int] | None = (473, 473)
  short_side: int = 0
  deep: Literal["dilated", "pyramid", "cues"] | str = "dilated"
  frozen_stages: tuple[str, ...] = ()
  motion_lags: tuple[int, ...] = ()
  execution: Execution = Execution()

  def setup(self):
    if self.fusion not in ("summary", "prediction", "joint", "group"):
      raise ValueError(
        f"cosnet: fusion {self.fusion!r} is unknown; known: 'summary', "
        "'prediction', 'joint', 'group'."
      )
    self._check_deep()
    if self.deep == "cues":
      self.backbone_network = build_backbone(
        self.backbone,
        self.width,
        32,
        frozen=STAGES,
        execution=self.execution,
        name="backbone",
      )
      self.primary = primary.PrimaryObject(self.features, self.rates)
      return
    self.encoder = DeepLab(
      self.backbone,
      self.width,
      self.features,
      self.branch_features,
      self.rates,
      dilated=self.deep == "dilated",
      frozen_stages=self.frozen_stages,
      execution=self.execution,
    )
    if self.attention != "none":
      self.co_attention = CoAttention(self.features, self.attention, self.gated)
      self.head_b = Head(self.features, self.execution)
    self.head_a = Head(self.features, self.execution)

  def _check_deep(self) -> None:
    """ValueError if a field does not fit `deep`, or frames would have no size."""
    if self.short_side < 0:
      raise ValueError(
        f"cosnet: short_side is {self.short_side}; expected at least 1, or 0 to use "
        "`size`."
      )
    if self.deep not in ("dilated", "pyramid", "cues"):
      raise ValueError(
        f"cosnet: deep is {self.deep!r}; known: 'dilated', 'pyramid' and 'cues'."
      )
    if self.deep != "cues" and self.motion_lags:
      raise ValueError(
        f"cosnet: motion_lags is {self.motion_lags}, which needs deep='cues'."
      )
    if self.deep == "cues" and self.frozen_stages:
      raise ValueError(
        f"cosnet: frozen_stages is {self.frozen_stages}; deep='cues' trains no stage "
        "in any case: leave it ()."
      )
    if self.deep == "cues" and (self.attention != "none" or self.num_references):
      raise ValueError(
        f"cosnet: attention is {self.attention!r} with {self.num_references} "
        "references; deep='cues' compares a frame with no others: choose 'none' "
        "and 0."
      )

  @property
  def frozen(self) -> tuple[str, ...]:
    """Path prefixes of parameters that are not trained.

    These are the frozen stages and, as released, norms of a ResNet's shortcuts.
    """
    if self.deep == "cues":
      return tuple(f"backbone/{stage}" for stage in STAGES)
    network = "encoder/resnet" if self.backbone in BLOCKS else "encoder/efficientnet"
    stages = tuple(f"{network}/{stage}" for stage in self.frozen_stages)
    if self.backbone not in BLOCKS:
      return stages  # only a ResNet has shortcuts with parameters
    # With basic blocks, stage1 has the channels of the stem and so no shortcut.
    basic = stage_channels(self.backbone, self.width)[0] == self.width
    return stages + tuple(
      f"{network}/stage{i}/block0/shortcut/norm" for i in range(1 + basic, 5)
    )

  @property
  def readout(self) -> Readout:
    """One object, by its own probability."""
    return Readout(one_shot=False, num_slots=1, threshold=0.5)

  def framing(self, original_size: tuple[int, int]) -> antialias.ResizeTo:
    """How frames of any size are resized, and predictions back."""
    if self.short_side:
      factor = self.short_side / min(original_size)
      rows, columns = (max(8, 8 * round(side * factor / 8)) for side in original_size)
      return antialias.ResizeTo(original_size, (rows, columns))
    return antialias.ResizeTo(original_size, self.size or original_size)

  def __call__(
    self, frames: Frames, masks: Masks | None = None
  ) -> PairLogits | primary.PrimaryLogits:
    """A frame paired with itself; involves every parameter, for initialisation."""
    del masks  # zero-shot
    if self.deep == "cues":
      return self.find(jnp.stack([frames] * (1 + len(self.motion_lags)), axis=1))
    return self.pair_logits(frames, frames)

  def pair(
    self, frame_a: Frames, frame_b: Frames
  ) -> tuple[Float[Array, "b h w"], Float[Array, "b h w"]]:
    """Probabilities of the primary object in both frames, at the size of these."""
    logits = self.pair_logits(frame_a, frame_b)
    size = frame_a.shape[1], frame_a.shape[2]
    return (
      jax.nn.sigmoid(upsample(logits.a, size)),
      jax.nn.sigmoid(upsample(logits.b, size)),
    )

  def pair_logits(
    self, frame_a: Frames, frame_b: Frames, *, train: bool = False
  ) -> PairLogits:
    """Logits of a pair of frames, each with the other as its reference.

    Args:
      frame_a: RGB in [0, 1].
      frame_b: the same.
      train: use batch statistics, separately for the first and the second frames.
    """
    frames = jnp.stack([frame_a, frame_b], axis=1)
    deep = self.encoder(frames.reshape(-1, *frames.shape[2:]), train=train, steps=2)
    saliency = self.encoder.saliency(deep)
    deep_a, deep_b = deep[::2], deep[1::2]
    if self.attention == "none":
      a, b = self.head_a(None, deep_a, train), self.head_a(None, deep_b, train)
    else:
      z_a, z_b = map(self.co_attention.gate, self.co_attention.pair(deep_a, deep_b))
      a, b = self.head_a(z_a, deep_a, train), self.head_b(z_b, deep_b, train)
    return PairLogits(a, b, saliency[::2], saliency[1::2])

  def saliency(
    self, frames: Float[AnyArray, "b h w 3"], *, train: bool = False
  ) -> Float[Array, "b h8 w8"]:
    """Logits of frames without references, at the size of the features."""
    return self.encoder.saliency(self.encoder(frames, train=train))

  def encode(
    self, frames: Frames, *, steps: int = 1, train: bool = False
  ) -> COSNetFeatures:
    """Features of frames of any size; see VosModel.encode."""
    size = frames.shape[1], frames.shape[2]
    if self.deep == "cues":
      cues = self._cues(frames)
      return COSNetFeatures(cues.objectness, size, cues)
    return COSNetFeatures(self.encoder(frames, train=train, steps=steps), size)

  def find(self, frames: Float[AnyArray, "b t h w 3"]) -> primary.PrimaryLogits:
    """Logits of a frame of a video from cues, for training.

    Args:
      frames: RGB in [0, 1] of the frame and of those before it by `motion_lags`.
    """
    b, t = frames.shape[:2]
    cues = self._cues(frames.reshape(b * t, *frames.shape[2:]))
    every = jax.tree.map(lambda x: x.reshape(b, t, *x.shape[1:]), cues)
    keys = every.motion_keys
    earlier = [] if keys is None else list(jnp.moveaxis(keys[:, 1:], 1, 0))
    return self.primary(jax.tree.map(lambda x: x[:, 0], every), earlier)

  def _cues(self, frames: Float[AnyArray, "n h w 3"]) -> primary.Cues:
    stages = self.backbone_network(self.backbone_network.normalise(frames))
    levels = stages.stage2, stages.stage3, stages.stage4
    return primary.make_cues(stages.stage1, levels, with_motion=bool(self.motion_lags))

  def init_state(
    self, features: COSNetFeatures, masks: Masks | None = None
  ) -> COSNetState:
    """Makes the first frame every reference; masks are ignored."""
    del masks
    shape = features.deep.shape
    references = jnp.broadcast_to(
      features.deep[:, None], (shape[0], self.num_references, *shape[1:])
    )
    if features.cues is None or features.cues.motion_keys is None:
      return COSNetState(references)
    keys = features.cues.motion_keys
    return COSNetState(references, motion.begin(keys, max(self.motion_lags)))

  def remember(
    self, state: COSNetState, features: COSNetFeatures, place: int | Array
  ) -> COSNetState:
    """Makes a frame the reference in this place, instead of the one there."""
    references = jax.lax.dynamic_update_index_in_dim(
      state.references, features.deep, place, 1
    )
    return COSNetState(references, state.earlier)

  def segment(
    self, state: COSNetState, features: COSNetFeatures, active: Active
  ) -> tuple[COSNetState, Prediction]:
    """The primary object, the same in every slot.

    Without references the logits are those of the frame's saliency, which
    `aux["saliency"]` [b h w] holds at the size of the features. With deep="cues",
    that is the first decision.
    """
    deep, references = features.deep, state.references
    if features.cues is not None:
      found = self._find(state, features.cues)
      logits = upsample(found.fine, features.size)[:, None]
      logits = jnp.broadcast_to(logits, (*active.shape, *features.size))
      return state, Prediction(logits, {"saliency": found.coarse})
    saliency = self.encoder.saliency(deep)
    if self.attention == "none":
      logits = upsample(self.head_a(None, deep), features.size)
    elif references.shape[1] == 0:
      logits = upsample(saliency, features.size)
    elif self.fusion == "prediction":
      logits = self._mean_prediction(features, references)
    else:
      summary = self.summarise(deep, references)
      logits = upsample(self.head_a(summary, deep), features.size)
    logits = jnp.broadcast_to(logits[:, None], (*active.shape, *features.size))
    return state, Prediction(logits, {"saliency": saliency})

  def _find(self, state: COSNetState, cues: primary.Cues) -> primary.PrimaryLogits:
    """Logits of a frame whose cues are known, in a video in progress."""
    if state.earlier is None:
      return self.primary(cues, [])
    looked = [motion.look_back(state.earlier, lag) for lag in self.motion_lags]
    return self.primary(cues, looked)

  def summarise(self, deep: Map, references: Float[Array, "b r h w c"]) -> Map:
    """Gated summary of all references for a frame, combined as `fusion` says."""
    if self.fusion == "summary":
      return self.co_attention.read_mean(deep, references)
    twice = self.fusion == "group"
    return self.co_attention.read_jointly(deep, references, twice=twice)

  def update(
    self, state: COSNetState, features: COSNetFeatures, probs: Masks
  ) -> COSNetState:
    """Remembers the frame, to measure motion; the caller chooses the references."""
    del probs
    keys = None if features.cues is None else features.cues.motion_keys
    if state.earlier is None or keys is None:
      return state
    return COSNetState(state.references, motion.add(state.earlier, keys))

  def _mean_prediction(
    self, features: COSNetFeatures, references: Float[Array, "b r h w c"]
  ) -> Float[Array, "b height width"]:
    """Logit of the mean probability over references."""
    summaries = self.co_attention.read_each(features.deep, references)
    logits = [
      upsample(self.head_a(summaries[:, i], features.deep), features.size)
      for i in range(references.shape[1])
    ]
    # log(mean p) - log(mean (1 - p)), without the rounding of a sigmoid near 0 and 1.
    return jax.nn.logsumexp(
      jax.nn.log_sigmoid(jnp.stack(logits)), axis=0
    ) - jax.nn.logsumexp(-jax.nn.softplus(jnp.stack(logits)), axis=0)


def upsample(
  logits: Float[Array, "b h w"], size: tuple[int, int]
) -> Float[Array, "b height width"]:
  """Logits, bilinearly interpolated to rows and columns."""
  return resize.bilinear(logits[..., None], size)[..., 0]
