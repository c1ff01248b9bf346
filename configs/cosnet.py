"""COSNet: the embedded default, the paper's recipe and every row of its tables.

Source: Lu et al., CVPR 2019, and the released program.
"""

import functools
import pathlib
import runpy
import types

# Loaded by path: a configuration works from any current folder.
_BASE = pathlib.Path(__file__).with_name("base.py")
base = types.SimpleNamespace(**runpy.run_path(str(_BASE)))

# Table 1, and the gate: other networks.
NETWORKS = {
  "none": {"attention": "none"},
  "vanilla": {"attention": "vanilla"},
  "symmetric": {"attention": "symmetric"},
  "channelwise": {"attention": "channelwise"},
  "no_gate": {"gated": False},
}
# Tables 1 and 2: the same network, scored otherwise. A trained one is scored anew with
#   --config=configs/cosnet.py:NAME --config.mode=evaluate \
#   --config.evaluation.checkpoint=RUN/model
SCORINGS = {
  "summary_fusion": {"fusion": "summary"},
  "prediction_fusion": {"fusion": "prediction"},
  "uniform": {"reference_policy": "uniform"},
  "random": {"reference_policy": "random"},
  "consecutive": {"reference_policy": "consecutive"},
  **{f"references_{n}": {"references": n} for n in (0, 1, 2, 5, 7, "all")},
}
# Whole benchmarks: a trained or converted network is scored on all of their videos, by
# their own protocols. FOLDER is what datasets/build.py or datasets/export.py wrote, or
# the folder of DAVIS as it is.
#   --config=configs/cosnet.py:NAME --config.data.root=FOLDER \
#   --config.evaluation.checkpoint=weights/cosnet
BENCHMARKS = {
  "davis2016": {"dataset": "davis", "subset": "val"},
  "fbms": {"dataset": "fbms", "subset": "test"},
  "segtrack_v2": {"dataset": "segtrack_v2", "subset": "test"},
  "youtube_objects": {"dataset": "youtube_objects", "subset": "test"},
}


def get_config(variant=""):
  """The configuration of a variant; "" is the embedded default."""
  recipes = {
    "": embedded,
    "smoke": smoke,
    "davis_folder": davis_folder,
    "paper": paper,
    "paper_official": paper_official,
    "paper_group": paper_group,
  }
  for name, options in BENCHMARKS.items():
    recipes[name] = functools.partial(benchmark, name, options)
  for prefix, recipe in {"": embedded, "paper_": paper}.items():
    for name, fields in NETWORKS.items():
      recipes[prefix + name] = functools.partial(network, recipe, name, fields)
    for name, options in SCORINGS.items():
      recipes[prefix + name] = functools.partial(scored, recipe, name, options)
  return base.choose(recipes, variant, "configs/cosnet.py")


def embedded():
  """Small enough for two CPU cores and a few minutes, with nothing downloaded.

  What a single frame does not tell is which of its things belong to the video: in
  each frame there are others that look alike but come and go.
  """
  config = base.get_config()
  config.title = (
    "COSNet, the embedded default: a small network on procedural SynthVOS, minutes "
    "on a CPU. The paper's recipe: --config=configs/cosnet.py:paper"
  )
  size = (80, 128)
  config.model.name = "cosnet"
  # The symmetric form begins as a plain comparison of features, which is what it takes
  # to find things again; a free matrix would have to learn that first.
  config.model.fields.update(
    backbone="resnet18",
    width=12,
    features=64,
    branch_features=32,
    rates=(2, 4, 6),
    size=size,
    attention="symmetric",
  )
  config.data.update(
    synthvos_videos=600,
    synthvos_length=12,
    synthvos_in_memory=True,
    synthvos_objects=1,
    synthvos_object_size=1.4,
    synthvos_clutter=0.0,
    synthvos_strangers=1,
    synthvos_plain=1.0,
    synthvos_kinds=("blob", "creature"),
    synthvos_void=0.0,
  )
  config.stages.main = base.cosnet_stage(
    size=size,
    batch_size=6,
    num_steps=2400,
    steps_per_epoch=400,
    learning_rate=0.2,
    pair_rates=(1.0, 1.0),
    bce="balanced",
  )
  config.stages.main.losses.still = 1.0
  config.stages.main.sources.synthvos = 1.0
  config.checkpoint.every_steps = 600
  config.log.every_steps = 30
  config.log.curves_every_steps = 1200
  config.validation.every_steps = 1200
  config.evaluation.update(size=size, max_objects=1, compare_references=(0, 1))
  return config


def smoke():
  """Seconds long: every part of a run, on next to nothing."""
  config = embedded()
  config.title = "COSNet, smoke test: a few tiny steps that show that everything runs."
  size = (32, 48)
  config.model.fields.update(
    width=4, features=16, branch_features=8, rates=(1, 2), size=size
  )
  config.data.update(synthvos_videos=8, synthvos_length=4)
  config.stages.main.update(size=size, batch_size=2, num_steps=20, steps_per_epoch=10)
  base.every_few_steps(config)
  config.evaluation.update(size=size, length=5, num_videos=2, num_previews=1)
  return config


def davis_folder():
  """The embedded network on real videos beside the procedural ones.

  Trains on ImageSets/2016/train.txt of a folder in DAVIS layout and scores its
  val.txt by the protocol of DAVIS 2016:

    python -m vosjax.main --config=configs/cosnet.py:davis_folder \
        --config.data.root=DAVIS_240p --workdir=runs/cosnet_davis16

  data.year and data.resolution name other lists and sizes.
  """
  config = embedded()
  config.title = "COSNet, a small network on a DAVIS-layout folder."
  size = (120, 208)
  config.model.fields.update(size=size)
  config.data.update(year="2016", resolution="240p", synthvos_plain=0.5)
  config.stages.main.update(
    size=size, batch_size=4, num_steps=1500, steps_per_epoch=250
  )
  config.stages.main.sources.update(synthvos=0.3, davis=0.7)
  config.validation.every_steps = 1500
  config.evaluation.update(dataset="davis", num_videos=0, compare_references=(0, 1, 2))
  return config


def paper():
  """The released program's numbers, without its accidents.

  An epoch shows each of the 2079 frames of DAVIS 2016 once as a target: 130 steps of
  16, of which every third is on stills. The program starts from a DeepLabv3, here
  --config.backbone_checkpoint=DIR of what `vosjax convert deeplab` wrote.
  """
  config = base.get_config()
  config.title = "COSNet, the paper's recipe on DAVIS 2016, MSRA10K and DUT-OMRON."
  config.model.name = "cosnet"
  config.data.year = "2016"
  config.stages.main = base.cosnet_stage(num_steps=60 * 130, steps_per_epoch=130)
  config.stages.main.sources.update(davis=1.0, msra10k=10_000.0, dut_omron=5168.0)
  config.evaluation.update(dataset="davis", num_videos=0, compare_references=(0, 1, 2))
  return config


def paper_official():
  """The released pair program with its accidents; they are listed in the recipe."""
  config = paper()
  config.title = "COSNet, exactly as the released program trains."
  config.stages.main.official = True
  config.evaluation.update(fusion="prediction", reference_policy="random")
  return config


def paper_group():
  """The group form: a target with two references, in smaller crops."""
  config = paper()
  config.title = "COSNet, the group form on DAVIS 2016, MSRA10K and DUT-OMRON."
  config.model.fields.fusion = "joint"
  config.stages.main.update(size=(378, 378), clip_length=3)
  config.evaluation.references = 2
  config.evaluation.compare_references = (0, 1)
  return config


def network(recipe, name, fields):
  """A recipe with another network."""
  config = recipe()
  config.title = f"COSNet, {name}; otherwise: {config.title}"
  config.model.fields.update(fields)
  if name == "none":  # references are not looked at
    config.evaluation.update(references=0, compare_references=())
  return config


def scored(recipe, name, options):
  """A recipe that is scored otherwise."""
  config = recipe()
  config.title = f"COSNet, scored with {name}; otherwise: {config.title}"
  config.evaluation.update(options)
  return config


def benchmark(name, options):
  """The published network on a whole benchmark; nothing is trained."""
  config = paper()
  config.title = f"COSNet, scored on all of {name}."
  config.mode = "evaluate"
  config.evaluation.update(options, compare_references=())
  return config
