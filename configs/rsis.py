"""RSIS: the embedded default and the paper's recipes.

Source: Salvador et al., arXiv 1712.00617, and the released program.
"""

import functools
import pathlib
import runpy
import types

# Loaded by path: a configuration works from any current folder.
_BASE = pathlib.Path(__file__).with_name("base.py")
base = types.SimpleNamespace(**runpy.run_path(str(_BASE)))

CLASS, STOP = 0.1, 0.5  # weights of the released program, once a loss is on


def get_config(variant=""):
  """The configuration of a variant; "" is the embedded default."""
  recipes = {
    "": embedded,
    "smoke": smoke,
    "boxes": functools.partial(boxes, embedded),
    "paper": paper,
    "paper_boxes": functools.partial(boxes, paper),
    "paper_leaves": paper_leaves,
    "paper_cityscapes": paper_cityscapes,
  }
  return base.choose(recipes, variant, "configs/rsis.py")


def embedded():
  """Small enough for two CPU cores and a few minutes, with nothing downloaded."""
  config = base.get_config()
  config.title = (
    "RSIS, the embedded default: a small network on procedural pictures, minutes on "
    "a CPU. The paper's recipe: --config=configs/rsis.py:paper"
  )
  config.model.name = "rsis"
  config.model.fields.update(
    backbone="resnet18",
    width=16,
    features=64,
    num_objects=4,
    num_classes=5,
    unroll_objects=4,
    balanced_init=True,
  )
  config.data.update(
    synthvos_videos=2000,
    synthvos_in_memory=True,
    synthvos_objects=3,
    synthvos_object_size=1.2,
    synthvos_clutter=0.0,
    synthvos_plain=1.0,
    synthvos_void=0.0,
  )
  # Higher rates, batches of eight or long gradients often leave all objects in one.
  common = {
    "size": (96, 128),
    "batch_size": 4,
    "steps_per_epoch": 200,
    "learning_rate": 1e-3,
    "encoder_learning_rate": 1e-3,
    "lr_decay": 0.95,
    "max_grad_norm": 1.0,
    "max_instances": 3,
    "affine": False,
  }
  config.stages.stage1_masks = base.rsis_stage(num_steps=1000, num_objects=2, **common)
  config.stages.stage2_all = base.rsis_stage(num_steps=2400, **common)
  # The released weight of the classes teaches none in so few steps.
  config.stages.stage2_all.losses.update({"classes": 1.0, "stop": STOP})
  for stage in config.stages.values():
    stage.sources.synthvos = 1.0
  config.checkpoint.every_steps = 500
  config.log.every_steps = 10
  config.validation.update(every_steps=500, num_videos=20)
  config.evaluation.update(
    size=(96, 128), length=1, max_objects=3, num_videos=100, num_previews=12
  )
  return config


def smoke():
  """Seconds long: every part of a run, on next to nothing."""
  config = embedded()
  config.title = "RSIS, smoke test: a few tiny steps that show that everything runs."
  config.model.fields.update(width=4, features=16, num_objects=3, unroll_objects=1)
  for stage in config.stages.values():
    stage.update(size=(32, 48), batch_size=2, num_steps=10, steps_per_epoch=10)
  base.every_few_steps(config)
  config.evaluation.update(size=(32, 48), max_objects=2, num_videos=3, num_previews=1)
  return config


def boxes(recipe):
  """With the box head and loss of the slides, which the released program lacks.

  The slides give no weight for the loss; here it has the released one of the classes.
  """
  config = recipe()
  config.title = f"RSIS with boxes; otherwise: {config.title}"
  config.model.fields.box_head = True
  for stage in config.stages.values():
    stage.losses.box = CLASS
  return config


def _paper(title, **fields):
  config = base.get_config()
  config.title = title
  config.model.name = "rsis"
  config.model.fields.update(fields)
  config.evaluation.num_videos = 0
  return config


def paper():
  """Pascal VOC 2012 with SBD, 256 x 256.

  The released program adds the class loss after 20 epochs, or once 15 of them brought
  nothing on its validation part, and the stop loss after 15 more of these. Here both
  come after fixed numbers of epochs, each with a fresh optimizer.
  """
  config = _paper("RSIS, the paper's recipe on Pascal VOC.", size=(256, 256))
  epoch = 10582 // 28
  both = {"classes": CLASS, "stop": STOP}
  losses = {"stage1": {}, "stage2": {"classes": CLASS}, "stage3": both}
  for name, weights in losses.items():
    stage = base.rsis_stage(num_steps=20 * epoch, steps_per_epoch=epoch)
    stage.sources.voc = 1.0
    stage.losses.update(weights)
    config.stages[name] = stage
  config.evaluation.dataset = "voc"
  return config


def paper_leaves():
  """The leaves of CVPPP A1, 400 x 400: no classes, and at first two leaves."""
  config = _paper(
    "RSIS, the paper's recipe on leaves.",
    size=(400, 400),
    num_objects=20,
    num_classes=2,
  )
  _curriculum(
    config,
    images=102,
    batch_size=20,
    size=(400, 400),
    source="leaves",
    patience=30,
    first=30,
    class_after=None,
    stop_after=500,
    stop=0.1,
    zoom=(0.7, 1.0),
  )
  return config


def paper_cityscapes():
  """The eight classes of instances of Cityscapes, 256 x 512."""
  config = _paper(
    "RSIS, the paper's recipe on Cityscapes.",
    size=(256, 512),
    num_objects=20,
    num_classes=9,
  )
  _curriculum(
    config,
    images=2975,
    batch_size=32,
    size=(256, 512),
    source="cityscapes",
    patience=25,
    first=20,
    class_after=60,
    stop_after=100,
    stop=STOP,
    zoom=(1.0, 1.0),
  )
  config.stages.objects02.encoder_learning_rate = 0.0  # trained from epoch 20 on
  return config


def _curriculum(
  config,
  *,
  images,
  batch_size,
  size,
  source,
  patience,
  first,
  class_after,
  stop_after,
  stop,
  zoom,
):
  """A stage for each number of objects from 2 on.

  The released program decodes one object more whenever `patience` epochs brought
  nothing on its validation part; here it does so whenever they are over. The stop loss
  also waits for more than five objects.
  """
  epoch, begun = images // batch_size, 0
  most = config.model.fields.num_objects
  for count in range(2, most + 1):
    epochs = first if count == 2 else patience
    stage = base.rsis_stage(
      size=size,
      batch_size=batch_size,
      num_steps=epochs * epoch,
      steps_per_epoch=epoch,
      num_objects=count,
      zoom=zoom,
    )
    stage.sources[source] = 1.0
    if class_after is not None and begun >= class_after:
      stage.losses.classes = CLASS
    if (begun >= stop_after and count > 5) or count == most:
      stage.losses.stop = stop
    config.stages[f"objects{count:02d}"] = stage
    begun += epochs
  config.evaluation.dataset = source
