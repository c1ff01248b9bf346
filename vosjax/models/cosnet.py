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
from vosjax.models.backbones.resnet import BLOCKS, stage_channels
from vosjax.models.execution import Execution
from vosjax.models.modules.co_attention import CoAttention, Map
from vosjax.models.modules.conv import Conv
from vosjax.models.modules.norm import ConvNorm
from vosjax.ops import antialias, resize
from vosjax.types import Active, AnyArray, Frames, Masks, Prediction, record

Attention = Literal["vanilla", "symmetric", "channelwise", "none"]
ReferenceFusion = Literal["summary", "prediction", "joint", "group"]


@record
class COSNetFeatures:
  """Features of a frame, and the rows and columns of the frame at its framed size."""

  deep: Map
  size: tuple[int, int] = flax.struct.field(pytree_node=False)


@record
class COSNetState:
  """Features of the reference frames `r`."""

  references: Float[Array, "b r h w c"]


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
  execution: Execution = Execution()

  def setup(self):
    if self.fusion not in ("summary", "prediction", "joint", "group"):
      raise ValueError(
        f"cosnet: fusion {self.fusion!r} is unknown; known: 'summary', "
        "'prediction', 'joint', 'group'."
      )
    self.encoder = DeepLab(
      self.backbone,
      self.width,
      self.features,
      self.branch_features,
      self.rates,
      self.execution,
    )
    if self.attention != "none":
      self.co_attention = CoAttention(self.features, self.attention, self.gated)
      self.head_b = Head(self.features, self.execution)
    self.head_a = Head(self.features, self.execution)

  @property
  def frozen(self) -> tuple[str, ...]:
    """Path prefixes of parameters that are not trained, as released."""
    if self.backbone not in BLOCKS:
      return ()  # only a ResNet has shortcuts with parameters
    # With basic blocks, stage1 has the channels of the stem and so no shortcut.
    basic = stage_channels(self.backbone, self.width)[0] == self.width
    return tuple(
      f"encoder/resnet/stage{i}/block0/shortcut/norm" for i in range(1 + basic, 5)
    )

  @property
  def readout(self) -> Readout:
    """One object, by its own probability."""
    return Readout(one_shot=False, num_slots=1, threshold=0.5)

  def framing(self, original_size: tuple[int, int]) -> antialias.ResizeTo:
    """How frames of any size are resized, and predictions back."""
    return antialias.ResizeTo(original_size, self.size or original_size)

  def __call__(self, frames: Frames, masks: Masks | None = None) -> PairLogits:
    """A frame paired with itself; involves every parameter, for initialisation."""
    del masks  # zero-shot
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
    deep = self.encoder(frames, train=train, steps=steps)
    return COSNetFeatures(deep, (frames.shape[1], frames.shape[2]))

  def init_state(
    self, features: COSNetFeatures, masks: Masks | None = None
  ) -> COSNetState:
    """Makes the first frame every reference; masks are ignored."""
    del masks
    shape = features.deep.shape
    references = jnp.broadcast_to(
      features.deep[:, None], (shape[0], self.num_references, *shape[1:])
    )
    return COSNetState(references)

  def remember(
    self, state: COSNetState, features: COSNetFeatures, place: int | Array
  ) -> COSNetState:
    """Makes a frame the reference in this place, instead of the one there."""
    references = jax.lax.dynamic_update_index_in_dim(
      state.references, features.deep, place, 1
    )
    return COSNetState(references)

  def segment(
    self, state: COSNetState, features: COSNetFeatures, active: Active
  ) -> tuple[COSNetState, Prediction]:
    """The primary object, the same in every slot.

    Without references the logits are those of the frame's saliency, which
    `aux["saliency"]` [b h w] holds at the size of the features.
    """
    deep, references = features.deep, state.references
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

  def summarise(self, deep: Map, references: Float[Array, "b r h w c"]) -> Map:
    """Gated summary of all references for a frame, combined as `fusion` says."""
    if self.fusion == "summary":
      return self.co_attention.read_mean(deep, references)
    twice = self.fusion == "group"
    return self.co_attention.read_jointly(deep, references, twice=twice)

  def update(
    self, state: COSNetState, features: COSNetFeatures, probs: Masks
  ) -> COSNetState:
    """Returns the state unchanged: the caller chooses the references."""
    del features, probs
    return state

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
