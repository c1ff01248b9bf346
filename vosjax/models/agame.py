"""A-GAME: one-shot segmentation of many objects with an appearance model.

Source: Johnander et al., A Generative Appearance Model for End-to-end Video Object
Segmentation, CVPR 2019.
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vosjax.models.api import Readout
from vosjax.models.backbones.registry import build_backbone, stage_channels
from vosjax.models.backbones.stages import join_stages
from vosjax.models.execution import Execution
from vosjax.models.modules import matching
from vosjax.models.modules.appearance import AppearanceModel, AppearanceState
from vosjax.models.modules.conv import BinaryHead, Conv, centred
from vosjax.models.modules.fusion import Fusion
from vosjax.models.modules.mask_propagation import MaskPropagation, PropagationState
from vosjax.models.modules.matching import Matching, MatchingState
from vosjax.models.modules.refinement import Refinement
from vosjax.ops import resize
from vosjax.types import Active, Frames, Masks, Prediction, record

_MAX_ENLARGEMENT = 4  # of frames, on each side; more shows nothing new


@record
class AGameFeatures:
  """What all objects of a frame share.

  Attributes:
    deep: what the heads see of the backbone, at `output_stride`.
    appearance: `deep`, reduced for the appearance model; no channels without one.
    propagation: contribution of `deep` to the first layer of mask propagation.
    skip8: contribution of the skip connection to the blend at stride 8.
    skip4: the same at stride 4.
    keys: what the matching cue compares; its `r s` rows and columns are fewer than
      `h w` in large frames, see `modules/matching.py`. None without the cue.
  """

  deep: Float[Array, "b h w c"]
  appearance: Float[Array, "b h w d"]
  propagation: Float[Array, "b h w d"]
  skip8: Float[Array, "b h8 w8 e"]
  skip4: Float[Array, "b h4 w4 e"]
  keys: Float[Array, "b r s k"] | None = None


@record
class AGameState:
  """What is remembered of each object; None for a module that the model lacks."""

  appearance: AppearanceState | None
  propagation: PropagationState | None
  matching: MatchingState | None = None


class AGame(nn.Module):
  """The A-GAME network; defaults are those of the official weights.

  The weights in the package set other fields, see `train/configs/agame.py`.

  `segment` returns `aux["coarse_logits"]` [b o h w] at `output_stride` and, with the
  appearance model, `aux["scores"]` [b o h w k]; with the matching cue, `aux["cues"]`
  [b o h w 5], see Matching.

  Attributes:
    backbone: resnet18 to resnet152, or efficientnet_lite0 to efficientnet_lite4.
    width: 64 for its published channels; others are proportional to it.
    output_stride: of the features on which appearance and masks are modelled. With 8,
      small frames have as fine a grid as large ones have with 16.
    features: channels of the appearance model and of mask propagation.
    fusion_features: channels after fusion and in refinement.
    dilations: of the parallel branches of mask propagation.
    frozen_stages: stages of the backbone that are not trained.
    use_appearance: ablation "no appearance module" when False.
    use_propagation: ablation "no mask-prop module" when False.
    residual: four Gaussian components; two when False (ablation "unimodal
      appearance").
    fit_variance: estimate variances; when False they are the learnt floor.
    update_rate: lambda of the appearance model; 0 is the ablation "no update".
    softmax_scores: ablation "appearance softmax".
    end_to_end: when False, no gradient passes from the appearance model to the
      backbone (ablation "no end-to-end").
    reading: which interpretation of the appearance model, see AppearanceModel.
    deep: what the heads see of the backbone: its "last" stage, or a "pyramid" of its
      last three stages side by side, each at the backbone's own stride and enlarged to
      `output_stride`, which must be 8.
    matching_lags: ages, in frames, of the earlier frames with which each frame is
      matched, beside the first one, see Matching. This cue is not part of the paper and
      needs the pyramid; (): without it.
    min_side: frames with a much shorter side are enlarged for the network in inference,
      by a whole factor that brings it nearest to this length; 0: they never are, as in
      the paper.
    relative_scores: scores, which are log-likelihoods, reach the fusion relative to
      their mean over components and divided by sqrt(features). As sums over many
      channels they dwarf its other inputs, and as Adam moves each entry of a kernel by
      the learning rate, its first steps leave most ReLUs of the fusion at 0 for good.
      Weights trained with one setting do not work with the other. Probabilities, see
      `softmax_scores`, are left as they are.
    balanced_init: initial kernels in which two masks weigh as much as hundreds of
      features, plain scores as little as their means over channels, and the centre of a
      kernel more than its rim, so that masks stay in place. Needed where heads start
      from random weights; the authors' program trains them without it.
    execution: how the network is executed, see Execution.
  """

  backbone: str = "resnet101"
  width: int = 64
  output_stride: int = 16
  features: int = 512
  fusion_features: int = 128
  dilations: tuple[int, ...] = (1, 3, 6)
  frozen_stages: tuple[str, ...] = ("stem", "stage1", "stage2", "stage3")
  use_appearance: bool = True
  use_propagation: bool = True
  residual: bool = True
  fit_variance: bool = True
  update_rate: float = 0.1
  softmax_scores: bool = False
  end_to_end: bool = True
  reading: Literal["release", "paper"] = "release"
  relative_scores: bool = False
  balanced_init: bool = False
  deep: Literal["last", "pyramid"] = "last"
  matching_lags: tuple[int, ...] = ()
  min_side: int = 0
  execution: Execution = Execution()

  def setup(self):
    if not (self.use_appearance or self.use_propagation):
      raise ValueError("agame: use_appearance and use_propagation are both False.")
    pyramid = self.deep == "pyramid"
    if pyramid and self.output_stride != 8:
      raise ValueError(
        f"agame: output_stride is {self.output_stride}; deep='pyramid' needs 8."
      )
    if self.matching_lags and not pyramid:
      raise ValueError(
        f"agame: matching_lags is {self.matching_lags}, which needs deep='pyramid', "
        f"not {self.deep!r}: features of a dilated backbone are not matched."
      )
    self.network = build_backbone(
      self.backbone,
      self.width,
      32 if pyramid else self.output_stride,
      frozen=self.frozen_stages,
      execution=self.execution,
      name="backbone",
    )
    num_scores = 0
    he = nn.initializers.he_uniform()
    init: dict[str, Any] = {"kernel_init": centred(0.7) if self.balanced_init else he}
    if self.use_appearance:
      # The Gaussians are sensitive to rounding in these sums over the deep channels.
      self.reduce = Conv(self.features, 1, precision=jax.lax.Precision.HIGHEST)
      self.appearance = AppearanceModel(
        self.features,
        self.residual,
        self.fit_variance,
        self.update_rate,
        self.reading,
      )
      num_scores = self.appearance.num_components
    if self.use_propagation:
      stages = stage_channels(self.backbone, self.width)
      channels = sum(stages[1:]) if pyramid else stages[-1]
      self.propagation = MaskPropagation(
        channels,
        self.features,
        self.dilations,
        mask_gain=30.0 if self.balanced_init else 1.0,
        dtype=self.execution.dtype,
        **init,
      )
    plain = not (self.relative_scores or self.softmax_scores)
    self.fusion = Fusion(
      num_scores,
      self.features if self.use_propagation else 0,
      self.features,
      self.fusion_features,
      matching.NUM_CUES if self.matching_lags else 0,
      score_gain=2 / self.features if self.balanced_init and plain else 1.0,
      dtype=self.execution.dtype,
      **init,
    )
    self.coarse_head = BinaryHead(1, **init)
    self.refinement = Refinement(
      self.fusion_features, dtype=self.execution.dtype, **init
    )
    if self.matching_lags:
      self.matching = Matching(self.matching_lags)
      half = nn.initializers.constant(0.5)
      # Gains of the cue's own logit, in the coarse and in the final prediction.
      self.cue_gains = self.param("cue_gains", half, (2,))

  @property
  def frozen(self) -> tuple[str, ...]:
    """Path prefixes of parameters that training leaves alone."""
    return tuple(f"backbone/{stage}" for stage in self.frozen_stages)

  @property
  def readout(self) -> Readout:
    """Objects are given by masks and compete for every pixel."""
    return Readout(one_shot=True)

  def framing(
    self, original_size: tuple[int, int]
  ) -> resize.PadToMultiple | resize.EnlargeAndPad:
    """How frames of any size are enlarged and padded, and predictions restored."""
    factor = round(self.min_side / min(original_size))
    if factor <= 1:
      return resize.PadToMultiple(original_size, self.output_stride)
    factor = min(factor, _MAX_ENLARGEMENT)
    return resize.EnlargeAndPad(original_size, factor, self.output_stride)

  def __call__(self, frames: Frames, masks: Masks) -> Prediction:
    """Segments the frame that is given; uses every parameter, for initialisation."""
    features = self.encode(frames)
    state = self.init_state(features, masks)
    active = jnp.ones(masks.shape[:2], bool)
    return self.segment(state, features, active)[1]

  def encode(
    self, frames: Frames, *, steps: int = 1, train: bool = False
  ) -> AGameFeatures:
    """Backbone and all layers that objects share; see VosModel.encode."""
    h, w = frames.shape[1], frames.shape[2]
    if h % self.output_stride or w % self.output_stride:
      raise ValueError(
        f"encode(): frames are {h}x{w}; both sides must be multiples of "
        f"{self.output_stride}. Pad them with model.framing((h, w)) or use "
        "vosjax.VideoSegmenter."
      )
    x = self.network.normalise(frames)
    stages = self.network(x, train=train, steps=steps)
    deep = stages.stage4
    if self.deep == "pyramid":
      deep = join_stages(stages)
    skip8, skip4 = self.refinement.encode(stages.stage2, stages.stage1)
    empty = deep[..., :0]
    appearance = propagation = empty
    if self.use_appearance:
      source = deep if self.end_to_end else jax.lax.stop_gradient(deep)
      appearance = self.reduce(source.astype(jnp.float32))
    if self.use_propagation:
      propagation = self.propagation.encode(deep)
    keys = None
    if self.matching_lags:
      keys = matching.make_keys(stages.stage2, stages.stage3)
    return AGameFeatures(deep, appearance, propagation, skip8, skip4, keys)

  def init_state(self, features: AGameFeatures, masks: Masks | None) -> AGameState:
    """Fits the appearance model to the first frame and remembers its features."""
    if masks is None:
      raise ValueError(
        "init_state(): masks is None, but A-GAME is one-shot. Pass the masks of the "
        "objects in the first frame."
      )
    pooled = self._pool(masks, features)
    appearance = propagation = None
    if self.use_appearance:
      appearance = self.appearance.fit(features.appearance, pooled)
    if self.use_propagation:
      propagation = self.propagation.init_state(features.deep, pooled)
    remembered = None
    if features.keys is not None:
      remembered = self.matching.init_state(features.keys, pooled)
    return AGameState(appearance, propagation, remembered)

  def segment(
    self,
    state: AGameState,
    features: AGameFeatures,
    active: Active,
  ) -> tuple[AGameState, Prediction]:
    """Scores, propagation, matching, fusion and refinement of every object."""
    b, o = active.shape
    scores = propagated = cues = None
    aux = {}
    if state.appearance is not None:
      scores = self.appearance.scores(state.appearance, features.appearance)
      aux["scores"] = scores
      scores = scores.reshape(b * o, *scores.shape[2:])
      if self.softmax_scores:
        scores = nn.softmax(scores)
      elif self.relative_scores:
        scores = (scores - scores.mean(-1, keepdims=True)) * self.features**-0.5
    if state.propagation is not None:
      propagated = self.propagation(state.propagation, features.propagation)
    if state.matching is not None and features.keys is not None:
      _, h, w, _ = features.deep.shape
      aux["cues"] = self.matching(state.matching, features.keys, (h, w))
      cues = aux["cues"].reshape(b * o, h, w, matching.NUM_CUES)
    fused = self.fusion(scores, propagated, cues)
    coarse = self.coarse_head(fused)
    logits = self.refinement(fused, features.skip8, features.skip4)
    if cues is not None:
      cue = matching.cue_logit(cues)
      coarse = coarse + self.cue_gains[0] * cue
      h, w = logits.shape[1:]
      cue = resize.bilinear(cue[..., None], (h, w))[..., 0]
      logits = logits + self.cue_gains[1] * cue
    aux["coarse_logits"] = coarse.reshape(b, o, *coarse.shape[1:])
    return state, Prediction(logits.reshape(b, o, *logits.shape[1:]), aux)

  def update(
    self, state: AGameState, features: AGameFeatures, probs: Masks
  ) -> AGameState:
    """Updates the Gaussians, makes the masks the previous ones, and remembers both."""
    masks = self._pool(probs, features)
    appearance, propagation = state.appearance, state.propagation
    if appearance is not None:
      appearance = self.appearance.update(appearance, features.appearance, masks)
    if propagation is not None:
      propagation = PropagationState(propagation.first, masks)
    remembered = state.matching
    if remembered is not None and features.keys is not None:
      remembered = self.matching.update(remembered, features.keys, masks)
    return AGameState(appearance, propagation, remembered)

  def correct(
    self, state: AGameState, fresh: AGameState, masks: Masks, corrected: Active
  ) -> AGameState:
    """Begins corrected objects anew in the latest frame, see TakesCorrections.

    What is remembered of them in earlier frames, which may be wrong, is forgotten. An
    object that is not in the frame keeps its appearance. Other objects lose the pixels
    where the corrected ones are.
    """
    corrected = jnp.asarray(corrected)
    given = jnp.where(corrected[:, :, None, None], masks, 0.0)
    shown = corrected & (given > 0).any((2, 3))
    left = 1 - given.max(1, keepdims=True)  # to other objects

    def where(flags: Active, new: Any, old: Any) -> Any:
      return jax.tree.map(
        lambda a, b: jnp.where(flags.reshape(flags.shape + (1,) * (a.ndim - 2)), a, b),
        new,
        old,
      )

    appearance, propagation, remembered = state.appearance, state.propagation, None
    if appearance is not None:
      appearance = where(shown, fresh.appearance, appearance)
    if propagation is not None and fresh.propagation is not None:
      window = masks.shape[2] // propagation.previous.shape[2]
      propagation = PropagationState(
        where(shown, fresh.propagation.first, propagation.first),
        where(
          corrected,
          _average(given, window),
          jnp.minimum(propagation.previous, _average(left, window)),
        ),
      )
    if state.matching is not None and fresh.matching is not None:
      remembered = self.matching.correct(
        state.matching, fresh.matching, corrected, shown
      )
    return AGameState(appearance, propagation, remembered)

  def _pool(
    self, masks: Masks, features: AGameFeatures
  ) -> Float[Array, "b o height width"]:
    """Masks at the size of the features."""
    return _average(masks, masks.shape[2] // features.deep.shape[1])


def _average(masks: Masks, window: int) -> Float[Array, "b o height width"]:
  """Masks averaged over squares."""
  if window == 1:
    return jnp.asarray(masks)
  b, o, h, w = masks.shape
  pooled = resize.average_pool(jnp.asarray(masks).reshape(b * o, h, w, 1), window)
  return pooled.reshape(b, o, *pooled.shape[1:3])
