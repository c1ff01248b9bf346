"""A-GAME: the embedded default and the paper's recipes.

The rows of the paper's ablation are flags, for the small network as for `:paper`:

  no appearance module     --config.model.fields.use_appearance=False
  no mask propagation      --config.model.fields.use_propagation=False
  unimodal appearance      --config.model.fields.residual=False
  no update                --config.model.fields.update_rate=0.0
  softmax instead of log-probabilities  --config.model.fields.softmax_scores=True
  no end-to-end training   --config.model.fields.end_to_end=False

Of what the small network has and the paper has not, these leave something out:

  no matching cue          --config.model.fields.matching_lags="()"
  plain scores             --config.model.fields.relative_scores=False

Source: Johnander et al., CVPR 2019, and the released program.
"""

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from vosjax.data import synthvos
from vosjax.models.backbones.stages import STAGES
from vosjax.train import config as base


def get_config(variant: str = "") -> ConfigDict:
  """The configuration of a variant; "" is the embedded default."""
  variants: base.Variants = {
    "": embedded,
    "released": released,  # the weights in the package; the authors' program: "paper"
    "smoke": smoke,
    "davis_folder": davis_folder,
    "imported": imported,
    "paper": paper,
    "paper_davis": paper_davis,
  }
  return base.choose_variant(variants, variant, "agame")


def _lite(title: str) -> ConfigDict:
  """The network that learns the weights in the package, on clips as hard as real video.

  Its encoder has learnt on ImageNet and stays as it is; the heads are trained.
  """
  config = base.get_config()
  config.title = title
  base.set_model(
    config,
    "agame",
    backbone="efficientnet_lite0",
    output_stride=8,
    features=64,
    fusion_features=32,
    frozen_stages=STAGES,
    relative_scores=True,
    balanced_init=True,
    deep="pyramid",
    matching_lags=(1, 3, 6, 10),
    min_side=480,
  )
  config.backbone_checkpoint = "agame-lite"
  config.data.synthvos.update(dataclasses.asdict(synthvos.REAL))
  config.evaluation.update(size=(240, 432), also=("davis",))
  config.data.year = "2016"  # of "davis": one object, by the protocol of DAVIS 2016
  config.log.every_steps = 10
  config.validation.num_videos = 8
  return config


def _lite_stage(**changes: Any) -> ConfigDict:
  """Single clips: many steps teach more than few steps on several clips."""
  stage = base.agame_stage(
    size=(192, 320),
    batch_size=1,
    learning_rate=1e-3,
    max_grad_norm=1.0,
    frozen_batch_stats=True,
    **changes,
  )
  stage.sources.synthvos = 1.0
  return stage


def embedded() -> ConfigDict:
  """Minutes on two CPU cores, from nothing but the installed package."""
  config = _lite(
    "A-GAME, the embedded default: a small network on real features and procedural "
    "SynthVOS, minutes on a CPU. The paper's recipe: vosjax train agame:paper"
  )
  main = _lite_stage(clip_length=5, num_steps=600, steps_per_epoch=40, lr_decay=0.82)
  base.set_stages(config, main=main)
  # The learning rate ends near 0, so the last step is the best; scoring takes time.
  config.checkpoint.every_steps = 300
  config.validation.update(every_steps=600, num_videos=4)
  config.evaluation.length = 12
  config.log.curves_every_steps = 300
  return config


def released() -> ConfigDict:
  """The recipe of the weights in the package: hours on two cores, minutes on a GPU.

  Clips of several sizes take turns, so that the network works at each. The run can be
  resumed; with --config.time_limit=MINUTES it ends in time and keeps the best weights.
  """
  config = _lite("A-GAME on real features: the recipe of the weights in the package")
  main = _lite_stage(
    more_sizes=((288, 480), (192, 320), (384, 640)),
    clip_length=6,
    num_steps=9000,
    steps_per_epoch=100,
    lr_decay=0.942,
  )
  base.set_stages(config, main=main)
  config.checkpoint.every_steps = config.validation.every_steps = 500
  return config


def smoke() -> ConfigDict:
  """Every part of a run on next to nothing, in seconds."""
  config = embedded()
  config.title = "A-GAME, smoke test: a few tiny steps that show that everything runs."
  base.set_smoke_network(
    config, frozen_stages=(), fusion_features=8, matching_lags=(1, 2), min_side=0
  )
  config.stages.main.update(
    size=(32, 48),
    batch_size=2,
    clip_length=3,
    num_steps=20,
    steps_per_epoch=10,
    frozen_batch_stats=False,
  )
  base.set_smoke_periods(config)
  config.evaluation.update(
    also=(), size=(32, 48), length=5, max_objects=2, num_videos=2, num_previews=1
  )
  return config


def davis_folder() -> ConfigDict:
  """The weights in the package, trained further on real and procedural videos.

  Trains on ImageSets/2016/train.txt of a folder in DAVIS layout and scores its
  val.txt by the protocol of DAVIS 2016:

    vosjax train agame:davis_folder --config.data.root=DAVIS_240p --workdir=runs/davis16

  data.year and data.resolution select other lists and sizes. A list of 2017 keeps
  objects apart and is scored by the protocol of 2017.
  """
  config = _lite("A-GAME, a small network on a DAVIS-layout folder, at 240 rows.")
  config.backbone_checkpoint = ""
  config.model_checkpoint = "agame-lite"
  config.model.fields.relative_scores = False  # as these weights were trained
  config.data.resolution = "240p"
  main = _lite_stage(
    clip_length=5, num_steps=2000, steps_per_epoch=200, lr_decay=0.8, zoom=True
  )
  main.update(size=(240, 432), learning_rate=3e-4)
  main.sources.update(synthvos=0.5, davis=0.5)
  base.set_stages(config, main=main)
  config.checkpoint.every_steps = config.validation.every_steps = 500
  config.evaluation.update(dataset="davis", num_videos=0, also=())
  return config


def imported() -> ConfigDict:
  """The network of `davis_folder`, on what `vosjax import-data` wrote."""
  config = davis_folder()
  config.title = "A-GAME, a small network on imported videos, at 240 rows."
  config.data.update(year="2017", resolution="480p")
  return config


def _paper(title: str) -> ConfigDict:
  config = base.get_config()
  config.title = title
  base.set_model(config, "agame")
  config.evaluation.update(dataset="davis", num_videos=0)
  return config


def paper() -> ConfigDict:
  """Both stages of the released program, plus the paper's third dataset.

  An epoch of alpha has 3231 videos (60 of DAVIS 2017, 3171 of YouTube-VOS) in batches
  of 4. How many of the paper's samples came from SynthVOS is not published: here as
  many as from YouTube-VOS, read from data.synthvos.folder if it exists and procedural
  otherwise. Beta has the two real datasets alone, with equal shares.

  The authors set 300 of the 3471 videos of YouTube-VOS aside for validation. Which ones
  is not published (their list names all), so all are trained on here and validation is
  on DAVIS; --config.data.youtube_vos_subset=FILE trains on a list of your own.
  """
  config = _paper("A-GAME, the paper's recipe: half resolution, then full.")
  config.data.synthvos.folder = "data/synthvos"
  epoch = 3231 // 4
  base.set_stages(
    config,
    alpha=base.agame_stage(
      num_steps=160 * epoch, steps_per_epoch=epoch, lr_decay=0.975, weight_decay=1e-5
    ),
    beta=_beta(samples=2 * 60),
  )
  config.stages.alpha.sources.update(davis=60.0, youtube_vos=3171.0, synthvos=3171.0)
  config.stages.beta.sources.update(davis=1.0, youtube_vos=1.0)
  return config


def paper_davis() -> ConfigDict:
  """The released program's run on DAVIS 2017 alone."""
  config = _paper("A-GAME, the paper's recipe on DAVIS 2017 alone.")
  epoch = 2600 // 4
  base.set_stages(
    config,
    alpha=base.agame_stage(
      num_steps=80 * epoch,
      steps_per_epoch=epoch,
      lr_decay=0.95,
      weight_decay=1e-5,
      zoom=True,
      replacement=True,
      samples_per_epoch=2600,
    ),
    beta=_beta(samples=118),
  )
  config.stages.beta.replacement = True
  for stage in config.stages.values():
    stage.sources.davis = 1.0
  return config


def _beta(samples: int) -> ConfigDict:
  """Fine-tuning at full resolution, on longer clips and with the final loss alone."""
  epoch = samples // 2
  stage = base.agame_stage(
    size=(480, 864),
    batch_size=2,
    clip_length=14,
    num_steps=100 * epoch,
    steps_per_epoch=epoch,
    learning_rate=1e-5,
    lr_decay=0.985,
    weight_decay=1e-6,
    samples_per_epoch=samples,
  )
  stage.losses.coarse = 0.0
  return stage
