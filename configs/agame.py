"""A-GAME: the embedded default, the paper's recipes and every row of its ablations.

Source: Johnander et al., CVPR 2019, and the released program.
"""

import functools
import pathlib
import runpy
import types

# Loaded by path: a configuration works from any current folder.
_BASE = pathlib.Path(__file__).with_name("base.py")
base = types.SimpleNamespace(**runpy.run_path(str(_BASE)))

ABLATIONS = {
  "no_appearance": {"use_appearance": False},
  "no_mask_prop": {"use_propagation": False},
  "unimodal": {"residual": False},
  "no_update": {"update_rate": 0.0},
  "softmax": {"softmax_scores": True},
  "no_end_to_end": {"end_to_end": False},
}


def get_config(variant=""):
  """The configuration of a variant; "" is the embedded default."""
  recipes = {
    "": embedded,
    "smoke": smoke,
    "davis_folder": davis_folder,
    "imported": imported,
    "paper": paper,
    "paper_davis": paper_davis,
  }
  for name, fields in ABLATIONS.items():
    recipes[name] = functools.partial(ablation, embedded, name, fields)
    recipes[f"paper_{name}"] = functools.partial(ablation, paper, name, fields)
  return base.choose(recipes, variant, "configs/agame.py")


def embedded():
  """Small enough for two CPU cores and a few minutes, with nothing downloaded."""
  config = base.get_config()
  config.title = (
    "A-GAME, the embedded default: a small network on procedural SynthVOS, minutes "
    "on a CPU. The paper's recipe: --config=configs/agame.py:paper"
  )
  config.model.name = "agame"
  config.model.fields.update(
    backbone="resnet18",
    width=16,
    output_stride=8,
    features=64,
    fusion_features=32,
    frozen_stages=(),
    balanced_init=True,
  )
  # In small frames, finer features and larger objects: the network then sees as much
  # of them as in the paper's frames. Minutes of training bear little clutter.
  config.data.update(
    synthvos_videos=1200,
    synthvos_length=6,
    synthvos_in_memory=True,
    synthvos_object_size=1.7,
    synthvos_clutter=0.3,
    synthvos_camouflage=0.1,
    synthvos_speed=2.0,
    synthvos_void=0.0,
  )
  # Pairs of frames first: they settle the batch statistics, and hold none of the
  # network's own errors. Then many steps of one clip each, which teach more than few of
  # several do.
  config.stages.early = base.agame_stage(
    size=(96, 160),
    batch_size=4,
    clip_length=2,
    num_steps=400,
    steps_per_epoch=50,
    learning_rate=3e-3,
    lr_decay=0.85,
    weight_decay=1e-5,
    max_grad_norm=1.0,
  )
  config.stages.main = base.agame_stage(
    size=(96, 160),
    batch_size=1,
    clip_length=4,
    num_steps=2500,
    steps_per_epoch=250,
    learning_rate=1e-3,
    lr_decay=0.75,
    weight_decay=1e-5,
    max_grad_norm=1.0,
    frozen_batch_stats=True,
  )
  for stage in config.stages.values():
    stage.sources.synthvos = 1.0
  config.evaluation.size = (96, 160)
  config.checkpoint.every_steps = 500
  config.log.every_steps = 10
  config.log.curves_every_steps = 1000
  config.validation.every_steps = 1000
  return config


def smoke():
  """Seconds long: every part of a run, on next to nothing."""
  config = embedded()
  config.title = "A-GAME, smoke test: a few tiny steps that show that everything runs."
  config.model.fields.update(width=4, features=16, fusion_features=8)
  del config.stages.early
  config.stages.main.update(
    size=(32, 48),
    batch_size=2,
    clip_length=3,
    num_steps=20,
    steps_per_epoch=10,
    frozen_batch_stats=False,
  )
  base.every_few_steps(config)
  config.evaluation.update(
    size=(32, 48), length=5, max_objects=2, num_videos=2, num_previews=1
  )
  return config


def davis_folder():
  """The embedded network at 240 rows, on real videos beside the procedural ones.

  Trains on ImageSets/2016/train.txt of a folder in DAVIS layout and scores its
  val.txt by the protocol of DAVIS 2016:

    python -m vosjax.main --config=configs/agame.py:davis_folder \
        --config.data.root=DAVIS_240p --workdir=runs/davis16

  data.year and data.resolution name other lists and sizes; a 2017 list keeps objects
  apart and is scored by the protocol of 2017. It learns more in its time if it starts
  from the embedded default's model: --config.model_checkpoint=runs/agame/model
  """
  config = embedded()
  config.title = "A-GAME, a small network on a DAVIS-layout folder, at 240 rows."
  config.data.update(year="2016", resolution="240p")
  config.stages.early.update(num_steps=200, steps_per_epoch=50, learning_rate=1e-3)
  config.stages.main.update(
    num_steps=2000, steps_per_epoch=200, learning_rate=5e-4, zoom=True
  )
  for stage in config.stages.values():
    stage.size = (240, 432)
    stage.sources.update(synthvos=0.5, davis=0.5)
  config.validation.every_steps = 500
  config.evaluation.update(dataset="davis", num_videos=0)
  return config


def imported():
  """The network of `davis_folder`, on what `vosjax import-data` wrote."""
  config = davis_folder()
  config.title = "A-GAME, a small network on imported videos, at 240 rows."
  config.data.update(year="2017", resolution="480p")
  return config


def _paper(title):
  config = base.get_config()
  config.title = title
  config.model.name = "agame"
  config.evaluation.update(dataset="davis", num_videos=0)
  return config


def paper():
  """Both stages of the released program, with the paper's third data set beside.

  Epochs of alpha are 3231 sequences (60 of DAVIS 2017, 3171 of YouTube-VOS) in batches
  of 4. How many of the paper's samples came from SynthVOS is not published: here as
  many as from YouTube-VOS, from data.synthvos where that folder is and procedural
  otherwise. Beta has the two real sets alone, with equal shares.

  The authors set 300 of the 3471 videos of YouTube-VOS aside for validation. Which ones
  is not published (their list names all), so all are trained on here and DAVIS is
  validated on; --config.data.youtube_vos_subset=FILE trains on a list of your own.
  """
  config = _paper("A-GAME, the paper's recipe: half resolution, then full.")
  config.data.synthvos = "data/synthvos"
  epoch = 3231 // 4
  config.stages.alpha = base.agame_stage(
    num_steps=160 * epoch, steps_per_epoch=epoch, lr_decay=0.975, weight_decay=1e-5
  )
  config.stages.alpha.sources.update(davis=60.0, youtube_vos=3171.0, synthvos=3171.0)
  config.stages.beta = _beta(samples=2 * 60)
  config.stages.beta.sources.update(davis=1.0, youtube_vos=1.0)
  return config


def paper_davis():
  """The released program's run on DAVIS 2017 alone."""
  config = _paper("A-GAME, the paper's recipe on DAVIS 2017 alone.")
  epoch = 2600 // 4
  config.stages.alpha = base.agame_stage(
    num_steps=80 * epoch,
    steps_per_epoch=epoch,
    lr_decay=0.95,
    weight_decay=1e-5,
    zoom=True,
    replacement=True,
    samples_per_pass=2600,
  )
  config.stages.beta = _beta(samples=118)
  config.stages.beta.replacement = True
  for stage in config.stages.values():
    stage.sources.davis = 1.0
  return config


def _beta(samples):
  """Fine-tuning at full resolution, on longer clips and the final loss alone."""
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
    samples_per_pass=samples,
  )
  stage.losses.coarse = 0.0
  return stage


def ablation(recipe, name, fields):
  """A recipe with one part of the network changed."""
  config = recipe()
  config.title = f"A-GAME, ablation {name}; otherwise: {config.title}"
  config.model.fields.update(fields)
  return config
