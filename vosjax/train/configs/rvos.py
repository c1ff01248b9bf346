"""RVOS: the embedded defaults and the paper's recipes.

The rows of the paper's tables, for the small network and, with `paper_` in front of the
variant (`:paper` for `:zero_shot`), at full size:

  T, S-T          :zero_shot, for T with --config.model.fields.spatial=False
  S               :zero_shot --config.model.fields.temporal=False
                      --config.stages.main.clip_length=1
  mask-T, mask-S  :mask_st, with ...spatial=False or ...temporal=False
  mask-S-T        :mask_st
  mask-S-T+       the embedded default, or :paper_one_shot

Source: Ventura et al., CVPR 2019, and the released program.
"""

import dataclasses
import functools

from ml_collections import ConfigDict

from vosjax.data import synthvos
from vosjax.models.backbones.stages import STAGES
from vosjax.train import config as base


def get_config(variant: str = "") -> ConfigDict:
  """The configuration of a variant; "" is the embedded default."""
  variants: base.Variants = {
    "": one_shot,
    "smoke": smoke,
    "davis_folder": davis_folder,
    "zero_shot": zero_shot,
    "mask_st": functools.partial(one_shot, inferred=False),
    "paper": paper,
    "paper_one_shot": paper_one_shot,
    "paper_mask_st": functools.partial(paper_one_shot, inferred=False),
    "paper_davis": paper_davis,
    "paper_davis_one_shot": functools.partial(paper_davis, one_shot=True),
  }
  return base.choose_variant(variants, variant, "rvos")


def _embedded(title: str, *, one_shot: bool) -> ConfigDict:
  """What the embedded defaults share: everything but their stages.

  The encoder has learnt on ImageNet and stays as it is; the rest is trained.
  """
  config = base.get_config()
  config.title = (
    f"RVOS, {title}, embedded: a small network on real features and procedural "
    "SynthVOS, minutes on a CPU. The paper's recipe: vosjax train rvos:paper or "
    ":paper_one_shot"
  )
  base.set_model(
    config,
    "rvos",
    backbone="efficientnet_lite0",
    frozen_stages=STAGES,
    features=64,
    num_objects=3,
    one_shot=one_shot,
    balanced_init=True,
    size=(240, 432),
  )
  config.backbone_checkpoint = "agame-lite"
  scenes = synthvos.REAL
  if not one_shot:
    # No mask tells what an object is, so nothing else may look like one.
    scenes = dataclasses.replace(scenes, clutter=0.0, twins=0.0)
  config.data.synthvos.update(dataclasses.asdict(scenes))
  config.data.year = "2016"  # of "davis": one object, by the protocol of DAVIS 2016
  # The learning rate ends near 0, so the last step is the best; scoring takes time.
  config.checkpoint.every_steps = 300
  config.log.every_steps = 10
  config.log.curves_every_steps = 300
  config.validation.every_steps = 600
  config.evaluation.update(size=(240, 432), length=12, max_objects=3, also=("davis",))
  return config


def _embedded_stage(**changes: object) -> ConfigDict:
  common = {
    "size": (192, 320),
    "batch_size": 1,
    "clip_length": 5,
    "num_steps": 600,
    "steps_per_epoch": 30,
    "learning_rate": 2e-3,
    "lr_decay": 0.86,
    "weight_decay": 1e-6,
    "affine": False,
    "max_grad_norm": 1.0,
    "frozen_batch_stats": True,
    "unroll_steps": 1,  # compiling all steps would take a third of the time
  }
  stage = base.rvos_stage(**common | changes)
  stage.sources.synthvos = 1.0
  return stage


def zero_shot() -> ConfigDict:
  """Minutes on two CPU cores, from nothing but the installed package."""
  config = _embedded("zero-shot", one_shot=False)
  base.set_stages(config, main=_embedded_stage())
  return config


def one_shot(*, inferred: bool = True) -> ConfigDict:
  """Minutes on two CPU cores, from nothing but the installed package.

  Args:
    inferred: train first with true previous masks, which teach to copy, and then with
      inferred ones, which teach to follow. Otherwise with true ones alone.
  """
  config = _embedded("one-shot", one_shot=True)
  if inferred:
    base.set_stages(
      config,
      truth=_embedded_stage(num_steps=150),
      inferred=_embedded_stage(previous="inferred", num_steps=450),
    )
  else:
    base.set_stages(config, main=_embedded_stage())
  return config


def smoke() -> ConfigDict:
  """Every part of a run on next to nothing, in seconds."""
  config = one_shot()
  config.title = "RVOS, smoke test: a few tiny steps that show that everything runs."
  base.set_smoke_network(config, frozen_stages=(), num_objects=2, size=None)
  config.data.synthvos.max_objects = 2
  for stage in config.stages.values():
    stage.update(
      size=(32, 48),
      batch_size=2,
      clip_length=3,
      num_steps=10,
      steps_per_epoch=10,
      unroll_steps=1,
      frozen_batch_stats=False,
    )
  base.set_smoke_periods(config)
  config.evaluation.update(
    also=(), size=(32, 48), length=5, max_objects=2, num_videos=2, num_previews=1
  )
  return config


def davis_folder() -> ConfigDict:
  """The embedded one-shot network at 240 rows, on real and procedural videos.

  Continues from the embedded default's model, with ImageSets/2016/train.txt of a folder
  in DAVIS layout, and scores its val.txt:

    vosjax train rvos:davis_folder --config.data.root=DAVIS_240p \
        --config.model_checkpoint=runs/rvos/model --workdir=runs/rvos16

  data.year and data.resolution select other lists and sizes; a list of 2017 keeps
  objects apart. To start from random heads, give both stages more steps and the
  embedded default's learning rates.
  """
  config = one_shot()
  config.title = "RVOS, a small one-shot network on a DAVIS-layout folder, at 240 rows."
  config.data.resolution = "240p"
  for stage in config.stages.values():
    stage.update(
      size=(240, 432),
      batch_size=2,
      clip_length=4,
      num_steps=300,
      learning_rate=2e-4,
      affine=True,
    )
    stage.sources.update(synthvos=0.5, davis=0.5)
  # True masks teach to copy, which this model can do already.
  config.stages.truth.update(num_steps=20, steps_per_epoch=20)
  config.evaluation.update(dataset="davis", num_videos=0, also=())
  return config


def _paper(title: str, *, one_shot: bool) -> ConfigDict:
  config = base.get_config()
  config.title = title
  base.set_model(config, "rvos", one_shot=one_shot)
  config.evaluation.update(dataset="davis", num_videos=0)
  return config


def _paper_stage(source: str, num_epochs: int, **changes: object) -> ConfigDict:
  steps_per_epoch, size = {
    "youtube_vos": (13_900 // 4, (256, 448)),
    "davis": (820 // 4, (240, 427)),
  }[source]
  stage = base.rvos_stage(
    size=size,
    batch_size=4,
    clip_length=5,
    num_steps=num_epochs * steps_per_epoch,
    steps_per_epoch=steps_per_epoch,
    learning_rate=1e-3,
    encoder_learning_rate=1e-6,
    weight_decay=1e-6,
    **changes,
  )
  stage.sources[source] = 1.0
  return stage


def paper() -> ConfigDict:
  """The released program's zero-shot run on YouTube-VOS, of which it trains on 80 %.

  data.youtube_vos_subset may name a text file that lists these videos. About 2776 of
  them make some 13900 clips of 5 annotated frames.
  """
  config = _paper("RVOS, the paper's zero-shot recipe on YouTube-VOS.", one_shot=False)
  config.data.youtube_vos_size = ()
  base.set_stages(config, main=_paper_stage("youtube_vos", 50))
  return config


def paper_one_shot(*, inferred: bool = True) -> ConfigDict:
  """The released program's one-shot run on the same videos as `paper`.

  Args:
    inferred: after 20 epochs with true previous masks, train 20 more with inferred
      ones, starting from the best checkpoint of the first.
  """
  config = _paper("RVOS, the paper's one-shot recipe on YouTube-VOS.", one_shot=True)
  config.data.youtube_vos_size = ()
  truth = _paper_stage("youtube_vos", 20)
  if inferred:
    then = _paper_stage("youtube_vos", 20, previous="inferred", from_best=True)
    base.set_stages(config, truth=truth, inferred=then)
  else:
    base.set_stages(config, main=truth)
  return config


def paper_davis(*, one_shot: bool = False) -> ConfigDict:
  """The released program's run on DAVIS 2017: from scratch, or fine-tuning.

  To fine-tune, give the model that was trained on YouTube-VOS, or converted, by
  --config.model_checkpoint=DIR. Zero-shot 10 epochs; one-shot 20, with inferred
  previous masks. The 60 videos make some 820 clips.
  """
  kind = "one-shot" if one_shot else "zero-shot"
  config = _paper(
    f"RVOS, {kind}, on DAVIS 2017; model_checkpoint is what to fine-tune.",
    one_shot=one_shot,
  )
  stage = _paper_stage("davis", 20 if one_shot else 10, previous="inferred")
  base.set_stages(config, main=stage)
  return config
