"""COSNet: the embedded default, the paper's recipes and whole datasets to score.

The rows of the paper's tables are flags, for the small network as for `:paper`.
Table 1, the mechanism of co-attention:

  --config.model.fields.attention=vanilla, symmetric or channelwise
  --config.model.fields.attention=none  without references: also
      --config.evaluation.references=0 --config.evaluation.compare_references='()'
  --config.model.fields.gated=False     without the gate

Tables 1 and 2, the same network scored differently. A trained network is scored again
with --config.mode=evaluate and --config.evaluation.checkpoint=RUN/model:

  --config.evaluation.fusion=summary or prediction
  --config.evaluation.reference_policy=uniform, random or consecutive
  --config.evaluation.references=0, 1, 2, 5, 7 or "'all'"

Source: Lu et al., CVPR 2019, and the released program.
"""

import dataclasses
import functools

from ml_collections import ConfigDict

from vosjax.data import synthvos
from vosjax.models.backbones.stages import STAGES
from vosjax.train import config as base

# Variant -> dataset. A trained or converted network is scored on all of its videos by
# its own protocol; nothing is trained. FOLDER is what datasets/build.py or
# datasets/export.py wrote, or the folder of DAVIS as it is.
#   vosjax train cosnet:NAME --config.data.root=FOLDER \
#     --config.evaluation.checkpoint=weights/cosnet
DATASETS = {
  "davis2016": {"dataset": "davis", "subset": "val"},
  "fbms": {"dataset": "fbms", "subset": "test"},
  "segtrack_v2": {"dataset": "segtrack_v2", "subset": "test"},
  "youtube_objects": {"dataset": "youtube_objects", "subset": "test"},
}


def get_config(variant: str = "") -> ConfigDict:
  """The configuration of a variant; "" is the embedded default."""
  variants: base.Variants = {
    "": embedded,
    "released": released,  # on real features; the authors' program: "paper"
    "released_smoke": released_smoke,
    "smoke": smoke,
    "davis_folder": davis_folder,
    "paper": paper,
    "paper_official": paper_official,
    "paper_group": paper_group,
    **{name: functools.partial(score_dataset, name) for name in DATASETS},
  }
  return base.choose_variant(variants, variant, "cosnet")


def embedded() -> ConfigDict:
  """Minutes on two CPU cores, from nothing but the installed package.

  The encoder has learnt on ImageNet and stays as it is; the rest is trained. No
  background thing looks like an object, because a single frame would not tell which of
  them belongs to the video.
  """
  config = base.get_config()
  config.title = (
    "COSNet, the embedded default: a small network on real features and procedural "
    "SynthVOS, minutes on a CPU. The paper's recipe: vosjax train cosnet:paper"
  )
  # The symmetric form starts as a plain comparison of features, which is what finding
  # things again takes. A free matrix would have to learn that first.
  base.set_model(
    config,
    "cosnet",
    backbone="efficientnet_lite0",
    frozen_stages=STAGES,
    deep="pyramid",
    features=64,
    branch_features=32,
    rates=(1, 2, 4),
    size=None,
    short_side=240,
    attention="symmetric",
  )
  config.backbone_checkpoint = "agame-lite"
  scenes = dataclasses.replace(synthvos.REAL, max_objects=1, clutter=0.0, twins=0.0)
  config.data.synthvos.update(dataclasses.asdict(scenes), length=12)
  config.data.year = "2016"  # of "davis": one object, by the protocol of DAVIS 2016
  stage = base.cosnet_stage(
    size=(192, 320),
    batch_size=4,
    num_steps=600,
    steps_per_epoch=100,
    learning_rate=0.1,
    pair_rates=(1.0, 1.0),
    bce="overlap",
  )
  stage.losses.update(absolute=0.0, still=1.0)
  stage.sources.synthvos = 1.0
  base.set_stages(config, main=stage)
  # The learning rate ends near 0, so the last step is the best; scoring takes time.
  config.checkpoint.every_steps = 300
  config.log.every_steps = 10
  config.log.curves_every_steps = 300
  config.validation.every_steps = 600
  config.evaluation.update(
    size=(240, 432),
    length=12,
    max_objects=1,
    compare_references=(0, 1),
    also=("davis",),
  )
  return config


def smoke() -> ConfigDict:
  """Every part of a run on next to nothing, in seconds."""
  config = embedded()
  config.title = "COSNet, smoke test: a few tiny steps that show that everything runs."
  base.set_smoke_network(
    config, frozen_stages=(), branch_features=8, rates=(1, 2), short_side=32
  )
  config.data.synthvos.update(num_videos=8, length=4)
  config.stages.main.update(
    size=(32, 48), batch_size=2, num_steps=20, steps_per_epoch=10
  )
  base.set_smoke_periods(config)
  config.evaluation.update(
    also=(), size=(32, 48), length=5, num_videos=2, num_previews=1
  )
  return config


def released() -> ConfigDict:
  """The recipe of the weights in the package, on procedural videos about one thing.

  Its encoder has learnt on ImageNet and stays as it is. The rest is trained on what
  objects have in common that are drawn and those that are filmed: they differ from the
  rim of the frame, and move otherwise than the camera. The run can be resumed; with
  --config.time_limit=MINUTES it ends in time and keeps the best weights.
  """
  config = base.get_config()
  config.title = "COSNet on cues of real features: the recipe of the weights"
  base.set_model(
    config,
    "cosnet",
    backbone="efficientnet_lite0",
    features=32,
    rates=(1, 2, 4),
    attention="none",
    num_references=0,
    size=None,
    short_side=240,
    deep="cues",
    motion_lags=(2, 5),
  )
  config.backbone_checkpoint = "agame-lite"
  config.data.synthvos.update(dataclasses.asdict(synthvos.PRIMARY), length=30)
  stage = base.cosnet_stage(
    size=(240, 432),
    batch_size=8,
    clip_length=3,
    num_steps=1500,
    steps_per_epoch=100,
    learning_rate=2e-3,
    weight_decay=1e-4,
    max_grad_norm=1.0,
    bce="overlap",
  )
  stage.losses.update(absolute=0.0, still=0.5)
  stage.sources.synthvos = 1.0
  base.set_stages(config, main=stage)
  config.data.year = "2016"  # of "davis": one object, by the protocol of DAVIS 2016
  config.checkpoint.every_steps = config.validation.every_steps = 250
  config.log.every_steps = 10
  config.validation.num_videos = 8
  config.evaluation.update(
    size=(240, 432), length=12, max_objects=2, references=0, also=("davis",)
  )
  return config


def released_smoke() -> ConfigDict:
  """The recipe of `released` on next to nothing, in seconds."""
  config = released()
  config.title = "COSNet on cues, smoke test: a few tiny steps."
  base.set_smoke_network(config, rates=(1, 2), short_side=32)
  config.data.synthvos.update(num_videos=8, length=7)
  config.stages.main.update(
    size=(32, 48), batch_size=2, num_steps=20, steps_per_epoch=10
  )
  base.set_smoke_periods(config)
  config.evaluation.update(
    also=(), size=(32, 48), length=5, num_videos=2, num_previews=1
  )
  return config


def davis_folder() -> ConfigDict:
  """The embedded network on real and procedural videos.

  Trains on ImageSets/2016/train.txt of a folder in DAVIS layout and scores its
  val.txt by the protocol of DAVIS 2016:

    vosjax train cosnet:davis_folder --config.data.root=DAVIS_240p --workdir=runs/mine

  data.year and data.resolution select other lists and sizes.
  """
  config = embedded()
  config.title = "COSNet, a small network on a DAVIS-layout folder."
  config.data.resolution = "240p"
  config.stages.main.size = (240, 432)
  config.stages.main.sources.update(synthvos=0.3, davis=0.7)
  config.evaluation.update(
    dataset="davis", num_videos=0, also=(), compare_references=(0, 1, 2)
  )
  return config


def paper() -> ConfigDict:
  """The released program's numbers, without its quirks.

  An epoch shows each of the 2079 frames of DAVIS 2016 once as a target: 130 steps of
  16, every third of them on stills. The program starts from a DeepLabv3, here
  --config.backbone_checkpoint=DIR as `vosjax convert deeplab` wrote it.
  """
  config = base.get_config()
  config.title = "COSNet, the paper's recipe on DAVIS 2016, MSRA10K and DUT-OMRON."
  base.set_model(config, "cosnet")
  config.data.year = "2016"
  stage = base.cosnet_stage(num_steps=60 * 130, steps_per_epoch=130)
  stage.sources.update(davis=1.0, msra10k=10_000.0, dut_omron=5168.0)
  base.set_stages(config, main=stage)
  config.evaluation.update(dataset="davis", num_videos=0, compare_references=(0, 1, 2))
  return config


def paper_official() -> ConfigDict:
  """The released program with its quirks; train/recipes/official lists them."""
  config = paper()
  config.title = "COSNet, exactly as the released program trains."
  config.stages.main.official = True
  config.evaluation.update(fusion="prediction", reference_policy="random")
  return config


def paper_group() -> ConfigDict:
  """The group form: a target with two references, in smaller crops."""
  config = paper()
  config.title = "COSNet, the group form on DAVIS 2016, MSRA10K and DUT-OMRON."
  config.model.fields.fusion = "joint"
  config.stages.main.update(size=(378, 378), clip_length=3)
  config.evaluation.references = 2
  config.evaluation.compare_references = (0, 1)
  return config


def score_dataset(variant: str) -> ConfigDict:
  """Scores a network on a whole dataset; nothing is trained."""
  config = paper()
  config.title = f"COSNet, scored on all of {variant}."
  config.mode = "evaluate"
  config.evaluation.update(DATASETS[variant], compare_references=())
  return config
