"""RIS: the embedded default and the paper's recipe for leaves.

Source: Romera-Paredes and Torr, ECCV 2016, and its program.
"""

import functools
import pathlib
import runpy
import types

# Loaded by path: a configuration works from any current folder.
_BASE = pathlib.Path(__file__).with_name("base.py")
base = types.SimpleNamespace(**runpy.run_path(str(_BASE)))


def get_config(variant=""):
  """The configuration of a variant; "" is the embedded default."""
  recipes = {
    "": embedded,
    "smoke": smoke,
    "paper": paper,
    "paper_slides": functools.partial(paper, extra=2),
    "paper_people": paper_people,
  }
  return base.choose(recipes, variant, "configs/ris.py")


def embedded():
  """Small enough for two CPU cores and a few minutes, with nothing downloaded."""
  config = base.get_config()
  config.title = (
    "RIS, the embedded default: a small network on procedural pictures, minutes on "
    "a CPU. The paper's recipe: --config=configs/ris.py:paper"
  )
  config.model.name = "ris"
  config.model.fields.update(
    channels=30,
    num_convolutions=6,
    stride=4,
    num_objects=6,
    region_bias=5.0,
    threshold=0.5,
    unroll_objects=6,
  )
  config.data.update(
    synthvos_videos=2000,
    synthvos_in_memory=True,
    synthvos_objects=4,
    synthvos_object_size=1.3,
    synthvos_clutter=0.0,
    synthvos_plain=1.0,
    synthvos_void=0.0,
    synthvos_kinds=("blob",),
  )
  common = {
    "size": (64, 64),
    "batch_size": 8,
    "steps_per_epoch": 100,
    "learning_rate": 2e-3,
    "lr_decay": 0.9,
    "max_instances": 4,
    "affine": False,
  }
  config.stages.stage1_two = base.ris_stage(num_steps=500, num_objects=2, **common)
  config.stages.stage2_all = base.ris_stage(num_steps=1000, **common)
  for stage in config.stages.values():
    stage.sources.synthvos = 1.0
  config.checkpoint.every_steps = 500
  config.log.every_steps = 10
  config.validation.update(every_steps=500, num_videos=20)
  config.evaluation.update(
    size=(64, 64), length=1, max_objects=4, num_videos=100, num_previews=12
  )
  return config


def smoke():
  """Seconds long: every part of a run, on next to nothing."""
  config = embedded()
  config.title = "RIS, smoke test: a few tiny steps that show that everything runs."
  config.model.fields.update(channels=4, num_objects=3, unroll_objects=1)
  for stage in config.stages.values():
    stage.update(size=(32, 48), batch_size=2, num_steps=10, steps_per_epoch=10)
  base.every_few_steps(config)
  config.evaluation.update(size=(32, 48), max_objects=2, num_videos=3, num_previews=1)
  return config


def paper(extra=1):
  """The leaves of CVPPP A1, 106 x 100, one picture a step.

  The paper begins with two leaves and lets their number grow; it does not say when.

  Args:
    extra: predictions beyond the leaves: 1 in the program, 2 on the slides.
  """
  config = base.get_config()
  config.title = "RIS, the paper's recipe on leaves."
  config.model.name = "ris"
  config.model.fields.update(num_objects=22, score="flat", size=(106, 100))
  epoch = 102
  for count in (2, 5, 10, 22):
    stage = base.ris_stage(
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
    stage.sources.leaves = 1.0
    config.stages[f"objects{count:02d}"] = stage
  config.evaluation.update(dataset="leaves", num_videos=0)
  return config


def paper_people():
  """Persons of Pascal VOC 2012 with SBD, 500 x 500, one picture a step.

  The FCN-8s begins with what `vosjax convert vgg` wrote, given by
  --config.backbone_checkpoint=DIR; its VGG is not trained. The program's numbers are
  its rate (1e-5, later 1e-6), its rotations and its one prediction beyond the persons;
  how long it trains, and when more persons are decoded, is ours. It puts pictures onto
  500 x 500 pixels with a border, where these are stretched.
  """
  config = base.get_config()
  config.title = "RIS on the persons of Pascal VOC, from a VGG-16 of ImageNet."
  config.model.name = "ris"
  config.model.fields.update(
    extractor="fcn8", channels=100, num_objects=20, score="pool", size=(500, 500)
  )
  config.data.voc_classes = ("person",)
  epoch = 4000  # about so many of the pictures show a person
  for count, rate in ((2, 1e-5), (5, 1e-5), (20, 1e-6)):
    stage = base.ris_stage(
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
    stage.sources.voc = 1.0
    config.stages[f"objects{count:02d}"] = stage
  config.evaluation.update(dataset="voc", num_videos=0)
  return config
