"""RIS: the embedded default and the paper's recipes for leaves and people.

Source: Romera-Paredes and Torr, ECCV 2016, and its program.
"""

import dataclasses
import functools

from ml_collections import ConfigDict

from vosjax.data import synthvos
from vosjax.train import config as base


def get_config(variant: str = "") -> ConfigDict:
  """The configuration of a variant; "" is the embedded default."""
  variants: base.Variants = {
    "": embedded,
    "smoke": smoke,
    "paper": paper,
    "paper_slides": functools.partial(paper, extra=2),
    "paper_people": paper_people,
  }
  return base.choose_variant(variants, variant, "ris")


def embedded() -> ConfigDict:
  """Minutes on two CPU cores, from nothing but the installed package.

  The features have learnt on ImageNet and stay as they are; the rest is trained.
  """
  config = base.get_config()
  config.title = (
    "RIS, the embedded default: a small network on real features and procedural "
    "images, minutes on a CPU. The paper's recipe: vosjax train ris:paper"
  )
  base.set_model(
    config,
    "ris",
    extractor="efficientnet_lite0",
    channels=30,
    num_objects=5,
    region_bias=6.0,
    threshold=0.5,
    size=(192, 320),
  )
  config.backbone_checkpoint = "agame-lite"
  # Nothing but its instances may look like one.
  scenes = dataclasses.replace(synthvos.REAL, clutter=0.0, twins=0.0)
  config.data.synthvos.update(dataclasses.asdict(scenes))
  config.data.synthvos.update(num_videos=1000, in_memory=True)
  # With lower rates, masks stay uniform for hundreds of steps.
  common = {
    "size": (192, 320),
    "batch_size": 4,
    "steps_per_epoch": 50,
    "learning_rate": 6e-3,
    "lr_decay": 0.85,
    "max_instances": 3,
    "affine": False,
  }
  base.set_stages(
    config,
    two=base.ris_stage(num_steps=200, num_objects=2, **common),
    all=base.ris_stage(num_steps=900, **common),
  )
  for stage in config.stages.values():
    stage.sources.synthvos = 1.0
  config.checkpoint.every_steps = 500
  config.log.every_steps = 10
  config.validation.update(every_steps=500, num_videos=20)
  config.evaluation.update(
    size=(192, 320), length=1, max_objects=3, num_videos=100, num_previews=12
  )
  return config


def smoke() -> ConfigDict:
  """Every part of a run on next to nothing, in seconds."""
  config = embedded()
  config.title = "RIS, smoke test: a few tiny steps that show that everything runs."
  config.backbone_checkpoint = ""
  config.model.fields.update(
    extractor="convolutions",
    num_convolutions=6,
    stride=4,
    channels=4,
    num_objects=3,
    size=None,
  )
  for stage in config.stages.values():
    stage.update(size=(32, 48), batch_size=2, num_steps=10, steps_per_epoch=10)
  base.set_smoke_periods(config)
  config.evaluation.update(size=(32, 48), max_objects=2, num_videos=3, num_previews=1)
  return config


def paper(extra: int = 1) -> ConfigDict:
  """The leaves of CVPPP A1, 106 x 100, one image per step.

  The paper starts with two leaves and lets their number grow; it does not say when.

  Args:
    extra: predictions beyond the leaves: 1 in the program, 2 on the slides.
  """
  config = base.get_config()
  config.title = "RIS, the paper's recipe on leaves."
  base.set_model(config, "ris", num_objects=22, score="flat", size=(106, 100))
  epoch = 102
  stages = {
    f"objects{count}": base.ris_stage(
      size=(106, 100),
      num_steps=100 * epoch,
      steps_per_epoch=epoch,
      num_objects=count,
      extra_objects=extra,
      rotation=180.0,
      translation=0.0,
      shear=0.0,
      zoom=(1.0, 1.0),
    )
    for count in (2, 5, 10, 22)
  }
  for stage in stages.values():
    stage.sources.leaves = 1.0
  base.set_stages(config, **stages)
  config.evaluation.update(dataset="leaves", num_videos=0)
  return config


def paper_people() -> ConfigDict:
  """People in Pascal VOC 2012 with SBD, 500 x 500, one image per step.

  The FCN-8s starts from what `vosjax convert vgg` wrote, given by
  --config.backbone_checkpoint=DIR; its VGG is not trained. From the program come the
  learning rate (1e-5, later 1e-6), the rotations and the single prediction beyond the
  people. How long it trains, and when more people are decoded, is our choice. The
  program pads images to 500 x 500 pixels; here they are stretched.
  """
  config = base.get_config()
  config.title = "RIS on the people of Pascal VOC, from a VGG-16 trained on ImageNet."
  base.set_model(
    config,
    "ris",
    extractor="fcn8",
    channels=100,
    num_objects=20,
    score="pool",
    size=(500, 500),
  )
  config.data.voc_classes = ("person",)
  epoch = 4000  # roughly the number of images that show a person
  stages = {
    f"objects{count}": base.ris_stage(
      size=(500, 500),
      num_steps=10 * epoch,
      steps_per_epoch=epoch,
      learning_rate=rate,
      num_objects=count,
      extra_objects=1,
      rotation=22.5,
      translation=0.0,
      shear=0.0,
      zoom=(1.0, 1.0),
    )
    for count, rate in ((2, 1e-5), (5, 1e-5), (20, 1e-6))
  }
  for stage in stages.values():
    stage.sources.voc = 1.0
  base.set_stages(config, **stages)
  config.evaluation.update(dataset="voc", num_videos=0)
  return config
