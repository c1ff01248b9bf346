"""RIS: the instances of an image, one after another, from the same features.

Source: Romera-Paredes and Torr, Recurrent Instance Segmentation, ECCV 2016, and its
program, whose weights were not released in a form that could be compared.
"""

import functools
from typing import Literal

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.models.api import Readout
from vosjax.models.backbones.fcn import FCN8, BackboneFCN8, centre
from vosjax.models.backbones.registry import BACKBONES
from vosjax.models.execution import Execution
from vosjax.models.modules.conv import Conv
from vosjax.models.modules.conv_lstm import ConvLSTMCell, ConvLSTMState
from vosjax.models.modules.sequence import decode_until_stop
from vosjax.models.modules.spatial_inhibition import SpatialInhibition, uniform
from vosjax.ops import antialias, resize
from vosjax.ops.masks import clip_probability
from vosjax.types import Active, AnyArray, Frames, Masks, Prediction, record

_FCN_STRIDE = 8
_BACKBONE_STRIDE = 32
_SCORE_BIAS = 10.0  # initially every slot holds an object

States = tuple[ConvLSTMState, ConvLSTMState]


@record
class RISFeatures:
  """What all objects of an image share.

  Attributes:
    gates: contribution of the features to the gates of the first cell.
    size: rows and columns of the image at its framed size.
  """

  gates: Float[Array, "b h w g"]
  size: tuple[int, int] = flax.struct.field(pytree_node=False)


@record
class RISState:
  """Empty state: frames are independent."""


class RIS(nn.Module):
  """The RIS network; defaults are those of its experiments with leaves.

  Every object is decoded from the same features; the steps differ only in the state of
  two ConvLSTM cells. `segment` decodes as many objects as `active` has slots and
  returns `aux["score_logits"]` [b o], positive where there is an object.

  Attributes:
    extractor: computes the features. "convolutions": 3x3, each with a ReLU (leaves);
      "fcn8": FCN-8s at stride 8 (people), whose VGG-16 is not trained: training starts
      from the weights that `vosjax convert vgg` converts. The name of a backbone,
      resnet18 to resnet152 or efficientnet_lite0 to efficientnet_lite4: the same with
      that one.
    channels: of features and states; 100 for people.
    num_convolutions: of the extractor "convolutions".
    stride: of its features, a power of two; masks are upsampled as probabilities.
    num_objects: slots.
    score: "pool": from the maximum of each quadrant, for images of any size (people);
      "flat": from all positions, for images of the size that the variables were
      initialised with (leaves).
    region_bias: initial value of the scalar that is added to the log-softmax. The
      program's 1 suits the smallest regions; a region of n positions needs at least
      log n.
    threshold: probability above which a pixel belongs to an instance.
    size: rows and columns to which images are resized at inference; None keeps
      their own, padded to a multiple of `stride`, or of 32 for a backbone.
    execution: how the network is executed, see Execution.
  """

  extractor: Literal["convolutions", "fcn8"] | str = "convolutions"
  channels: int = 30
  num_convolutions: int = 4
  stride: int = 1
  num_objects: int = 10
  score: Literal["pool", "flat"] = "pool"
  region_bias: float = 1.0
  threshold: float = 0.9
  size: tuple[int, int] | None = None
  execution: Execution = Execution()

  def setup(self):
    halvings = self.stride.bit_length() - 1
    if self.stride != 2**halvings or halvings > self.num_convolutions:
      raise ValueError(
        f"ris: stride is {self.stride}; expected a power of two of at most "
        f"2 ** num_convolutions = {2**self.num_convolutions}."
      )
    known = ("convolutions", "fcn8", *BACKBONES)
    if self.extractor not in known:
      raise ValueError(
        f"ris: extractor {self.extractor!r} is unknown; known: {list(known)}."
      )
    conv = nn.remat(Conv) if self.execution.remat else Conv
    if self.extractor != "convolutions":
      self.fcn = self._fcn()
    else:
      self.convolutions = [
        conv(
          self.channels, 3, stride=2 if i < halvings else 1, dtype=self.execution.dtype
        )
        for i in range(self.num_convolutions)
      ]
    inputs = (("input", self.channels), ("hidden", self.channels))
    self.cells = [
      ConvLSTMCell(inputs, self.channels, gate_bias=1.0, dtype=self.execution.dtype)
      for _ in range(2)
    ]
    self.inhibition = SpatialInhibition(self.region_bias)
    self.score_head = nn.Dense(
      1, kernel_init=uniform, bias_init=nn.initializers.constant(_SCORE_BIAS)
    )

  def _fcn(self) -> FCN8 | BackboneFCN8:
    if self.extractor == "fcn8":
      return FCN8(self.channels, self.execution)
    return BackboneFCN8(self.extractor, self.channels, self.execution)

  @property
  def frozen(self) -> tuple[str, ...]:
    """Path prefixes of parameters that training leaves alone."""
    if self.extractor == "convolutions":
      return ()
    return ("fcn/vgg",) if self.extractor == "fcn8" else ("fcn/backbone",)

  @property
  def readout(self) -> Readout:
    """Confident pixels of the objects before the stop; earlier ones hide later ones."""
    return Readout(
      one_shot=False,
      num_slots=self.num_objects,
      threshold=self.threshold,
      score="score_logits",
      stops_at_first_empty=True,
    )

  def framing(
    self, original_size: tuple[int, int]
  ) -> resize.PadToMultiple | antialias.ResizeTo:
    """How images of any size are padded or resized, and predictions restored."""
    if self.size:
      return antialias.ResizeTo(original_size, self.size)
    multiples = {"fcn8": 1, "convolutions": self.stride}
    multiple = multiples.get(self.extractor, _BACKBONE_STRIDE)
    return resize.PadToMultiple(original_size, multiple)

  def __call__(self, frames: Frames, masks: Masks | None = None) -> Prediction:
    """All objects of an image; masks are ignored."""
    del masks
    active = jnp.ones((len(frames), self.num_objects), bool)
    return self.segment(RISState(), self.encode(frames), active)[1]

  def encode(
    self, frames: Frames, *, steps: int = 1, train: bool = False
  ) -> RISFeatures:
    """Features and their contribution to the first cell; see VosModel.encode."""
    del steps, train  # no layer has batch statistics
    size = frames.shape[1], frames.shape[2]
    if self.extractor != "convolutions":
      return self.read_features(self.fcn(frames), size)
    x = jnp.asarray(frames)
    for convolution in self.convolutions:
      x = nn.relu(convolution(x))
    return self.read_features(x, size)

  def read_features(
    self, features: Float[AnyArray, "b h w c"], size: tuple[int, int]
  ) -> RISFeatures:
    """Contribution of extracted features, of images of `size`, to the first cell."""
    gates = self.cells[0].read("input", jnp.asarray(features), bias=True)
    return RISFeatures(gates, size)

  def init_state(self, features: RISFeatures, masks: Masks | None) -> RISState:
    """The empty state; no masks can be given."""
    del features
    if masks is not None:
      raise ValueError("ris: masks are given, but RIS is zero-shot; pass None instead.")
    return RISState()

  def segment(
    self, state: RISState, features: RISFeatures, active: Active
  ) -> tuple[RISState, Prediction]:
    """Decodes one object per slot, inactive slots included."""
    if self.execution.stop_early:
      start = self._start(features)
      step = functools.partial(RIS._decode_next, features=features)
      return state, decode_until_stop(self, step, start, active, "score_logits")
    return state, self._read(self.decode(features, active.shape[1]), features.size)

  def _decode_next(
    self, states: States, features: RISFeatures
  ) -> tuple[States, Prediction]:
    states, hidden = self._decode_object(states, features.gates)
    return states, self._read(hidden[:, None], features.size)

  def _read(
    self, hidden: Float[Array, "b o h w c"], size: tuple[int, int]
  ) -> Prediction:
    """Masks and scores of decoded objects."""
    b, o, h, w, c = hidden.shape
    scores = self._score(hidden)
    logits = self.inhibition(hidden.reshape(b * o, h, w, c))
    if (h, w) != size:
      probs = self._upsample(jax.nn.sigmoid(logits)[..., None], size)
      probs = clip_probability(probs[..., 0])
      logits = jnp.log(probs) - jnp.log1p(-probs)
    return Prediction(logits.reshape(b, o, *size), {"score_logits": scores})

  def _upsample(
    self, probs: Float[Array, "n h w c"], size: tuple[int, int]
  ) -> Float[Array, "n height width c"]:
    """Probabilities at the framed size; FCN-8s's border around it is cropped."""
    if self.extractor != "fcn8":
      return resize.bilinear(probs, size)
    rows, columns = (_FCN_STRIDE * n for n in probs.shape[1:3])
    return centre(resize.bilinear(probs, (rows, columns)), size)

  def decode(
    self, features: RISFeatures, num_objects: int
  ) -> Float[Array, "b o h w c"]:
    """Hidden maps of the second cell, one per object."""
    scan = nn.scan(
      RIS._decode_object,
      variable_broadcast="params",
      split_rngs={"params": False},
      in_axes=nn.broadcast,
      out_axes=1,
      length=num_objects,
      unroll=self.execution.unroll_objects,
    )
    return scan(self, self._start(features), features.gates)[1]

  def _start(self, features: RISFeatures) -> States:
    """States of both cells before the first object."""
    zeros = self.cells[0].initial_state(*features.gates.shape[:3])
    return zeros, zeros

  def _decode_object(
    self, states: States, shared: Float[Array, "b h w g"]
  ) -> tuple[States, Float[Array, "b h w c"]]:
    """States after one object, and its hidden map."""
    lower, upper = self.cells
    first = lower(shared + lower.read("hidden", states[0].hidden), states[0].cell)
    gates = upper.read("input", first.hidden, bias=True)
    gates = gates + upper.read("hidden", states[1].hidden)
    second = upper(gates, states[1].cell)
    return (first, second), second.hidden

  def _score(self, hidden: Float[Array, "b o h w c"]) -> Float[Array, "b o"]:
    """Score logits; values are flattened channel-first, as in the official program."""
    b, o, h, w, c = hidden.shape
    if self.score == "pool":
      rows, columns = h // 2, w // 2
      hidden = hidden[:, :, : 2 * rows, : 2 * columns]
      hidden = hidden.reshape(b, o, 2, rows, 2, columns, c).max((3, 5))
    flat = jnp.moveaxis(hidden, -1, 2).reshape(b, o, -1)
    return self.score_head(flat)[..., 0]

  def update(self, state: RISState, features: RISFeatures, probs: Masks) -> RISState:
    """Returns the empty state: frames are independent."""
    del features, probs
    return state
