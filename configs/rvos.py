"""RVOS: the embedded default, the paper's recipes and every row of its tables.

Source: Ventura et al., CVPR 2019, and the released program.
"""

import functools
import pathlib
import runpy
import types

# Loaded by path: a configuration works from any current folder.
_BASE = pathlib.Path(__file__).with_name("base.py")
base = types.SimpleNamespace(**runpy.run_path(str(_BASE)))

# Rows of the tables -> fields of the model, and how many stages of one-shot training:
# with true previous masks, then with inferred ones. "s" was trained on single frames.
ROWS = {
  "s": ({"temporal": False}, 0),
  "t": ({"spatial": False}, 0),
  "st": ({}, 0),
  "mask_s": ({"one_shot": True, "temporal": False}, 1),
  "mask_t": ({"one_shot": True, "spatial": False}, 1),
  "mask_st": ({"one_shot": True}, 1),
  "mask_st_plus": ({"one_shot": True}, 2),
}


def get_config(variant=""):
  """The configuration of a variant; "" is the embedded default."""
  recipes = {
    "": functools.partial(embedded, "mask_st_plus"),
    "smoke": smoke,
    "davis_folder": davis_folder,
    "zero_shot": functools.partial(embedded, "st"),
    "paper": functools.partial(paper, "st"),
    "paper_one_shot": functools.partial(paper, "mask_st_plus"),
    "paper_davis": functools.partial(paper_davis, "st"),
    "paper_davis_one_shot": functools.partial(paper_davis, "mask_st"),
  }
  for row in ROWS:
    recipes[row] = functools.partial(embedded, row)
    recipes[f"paper_{row}"] = functools.partial(paper, row)
  return base.choose(recipes, variant, "configs/rvos.py")


def _row(config, row, stage, stages):
  """Fields and stages of a row, each stage as `stage` says and for its own length."""
  fields, num_stages = ROWS[row]
  config.model.name = "rvos"
  config.model.fields.update(fields)
  for i, num_steps in enumerate(stages[: max(1, num_stages)]):
    options = base.rvos_stage(**stage | {"num_steps": num_steps})
    options.previous = ("truth", "inferred")[i]
    if row == "s":
      options.clip_length = 1
    config.stages[f"stage{i + 1}"] = options
  return config


def embedded(row):
  """Small enough for two CPU cores and a few minutes, with nothing downloaded."""
  config = base.get_config()
  config.title = (
    f"RVOS ({row}), embedded: a small network on procedural SynthVOS, minutes on a "
    "CPU. The paper's recipe: --config=configs/rvos.py:paper or :paper_one_shot"
  )
  config.model.fields.update(
    backbone="resnet18", width=16, features=64, num_objects=3, balanced_init=True
  )
  # In small frames, objects are drawn larger, as for A-GAME (configs/agame.py). Where
  # no mask says what an object is, it stands before a wall, and nothing else does.
  one_shot = ROWS[row][0].get("one_shot", False)
  config.data.update(
    synthvos_videos=700,
    synthvos_in_memory=True,
    synthvos_object_size=1.7,
    synthvos_clutter=0.3 if one_shot else 0.0,
    synthvos_plain=0.0 if one_shot else 1.0,
  )
  stage = {
    "size": (96, 160),
    "batch_size": 2,
    "clip_length": 4,
    "steps_per_epoch": 100,
    "learning_rate": 2.5e-3,
    "encoder_learning_rate": 2.5e-3,
    "lr_decay": 0.8,
    "weight_decay": 1e-6,
    "affine": False,
    "max_grad_norm": 1.0,
  }
  _row(config, row, stage, (300, 1000) if ROWS[row][1] == 2 else (1900,))
  if "stage2" in config.stages:  # true masks teach to copy, time alone to follow
    config.stages.stage2.clip_length = 6
  for stage in config.stages.values():
    stage.sources.synthvos = 1.0
  config.checkpoint.every_steps = 200
  config.log.every_steps = 10
  config.log.curves_every_steps = 500
  config.validation.every_steps = 600
  config.evaluation.update(size=(96, 160), max_objects=3)
  return config


def smoke():
  """Seconds long: every part of a run, on next to nothing."""
  config = embedded("mask_st_plus")
  config.title = "RVOS, smoke test: a few tiny steps that show that everything runs."
  config.model.fields.update(width=4, features=16, num_objects=2)
  config.data.synthvos_objects = 2
  for stage in config.stages.values():
    stage.update(
      size=(32, 48),
      batch_size=2,
      clip_length=3,
      num_steps=10,
      steps_per_epoch=10,
      unroll_steps=1,
    )
  base.every_few_steps(config)
  config.evaluation.update(
    size=(32, 48), length=5, max_objects=2, num_videos=2, num_previews=1
  )
  return config


def davis_folder():
  """The embedded one-shot network at 240 rows, on real videos beside procedural ones.

  Goes on from the embedded default's model, with ImageSets/2016/train.txt of a folder
  in DAVIS layout, and scores its val.txt:

    python -m vosjax.main --config=configs/rvos.py:davis_folder \
        --config.data.root=DAVIS_240p --config.model_checkpoint=runs/rvos/model \
        --workdir=runs/rvos16

  data.year and data.resolution name other lists and sizes; a 2017 list keeps objects
  apart. From noise, give both stages more steps and the default's learning rates.
  """
  config = embedded("mask_st_plus")
  config.title = "RVOS, a small one-shot network on a DAVIS-layout folder, at 240 rows."
  config.data.update(year="2016", resolution="240p")
  for stage in config.stages.values():
    stage.update(
      size=(240, 432),
      batch_size=2,
      clip_length=4,
      num_steps=300,
      learning_rate=2e-4,
      encoder_learning_rate=2e-4,
      affine=True,
    )
    stage.sources.update(synthvos=0.5, davis=0.5)
  # True masks teach to copy, which it does already.
  config.stages.stage1.update(num_steps=20, steps_per_epoch=20)
  config.evaluation.update(dataset="davis", num_videos=0)
  return config


def _paper(row, size, steps_per_epoch, epochs):
  config = base.get_config()
  stage = {
    "size": size,
    "batch_size": 4,
    "clip_length": 5,
    "learning_rate": 1e-3,
    "encoder_learning_rate": 1e-6,
    "weight_decay": 1e-6,
    "steps_per_epoch": steps_per_epoch,
  }
  _row(config, row, stage, [steps_per_epoch * n for n in epochs])
  config.evaluation.update(dataset="davis", num_videos=0)
  return config


def paper(row):
  """The released program's run on YouTube-VOS, of which it trains on 80 %.

  data.youtube_vos_subset may name a text file with these videos. About 2776 of them
  make some 13900 clips of 5 annotated frames. Zero-shot 50 epochs; one-shot 20 with
  true previous masks and, in "mask_st_plus", 20 more with inferred ones, which begin
  with the best checkpoint of the first stage.
  """
  epochs = (20, 20) if ROWS[row][1] else (50,)
  config = _paper(row, (256, 448), 13_900 // 4, epochs)
  config.title = f"RVOS ({row}), the paper's recipe on YouTube-VOS."
  config.data.youtube_vos_size = ()
  if "stage2" in config.stages:
    config.stages.stage2.from_best = True
  for stage in config.stages.values():
    stage.sources.youtube_vos = 1.0
  return config


def paper_davis(row):
  """The released program's run on DAVIS 2017: from the start, or fine-tuning.

  To fine-tune, give the model that was trained on YouTube-VOS, or converted, by
  --config.model_checkpoint=DIR. Zero-shot 10 epochs; one-shot 20, with inferred
  previous masks. The 60 videos make some 820 clips.
  """
  config = _paper(row, (240, 427), 820 // 4, (20,) if ROWS[row][1] else (10,))
  config.title = f"RVOS ({row}) on DAVIS 2017; model_checkpoint is what to fine-tune."
  for stage in config.stages.values():
    stage.sources.davis = 1.0
    stage.previous = "inferred"
  return config
