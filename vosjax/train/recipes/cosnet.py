"""COSNet: training steps on stills and on pairs of frames alternate.

Stills train the encoder to find what is salient in a single frame; pairs train what two
frames have in common. A batch of one frame holds stills and a batch of two holds pairs.
A batch of more trains the group form: a target with several references.

From cues alone, COSNet is trained otherwise, see `cosnet_cues`.

A stage with `official=True` reproduces the quirks of the released program, which
`vosjax.train.recipes.official` lists.

Source: Lu et al., CVPR 2019, and the released program.
"""

import functools
import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from vosjax.data import views
from vosjax.data.transforms import clips, pairs
from vosjax.data.video import Source
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.references import check as check_references
from vosjax.losses import (
  balanced_bce,
  binary_iou,
  mean_absolute_error,
  orthogonality_penalty,
  overlap_loss,
  scaled_bce,
)
from vosjax.models.cosnet import ReferenceFusion, upsample
from vosjax.train import feeds
from vosjax.train.optimizers import alternation
from vosjax.train.optimizers.alternating_sgd import make_alternating_sgd
from vosjax.train.recipe import (
  BatchesFrom,
  Objective,
  Outputs,
  Recipe,
  Scoring,
  Segment,
)
from vosjax.train.recipes import cosnet_cues
from vosjax.train.recipes.official import cosnet as official
from vosjax.train.recipes.official import cosnet_pairs
from vosjax.types import Variables

STILLS = ("msra10k", "dut_omron")  # sources of stills; all others hold videos
# Sources of whose videos one frame is sampled as the target (a still is a video of one
# frame); of others, every frame is drawn.
_SAMPLED = (*STILLS, "synthvos")


def make_objective(model: nn.Module, stage: ConfigDict) -> Objective:
  """Loss of a batch of stills, pairs or groups, told apart by their number of frames.

  Args:
    model: a COSNet.
    stage: its `losses` are the weights of "absolute" (the mean absolute error beside
      each cross-entropy), "still" (of steps on stills) and "orthogonality" (of the
      symmetric form's basis). With a `clip_length` above 2, the group form is trained.

  Raises:
    ValueError: `bce` is unknown, or groups do not train the model's fusion.
  """
  if model.deep == "cues":
    return cosnet_cues.make_objective(model, stage)
  group = stage.clip_length > 2
  if group and model.fusion == "prediction":
    raise ValueError(
      f"model.fields.fusion is 'prediction', but clips of {stage.clip_length} frames "
      "train on several references at once, which it keeps apart. Choose 'summary', "
      "'joint' or 'group', or set clip_length=2."
    )
  entropies = {
    "scaled": official.unguarded_bce if stage.official else scaled_bce,
    "balanced": balanced_bce,
    "overlap": overlap_loss,
  }
  if stage.bce not in entropies:
    raise ValueError(f"bce is {stage.bce!r}; known: {list(entropies)}.")
  entropy, weights = entropies[stage.bce], stage.losses.to_dict()
  still_logits = _still_logits
  if stage.official and not group:
    still_logits = official.still_logits
  forms = (
    ("still", still_logits),
    ("pair", _pair_logits),
    ("group", _group_logits),
  )

  def objective(variables, batch, key):
    del key  # nothing in this model is random
    frames = batch.frames.astype(jnp.float32) / 255
    t = frames.shape[1]
    kind, forward = forms[min(t, 3) - 1]
    logits, updated = model.apply(
      variables, frames, method=forward, mutable=["batch_stats"]
    )
    size, loss = frames.shape[2:4], jnp.zeros(())
    probs = [jax.nn.sigmoid(upsample(one, size)) for one in logits]
    truths = [batch.labels[:, i] == 1 for i in range(len(probs))]
    for p, truth in zip(probs, truths):
      loss += entropy(p, truth) + weights["absolute"] * mean_absolute_error(p, truth)
    everywhere = jnp.ones_like(truths[0])
    iou = binary_iou(probs[0] > 0.5, truths[0], everywhere).mean()
    metrics: dict[str, Array] = {f"{kind}_loss": loss, f"{kind}_iou": iou}
    if t == 1:
      loss *= weights["still"]
    elif model.attention == "symmetric":
      basis = variables["params"]["co_attention"]["basis"]
      metrics["orthogonality"] = orthogonality_penalty(basis)
      loss += weights["orthogonality"] * metrics["orthogonality"]
    metrics |= {"loss": loss, "iou": iou}
    return loss, Outputs(metrics, updated["batch_stats"])

  return objective


def _still_logits(
  model: nn.Module, frames: Float[Array, "b 1 h w 3"]
) -> tuple[Array, ...]:
  """Saliency logits."""
  return (model.saliency(frames[:, 0], train=True),)


def _pair_logits(
  model: nn.Module, frames: Float[Array, "b 2 h w 3"]
) -> tuple[Array, ...]:
  """Logits of both frames."""
  logits = model.pair_logits(frames[:, 0], frames[:, 1], train=True)
  return logits.a, logits.b


def _group_logits(
  model: nn.Module, frames: Float[Array, "b t h w 3"]
) -> tuple[Array, ...]:
  """Logits of the first frame, with the others as its references."""
  b, t = frames.shape[:2]
  deep = model.encoder(frames.reshape(-1, *frames.shape[2:]), train=True, steps=t)
  deep = deep.reshape(b, t, *deep.shape[1:])
  summary = None
  if model.attention != "none":
    summary = model.summarise(deep[:, 0], deep[:, 1:])
  return (model.head_a(summary, deep[:, 0], True),)


def make_optimizer(model: nn.Module, stage: ConfigDict) -> optax.GradientTransformation:
  """SGD with two learning rates, which depend on whether a step is on stills."""
  if model.deep == "cues":
    return cosnet_cues.make_optimizer(model, stage)
  # The group form trains head_a alone; without attention there is no head_b.
  group = stage.clip_length > 2 and model.attention != "none"
  rates = functools.partial(
    alternation.learning_rates,
    steps_per_epoch=stage.steps_per_epoch,
    num_epochs=stage.num_steps / stage.steps_per_epoch,
    base=stage.learning_rate,
    pair_factors=tuple(stage.pair_rates),
  )
  return make_alternating_sgd(
    rates,
    momentum=stage.momentum,
    weight_decay=stage.weight_decay,
    frozen=(*model.frozen, *(("head_b",) if group else ())),
    **({"num_updates": official.num_updates} if stage.official else {}),
  )


def make_batches(
  config: ConfigDict, stage: ConfigDict, sources: Mapping[str, Source], seed: int
) -> BatchesFrom:
  """Stills come from their own sources or, without any, from frames of the videos."""
  if config.model.fields.deep == "cues":
    return cosnet_cues.make_batches(config, stage, sources, seed)
  videos = {name: source for name, source in sources.items() if name not in STILLS}
  stills = {name: source for name, source in sources.items() if name in STILLS}
  if not videos:
    raise ValueError(
      f"stage sources: {sorted(stills)} hold stills only; COSNet's pairs also need a "
      "source of videos."
    )
  videos = {
    name: source if name in _SAMPLED else views.EveryFrame(source)
    for name, source in videos.items()
  }
  pair_transforms: types.ModuleType = cosnet_pairs if stage.official else pairs
  still_options = ConfigDict(stage)
  if stage.official:
    still_options.replacement = bool(stage.replacement or stills)
    if stage.clip_length == 2:
      stills = {name: official.WithoutEnds(source) for name, source in stills.items()}
  size = tuple(stage.size)
  resize = clips.Resize(size)
  augment = pair_transforms.CropScaleFlip(size) if stage.augment else resize

  def of_stills(name):
    return (*_target(name), pair_transforms.AddReferences(0), resize)

  def of_pairs(name):
    references = pair_transforms.AddReferences(stage.clip_length - 1)
    return (*_target(name), references, augment)

  streams = {
    True: feeds.batches(config, still_options, stills or videos, seed, of_stills),
    False: feeds.batches(config, stage, videos, seed, of_pairs),
  }
  return functools.partial(_alternate, stage, streams)


def _target(name: str) -> tuple[Any, ...]:
  """Samples a target, unless the source yields every frame as one, see EveryFrame."""
  return (pairs.AnyTarget(),) if name in _SAMPLED else ()


def _alternate(
  stage: ConfigDict, streams: Mapping[bool, BatchesFrom], start: int
) -> Iterator[Mapping[str, Any]]:
  """The batches from step `start` on; `streams` has those of stills under True."""
  # As released, every epoch starts with stills; otherwise, the stage alone does.
  per_epoch = stage.steps_per_epoch if stage.official else None
  done = alternation.num_still_steps(start, per_epoch)
  batches = {True: streams[True](done), False: streams[False](start - done)}
  for step in range(start, stage.num_steps):
    number = step % per_epoch if per_epoch else step
    yield next(batches[alternation.is_still_step(number)])


def make_scoring(config: ConfigDict, model: nn.Module) -> Scoring:
  """The primary object; the same weights with fewer references are baselines."""
  options = config.evaluation
  counts = (options.references, *options.compare_references)
  for count in counts:
    check_references(count, options.reference_policy)
  if model.deep == "cues" and any(counts):
    raise ValueError(
      f"evaluation.references is {options.references!r} and "
      f"evaluation.compare_references is {tuple(options.compare_references)}, but "
      "model.fields.deep='cues' compares a frame with no others. Choose 0 and ()."
    )
  if options.fusion not in ("", *get_args(ReferenceFusion)):
    raise ValueError(
      f"evaluation.fusion is {options.fusion!r}; known: "
      f"{list(get_args(ReferenceFusion))}, or '' for that of the model."
    )
  common: dict[str, Any] = {
    "policy": options.reference_policy,
    "fusion": options.fusion,
    "seed": config.seed,
  }

  def baselines(model, variables):
    return {
      f"{n} reference{'s' * (n != 1)}": segment(model, variables, n, **common)
      for n in options.compare_references
    }

  segmenter = functools.partial(segment, references=options.references, **common)
  return Scoring("primary", segmenter, baselines)


def segment(
  model: nn.Module,
  variables: Variables,
  references: int | Literal["all"],
  *,
  policy: str = "uniform",
  fusion: str = "",
  seed: int = 0,
) -> Segment:
  """Segments whole videos, see `VideoSegmenter`.

  Args:
    model: a COSNet.
    variables: of the model.
    references: number of reference frames for each frame, or "all".
    policy: how references are chosen.
    fusion: how references are fused; "": as the model's field says.
    seed: of random choices.
  """
  if fusion:
    model = model.clone(fusion=fusion)
  segmenter = VideoSegmenter(
    model,
    jax.device_get(variables),
    references=references,
    reference_policy=policy,
    seed=seed,
  )

  return lambda video: (result.labels for result in segmenter.run(video))


RECIPE = Recipe(
  objective=make_objective,
  optimizer=make_optimizer,
  batches=make_batches,
  scoring=make_scoring,
)
