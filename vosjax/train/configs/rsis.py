"""RSIS: the embedded default and the paper's recipes.

Source: Salvador et al., arXiv 1712.00617, and the released program.
"""

import dataclasses
import functools
from collections.abc import Callable

from ml_collections import ConfigDict

from vosjax.data import synthvos
from vosjax.models.backbones.stages import STAGES
from vosjax.train import config as base

CLASS, STOP = 0.1, 0.5  # weights in the released program, once a loss is switched on


def get_config(variant: str = "") -> ConfigDict:
  """The configuration of a variant; "" is the embedded default."""
  variants: base.Variants = {
    "": embedded,
    "smoke": smoke,
    "boxes": functools.partial(boxes, embedded),
    "paper": paper,
    "paper_boxes": functools.partial(boxes, paper),
    "paper_leaves": paper_leaves,
    "paper_cityscapes": paper_cityscapes,
  }
  return base.choose_variant(variants, variant, "rsis")


def embedded() -> ConfigDict:
  """Minutes on two CPU cores, from nothing but the installed package.

  The encoder has learnt on ImageNet and stays as it is; the rest is trained.
  """
  config = base.get_config()
  config.title = (
    "RSIS, the embedded default: a small network on real features and procedural "
    "images, minutes on a CPU. The paper's recipe: vosjax train rsis:paper"
  )
  base.set_model(
    config,
    "rsis",
    backbone="efficientnet_lite0",
    frozen_stages=STAGES,
    features=64,
    num_objects=4,
    num_classes=5,
    balanced_init=True,
    size=(192, 320),
  )
  config.backbone_checkpoint = "agame-lite"
  # Nothing but its instances may look like one.
  scenes = dataclasses.replace(synthvos.REAL, clutter=0.0, twins=0.0)
  config.data.synthvos.update(dataclasses.asdict(scenes))
  config.data.synthvos.update(num_videos=1000, in_memory=True)
  # Batches of eight or large gradients often merge all objects into one.
  common = {
    "size": (192, 320),
    "batch_size": 4,
    "steps_per_epoch": 50,
    "learning_rate": 2e-3,
    "lr_decay": 0.85,
    "max_grad_norm": 1.0,
    "max_instances": 3,
    "affine": False,
  }
  base.set_stages(
    config,
    masks=base.rsis_stage(num_steps=150, num_objects=2, **common),
    all=base.rsis_stage(num_steps=600, **common),
  )
  # With the released weight, classes are not learnt in so few steps.
  config.stages.all.losses.update({"classes": 1.0, "stop": STOP})
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
  config.title = "RSIS, smoke test: a few tiny steps that show that everything runs."
  base.set_smoke_network(config, frozen_stages=(), num_objects=3, size=None)
  for stage in config.stages.values():
    stage.update(size=(32, 48), batch_size=2, num_steps=10, steps_per_epoch=10)
  base.set_smoke_periods(config)
  config.evaluation.update(size=(32, 48), max_objects=2, num_videos=3, num_previews=1)
  return config


def boxes(recipe: Callable[[], ConfigDict]) -> ConfigDict:
  """With the box head and box loss of the slides, which the released program lacks.

  The slides give no weight for the loss; it is set to the released one of the classes.
  """
  config = recipe()
  config.title = f"RSIS with boxes; otherwise: {config.title}"
  config.model.fields.box_head = True
  for stage in config.stages.values():
    stage.losses.box = CLASS
  return config


def paper() -> ConfigDict:
  """Pascal VOC 2012 with SBD, 256 x 256.

  The released program adds the class loss after 20 epochs, or as soon as 15 of them
  bring no improvement on its validation part, and the stop loss after 15 more such
  epochs. Here both come after fixed numbers of epochs, each with a fresh optimizer.
  """
  config = base.get_config()
  config.title = "RSIS, the paper's recipe on Pascal VOC."
  base.set_model(config, "rsis", size=(256, 256))
  epoch = 10582 // 28
  losses = {
    "masks": {},
    "classes": {"classes": CLASS},
    "stops": {"classes": CLASS, "stop": STOP},
  }
  stages = {}
  for name, weights in losses.items():
    stage = base.rsis_stage(num_steps=20 * epoch, steps_per_epoch=epoch)
    stage.sources.voc = 1.0
    stage.losses.update(weights)
    stages[name] = stage
  base.set_stages(config, **stages)
  config.evaluation.update(dataset="voc", num_videos=0)
  return config


def paper_leaves() -> ConfigDict:
  """The leaves of CVPPP A1, 400 x 400: no classes, and two leaves at first."""
  config = base.get_config()
  config.title = "RSIS, the paper's recipe on leaves."
  base.set_model(config, "rsis", size=(400, 400), num_objects=20, num_classes=2)
  _set_curriculum(
    config,
    num_images=102,
    batch_size=20,
    source="leaves",
    patience=30,
    first=30,
    class_after=None,
    stop_after=500,
    stop=0.1,
    zoom=(0.7, 1.0),
  )
  return config


def paper_cityscapes() -> ConfigDict:
  """The eight classes of instances of Cityscapes, 256 x 512."""
  config = base.get_config()
  config.title = "RSIS, the paper's recipe on Cityscapes."
  base.set_model(config, "rsis", size=(256, 512), num_objects=20, num_classes=9)
  _set_curriculum(
    config,
    num_images=2975,
    batch_size=32,
    source="cityscapes",
    patience=25,
    first=20,
    class_after=60,
    stop_after=100,
    stop=STOP,
    zoom=(1.0, 1.0),
  )
  config.stages.objects2.encoder_learning_rate = 0.0  # trained from epoch 20 on
  return config


def _set_curriculum(
  config: ConfigDict,
  *,
  num_images: int,
  batch_size: int,
  source: str,
  patience: int,
  first: int,
  class_after: int | None,
  stop_after: int,
  stop: float,
  zoom: tuple[float, float],
) -> None:
  """One stage for each number of objects, starting with two.

  The released program decodes one more object whenever `patience` epochs bring no
  improvement on its validation part; here it does so after that many epochs in any
  case. The stop loss also waits until more than five objects are decoded.

  Args:
    config: with the model set; receives the stages and the dataset to score.
    num_images: in an epoch.
    batch_size: of all stages.
    source: of the images, and the dataset to score.
    patience: epochs of each stage but the first.
    first: epochs of the first stage.
    class_after: epochs after which the class loss is switched on; None: never.
    stop_after: epochs after which the stop loss is switched on.
    stop: weight of the stop loss.
    zoom: see `vosjax.train.config`.
  """
  steps_per_epoch, epochs_done, stages = num_images // batch_size, 0, {}
  most = config.model.fields.num_objects
  for count in range(2, most + 1):
    epochs = first if count == 2 else patience
    stage = base.rsis_stage(
      size=config.model.fields.size,
      batch_size=batch_size,
      num_steps=epochs * steps_per_epoch,
      steps_per_epoch=steps_per_epoch,
      num_objects=count,
      zoom=zoom,
    )
    stage.sources[source] = 1.0
    if class_after is not None and epochs_done >= class_after:
      stage.losses.classes = CLASS
    if (epochs_done >= stop_after and count > 5) or count == most:
      stage.losses.stop = stop
    stages[f"objects{count}"] = stage
    epochs_done += epochs
  base.set_stages(config, **stages)
  config.evaluation.update(dataset=source, num_videos=0)
