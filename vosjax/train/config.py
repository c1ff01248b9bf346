"""Every key of a configuration with its unit and default.

Defaults of `model.fields` are those of the model's class, and of what SynthVOS shows
those of its `Settings`.

A configuration starts from `get_config()`, names a model with `set_model()` and its
training stages with `set_stages()`:

  from vosjax.train import config as base

  def get_config():
    config = base.get_config()
    base.set_model(config, "agame", backbone="resnet18", width=16, frozen_stages=())
    stage = base.agame_stage(size=(96, 160), num_steps=2000, learning_rate=1e-3)
    stage.sources.synthvos = 1.0
    base.set_stages(config, main=stage)
    return config

Saved as mine.py, it runs as `vosjax train --config=mine.py`. Configurations are locked:
to set a key that is not listed here is an error. The built-in ones are in
`vosjax.train.configs`.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict, FieldReference

from vosjax import models
from vosjax.data.synthvos import Settings


def get_config() -> ConfigDict:
  """A complete configuration that still lacks a model and stages; it is locked."""
  config = ConfigDict()
  config.title = ""  # the first line that a run prints
  # "train"; "evaluate" scores a trained model on the dataset of `evaluation`; "predict"
  # writes its masks of that dataset to WORKDIR/predictions, for a server that keeps the
  # truth; "benchmark" measures how fast each stage trains, on procedural clips.
  config.mode = "train"
  # Minutes of training after which the run scores what it has and ends; 0: no limit.
  # The same command goes on from there, with another limit if wanted.
  config.time_limit = 0.0
  config.seed = 0  # of initial weights, batches and everything else that is random

  config.model = ConfigDict()
  config.model.name = ""  # one of vosjax.models.MODELS
  config.model.fields = ConfigDict()  # filled by set_model()
  # Folder that `vosjax convert resnet`, `efficientnet`, `deeplab` (COSNet) or `vgg`
  # (RIS) wrote, or the name of weights in the package, whose backbone is taken; "": the
  # backbone starts from random weights.
  config.backbone_checkpoint = ""
  # Folder of a whole model to start from, as `vosjax convert` writes it, or the name of
  # weights in the package; "": none.
  config.model_checkpoint = ""

  config.data = _data()

  config.stages = ConfigDict()  # NAME -> ..._stage(); filled by set_stages()
  config.stage_order = ()  # names of all stages, in the order in which they run

  config.checkpoint = ConfigDict()
  config.checkpoint.every_steps = 1000
  config.checkpoint.keep = 2  # the latest ones; the best by validation is kept as well

  config.log = ConfigDict()
  config.log.every_steps = 50  # steps per line of metrics.jsonl; values are means
  config.log.curves_every_steps = 1000  # steps between two plots of curves.png

  # J&F on a few videos that are not trained on: procedural ones of their own, or the
  # first of a folder that is scored. The best checkpoint is selected by it: every
  # validation saves one.
  config.validation = ConfigDict()
  config.validation.every_steps = 5000
  config.validation.num_videos = 2  # 0: all

  config.evaluation = _evaluation()
  return config.lock()


def _data() -> ConfigDict:
  """Where training data are, and what is drawn from them."""
  data = ConfigDict()
  # Folder in DAVIS layout. For scoring also that of FBMS, SegTrack v2 or
  # YouTube-Objects.
  data.root = "data"
  data.year = "2017"  # ImageSets/YEAR holds the lists of videos
  data.resolution = "480p"  # JPEGImages/RESOLUTION, Annotations/RESOLUTION
  data.train_subset = "train"  # list of the videos to train on
  data.youtube_vos = "data/youtube_vos"  # folder of YouTube-VOS
  data.youtube_vos_subset = "train"  # list of the videos to train on, or a text file
  # Rows and columns of the videos to train on, others are skipped; (): any size.
  data.youtube_vos_size = (720, 1280)
  data.msra10k = "data/msra10k"  # folder of MSRA10K, which holds Imgs
  data.dut_omron = "data/dut_omron"  # folder of DUT-OMRON's two folders
  data.voc = "data/VOC2012"  # folder of PASCAL VOC 2012
  data.voc_classes = ()  # classes whose instances count, such as "person"; (): all
  data.sbd = "data/benchmark_RELEASE/dataset"  # folder of SBD
  data.leaves = "data/CVPPP2017_LSC_training/training/A1"  # folder of CVPPP's plants
  data.cityscapes = "data/cityscapes"  # folder of leftImg8bit and gtFine
  # Processes that decode and draw; 0: threads of this process; -1: threads for a CPU, a
  # process for each core but one, at most 32, for an accelerator.
  data.num_workers = -1
  # A clip starts at a frame in which an object has more pixels than this, at full size.
  data.min_object_pixels = 100
  # An object can be chosen if it has more pixels than this at training size; by source.
  data.min_chosen_pixels = ConfigDict({"synthvos": 25, "davis": 25, "youtube_vos": 10})
  # Procedural videos. vosjax.data.synthvos.Settings explains what they show. Training
  # and scoring share these settings, except max_objects and speed, which apply to
  # training alone.
  data.synthvos = ConfigDict(dataclasses.asdict(Settings(max_objects=3)))
  data.synthvos.folder = ""  # prepared videos to train on; absent: procedural ones
  data.synthvos.num_videos = 100_000  # to train on; they take no disk space
  data.synthvos.length = 0  # frames of a training video; 0: as many as a clip
  data.synthvos.in_memory = False  # render each training video once and keep it
  return data


def _evaluation() -> ConfigDict:
  """What is scored or predicted, and how."""
  evaluation = ConfigDict()
  # One of vosjax.train.scoring.datasets.DATASETS: "synthvos", "davis", "fbms",
  # "segtrack_v2", "youtube_objects", "youtube_vos", "voc", "leaves", "cityscapes".
  evaluation.dataset = "synthvos"
  # Further datasets to score a trained model on, if their folders are there: names as
  # for `dataset`.
  evaluation.also = ()
  # List or split of the dataset; for YouTube-VOS a folder such as "valid", or a text
  # file that names videos.
  evaluation.subset = "val"
  # Folder of the model to score, as `vosjax convert` writes it, or the name of weights
  # in the package; "": WORKDIR/model.
  evaluation.checkpoint = ""
  # Zero-shot RVOS. True: slots take the ids of the objects that they match in each
  # object's first frame, as in the released program. False: the unsupervised protocol
  # of DAVIS 2017, which matches over whole videos. Where no video is annotated,
  # predictions keep the ids of the slots in both cases.
  evaluation.match_first_frame = True
  evaluation.num_videos = 8  # videos to score; 0: all. Predictions cover all videos.
  evaluation.size = (128, 224)  # rows, columns; "synthvos" only
  evaluation.length = 24  # frames; "synthvos" only
  evaluation.max_objects = 5  # in a video; "synthvos" only
  # COSNet: how many reference frames each frame is compared with, 0 to 7, or "all".
  evaluation.references = FieldReference(5, field_type=object)
  evaluation.reference_policy = "uniform"  # "uniform", "random" or "consecutive"
  evaluation.fusion = ""  # of references, see vosjax.models.COSNet; "": the model's own
  evaluation.compare_references = ()  # other numbers of references to score as well
  evaluation.num_previews = 4  # videos shown in preview/
  return evaluation


def set_model(config: ConfigDict, name: str, **fields: Any) -> None:
  """Sets the model, and all fields of its class.

  Args:
    config: the configuration to change.
    name: one of `vosjax.models.MODELS`.
    **fields: values that differ from the defaults of the model's class.
  """
  known = models.field_names(name)
  values = {
    field.name: field.default
    for field in dataclasses.fields(models.MODELS[name])
    if field.name in known
  }
  values["dtype"] = "float32"  # of convolutions; "bfloat16": mixed precision
  values["remat"] = False  # recompute blocks of the backbone in the backward pass
  if name in ("rsis", "ris"):  # for RVOS, stages have unroll_steps
    values["unroll_objects"] = 1  # objects per iteration of the decoder's loop
  values |= fields
  config.model.name = name
  # Fields that are None by default accept values of any type.
  config.model.fields = ConfigDict(
    {
      field: FieldReference(None, field_type=object) if value is None else value
      for field, value in values.items()
    }
  ).lock()


def set_stages(config: ConfigDict, **stages: ConfigDict) -> None:
  """Sets the stages of training, which run in the order in which they are given."""
  with config.unlocked():
    config.stages = ConfigDict(stages)
    config.stage_order = tuple(stages)


def require_values(config: ConfigDict) -> None:
  """Checks the seed, periods, counts and time limit of a run, and its sizes.

  Those of stages are checked by `ordered_stages`.

  Raises:
    ValueError: the seed does not fit into 32 bits, a period is less than one step, a
      count or the time limit is negative, a size is not two positive whole numbers, or
      a rate or dilation is not one; names the key.
  """
  if not 0 <= config.seed < 2**32:  # JAX would take its last 32 bits
    raise ValueError(f"seed is {config.seed}; expected a number from 0 to 2**32 - 1.")
  for section, key in (
    ("log", "every_steps"),
    ("log", "curves_every_steps"),
    ("validation", "every_steps"),
    ("checkpoint", "every_steps"),
    ("checkpoint", "keep"),  # what a signal saves is the latest one
  ):
    if config[section][key] < 1:
      raise ValueError(
        f"{section}.{key} is {config[section][key]}; expected at least 1."
      )
  for section, key in (
    ("validation", "num_videos"),
    ("evaluation", "num_videos"),
    ("evaluation", "num_previews"),
  ):
    if config[section][key] < 0:
      raise ValueError(
        f"{section}.{key} is {config[section][key]}; expected at least 0."
      )
  if not config.time_limit >= 0:
    raise ValueError(
      f"time_limit is {config.time_limit}; expected minutes, or 0 for no limit."
    )
  _require_size("evaluation.size", config.evaluation.size)
  if config.data.youtube_vos_size:
    _require_size("data.youtube_vos_size", config.data.youtube_vos_size)
  fields = config.model.fields
  if "size" in fields and fields.size is not None:  # None: that of the frames
    _require_size("model.fields.size", fields.size)
  for key in {"rates", "dilations"} & set(fields):  # of dilated convolutions
    if not all(isinstance(n, int) and n > 0 for n in fields[key]):
      raise ValueError(
        f"model.fields.{key} is {fields[key]}; expected whole numbers, such as (6, 12)."
      )


def ordered_stages(config: ConfigDict) -> dict[str, ConfigDict]:
  """The stages by name, in the order in which they run.

  Raises:
    ValueError: `stage_order` does not name each stage once, or a number of a stage is
      out of range.
  """
  order = tuple(config.stage_order)
  # By their texts, because anything may stand in a tuple of the command line.
  if not order or sorted(map(repr, order)) != sorted(map(repr, config.stages)):
    raise ValueError(
      f"stage_order is {order}, but the stages are {sorted(config.stages)}. Name each "
      "of them once, in the order in which they run."
    )
  for name in order:
    _require_size(f"stages.{name}.size", config.stages[name].size)
    for key, value in config.stages[name].items():
      if key == "more_sizes":
        for size in value:
          _require_size(f"stages.{name}.more_sizes", size)
      elif isinstance(value, tuple):  # besides the size, a range or two factors
        _require_pair(f"stages.{name}.{key}", value)
    stage = config.stages[name]
    for key in (
      "batch_size",
      "accumulate",
      "clip_length",
      "num_steps",
      "steps_per_epoch",
    ):
      if stage[key] < 1:
        raise ValueError(f"stages.{name}.{key} is {stage[key]}; expected at least 1.")
    if stage.batch_size % stage.accumulate:
      raise ValueError(
        f"stages.{name}.accumulate is {stage.accumulate}, which does not divide "
        f"batch_size, {stage.batch_size}."
      )
    _require_not_negative(f"stages.{name}", stage)
  return {name: config.stages[name] for name in order}


def _require_not_negative(path: str, options: ConfigDict) -> None:
  """Raises if a number is negative, infinite or not a number; names its key."""
  for key, value in options.items():
    if key == "losses":
      _require_not_negative(f"{path}.{key}", value)
    elif isinstance(value, int | float) and not 0 <= value < math.inf:
      raise ValueError(f"{path}.{key} is {value}; expected a finite number, 0 or more.")


def _require_size(key: str, size: Any) -> None:
  size = tuple(size) if isinstance(size, Sequence) else size
  if not (
    isinstance(size, tuple)
    and len(size) == 2
    and all(isinstance(n, int) and n > 0 for n in size)
  ):
    raise ValueError(f"{key} is {size}; expected rows and columns, such as (240, 432).")


def _require_pair(key: str, pair: Sequence[Any]) -> None:
  if len(pair) != 2 or not all(
    isinstance(x, int | float) and 0 <= x < math.inf for x in pair
  ):
    raise ValueError(f"{key} is {pair}; expected two numbers, such as (0.7, 1.4).")


def agame_stage(**changes: Any) -> ConfigDict:
  """A training stage of A-GAME, with `changes` to its defaults."""
  return _stage(
    changes,
    lr_decay=1.0,  # factor on the learning rate, once per epoch
    losses=ConfigDict({"final": 1.0, "coarse": 1.0}),  # weights
    more_sizes=(),  # further rows and columns; steps of all sizes take turns
    flip=True,  # mirror half of the clips left-right
    zoom=False,  # zoom slowly into half of the clips
    # Normalise by the running statistics of BatchNorm, as at test time, and keep them
    # fixed. Statistics of one or two small clips are too noisy to train with.
    frozen_batch_stats=False,
    remat=False,  # recompute time steps in the backward pass
    # Time steps per iteration of the scan. 0: all of them on CPU, where that is never
    # slower; 1 elsewhere, which compiles faster.
    unroll_steps=0,
  )


def rvos_stage(**changes: Any) -> ConfigDict:
  """A training stage of RVOS, with `changes` to its defaults."""
  return _stage(
    changes,
    encoder_learning_rate=1e-6,  # of the backbone; learning_rate is of all the rest
    lr_decay=1.0,  # factor on both learning rates, once per epoch
    # Masks of the previous frame that a one-shot model sees: the "truth", or those
    # that it "inferred" itself.
    previous="truth",
    official=False,  # with the released program's quirks, see train/recipes/official
    frozen_batch_stats=False,  # as for A-GAME
    flip=True,  # mirror half of the clips left-right
    affine=True,  # rotate, translate, shear and scale whole clips
    remat=False,  # recompute frames in the backward pass
    # Frames and objects per iteration of their scans. 0: all of them on CPU, where
    # this speeds up the gradient by a fifth (120 ms instead of 147 ms); 1 elsewhere.
    unroll_steps=0,
  )


def rsis_stage(**changes: Any) -> ConfigDict:
  """A training stage of RSIS, with `changes` to its defaults."""
  return _instance_stage(
    changes,
    batch_size=28,
    learning_rate=1e-3,  # of everything but the backbone
    encoder_learning_rate=1e-6,  # of the backbone
    weight_decay=1e-6,
    # Weights; 0 disables a loss.
    losses=ConfigDict({"mask": 1.0, "classes": 0.0, "box": 0.0, "stop": 0.0}),
    official=False,  # with the released program's quirks, see train/recipes/official
  )


def ris_stage(**changes: Any) -> ConfigDict:
  """A training stage of RIS, with `changes` to its defaults."""
  return _instance_stage(
    changes,
    batch_size=1,
    losses=ConfigDict({"score": 1.0}),  # weight relative to the IoU
    extra_objects=2,  # predictions beyond the instances; 1 in the program for leaves
  )


def cosnet_stage(**changes: Any) -> ConfigDict:
  """A training stage of COSNet, with `changes` to its defaults.

  Still images are sources of their own (see `vosjax.train.recipes.cosnet`); without
  any, single frames of the videos take their place.

  With `model.fields.deep` "cues", Adam trains on frames and their past alone (see
  `vosjax.train.recipes.cosnet_cues`): `clip_length` counts all of them, the learning
  rate decays to 0, and the loss weight "still" is of each decision before the last.
  `weight_decay` shrinks the weights themselves (AdamW). `momentum`, `pair_rates`,
  `official` and `steps_per_epoch` then have no effect.
  """
  return _stage(
    changes,
    size=(473, 473),
    batch_size=16,
    clip_length=2,  # a target and its references; above 2: the group form
    sources=ConfigDict({"msra10k": 0.0, "dut_omron": 0.0}),
    learning_rate=2.5e-4,  # initial; decays to 0, and is halved from epoch 6 on
    momentum=0.9,
    weight_decay=5e-4,
    pair_rates=(0.01, 10.0),  # factors for encoder and heads in steps on pairs
    # "scaled": as released; "balanced": as in the paper; "overlap": with the soft IoU.
    bce="scaled",
    losses=ConfigDict({"absolute": 0.8, "still": 0.1, "orthogonality": 1e-3}),
    augment=True,  # crop, scale and mirror each frame of a pair
    official=False,  # with the released program's quirks, see train/recipes/official
  )


def _instance_stage(changes: Mapping[str, Any], **specific: Any) -> ConfigDict:
  """A training stage on single images with instances (RSIS, RIS)."""
  return _stage(
    changes,
    size=(256, 256),
    clip_length=1,
    sources=ConfigDict({"voc": 0.0, "leaves": 0.0, "cityscapes": 0.0}),
    lr_decay=1.0,  # factor on the learning rates, once per epoch
    num_objects=0,  # objects to decode; 0: as many as the model has
    max_instances=20,  # only the largest instances of an image count
    min_instance_pixels=1,  # at training size
    flip=True,  # mirror half of the images left-right
    affine=True,  # rotate, translate, shear and scale
    rotation=10.0,  # degrees, at most
    translation=0.1,  # share of the rows and of the columns, at most
    shear=0.1,  # degrees, at most
    zoom=(
      0.7,
      1.4,
    ),  # range of the factor on the field of view; above 1 shrinks objects
    **specific,
  )


def _stage(changes: Mapping[str, Any], **specific: Any) -> ConfigDict:
  """A training stage.

  Args:
    changes: values that differ from the defaults.
    **specific: further keys, of one model, with their defaults.
  """
  stage = ConfigDict()
  stage.size = (240, 432)  # rows, columns
  stage.batch_size = 4  # clips, over all devices
  # Splits each batch into so many parts, which pass through the network one after
  # another, for batches larger than memory. The update is the same, except that batch
  # statistics are those of the parts, and losses that are no mean over clips differ.
  stage.accumulate = 1
  # Batch size for which the learning rates are meant: they are multiplied by batch_size
  # divided by this (linear scaling). 0: they are used as they are.
  stage.reference_batch_size = 0
  stage.clip_length = 8  # frames
  stage.num_steps = 1000  # updates
  # An epoch is one pass over the stage's videos, each time in another random order. Two
  # lengths are stated, which need not agree: `steps_per_epoch` updates for schedules
  # that count epochs, and `samples_per_epoch` clips for the order.
  stage.steps_per_epoch = 1000
  # Start from the weights of the best checkpoint so far, by validation. Otherwise, or
  # if none was scored, the stage continues from the last weights.
  stage.from_best = False
  stage.learning_rate = 1e-4
  stage.weight_decay = 0.0  # coupled: added to the gradient
  # Clips the global gradient norm to this value; 0 disables clipping, as in all
  # released programs. Through time, from random weights, a few large gradients can
  # undo hundreds of steps.
  stage.max_grad_norm = 0.0
  # Relative weight of each source, see vosjax.train.feeds.
  stage.sources = ConfigDict({"synthvos": 0.0, "davis": 0.0, "youtube_vos": 0.0})
  stage.samples_per_epoch = 0  # 0: until the first source is exhausted
  stage.replacement = False  # a video may be drawn twice in an epoch
  stage.update(specific)
  stage.lock()
  stage.update(changes)
  return stage


Variants = Mapping[str, Callable[[], ConfigDict]]


def set_smoke_network(config: ConfigDict, **fields: Any) -> None:
  """Puts a tiny backbone with random weights into the model, for smoke tests.

  Args:
    config: whose model is changed.
    **fields: further fields of the model.
  """
  config.backbone_checkpoint = ""
  config.model.fields.update(backbone="resnet18", width=4, features=16, **fields)


def set_smoke_periods(config: ConfigDict) -> None:
  """Makes a run of twenty steps validate, save and draw, for smoke tests."""
  config.checkpoint.every_steps = 10
  config.log.every_steps = 5
  config.log.curves_every_steps = 20
  config.validation.update(every_steps=20, num_videos=1)


def choose_variant(variants: Variants, variant: str, name: str) -> ConfigDict:
  """The configuration of a variant, locked.

  Raises:
    ValueError: the variant is unknown; lists the known ones.
  """
  if variant not in variants:
    raise ValueError(
      f"{name}: variant {variant!r} is unknown; known: "
      f"{', '.join(filter(None, variants))}."
    )
  config = variants[variant]()
  config.lock()
  return config
