"""Every key of a configuration, its unit and its default; the only place for defaults.

Configurations change values of `get_config()` and add stages made by their model's
`..._stage()`. They are locked: a key that is not here does not exist.
"""

from typing import Any

from ml_collections import ConfigDict, FieldReference


def get_config() -> ConfigDict:
  """A complete configuration without stages."""
  config = ConfigDict()
  config.title = ""  # first line that a run prints
  # Or, with a trained model: "evaluate" scores it on `evaluation`, "predict" writes
  # masks of `evaluation` for a server, to WORKDIR/predictions. "benchmark" measures
  # how fast each stage trains, on drawn clips, and trains nothing.
  config.mode = "train"
  config.seed = 0  # of initial weights, batches and whatever else is random

  config.model = ConfigDict()
  config.model.name = ""  # see vosjax.models.MODELS
  config.model.fields = ConfigDict()  # of the model's class; absent ones: its defaults
  config.model.fields.dtype = "float32"  # of convolutions; "bfloat16": mixed precision
  config.model.fields.remat = False  # recompute blocks of the backbone backwards
  # Folder that `vosjax convert resnet` wrote, or `deeplab` (COSNet); "": the backbone
  # starts from noise.
  config.backbone_checkpoint = ""
  # Folder of the whole model to start from, such as `vosjax convert` writes; "": none.
  config.model_checkpoint = ""

  config.data = ConfigDict()
  # Folder of a DAVIS-layout set; of FBMS or YouTube-Objects to score COSNet on them.
  config.data.root = "data"
  config.data.youtube_vos = "data/youtube_vos"  # folder of that set
  config.data.msra10k = "data/msra10k"  # folder of MSRA10K's stills: Imgs
  config.data.dut_omron = "data/dut_omron"  # folder of DUT-OMRON's two folders
  config.data.voc = "data/VOC2012"  # folder of PASCAL VOC 2012
  config.data.voc_classes = ()  # of its instances, such as "person"; (): all
  config.data.sbd = "data/benchmark_RELEASE/dataset"  # folder of SBD
  config.data.leaves = "data/CVPPP2017_LSC_training/training/A1"  # folder of the plants
  config.data.cityscapes = "data/cityscapes"  # folder of leftImg8bit and gtFine
  config.data.youtube_vos_subset = "train"  # its list to train on
  config.data.youtube_vos_size = (720, 1280)  # other videos of it are passed over
  config.data.synthvos = ""  # folder of prepared videos; absent: procedural ones
  config.data.year = "2017"  # ImageSets/YEAR holds the subset lists
  config.data.resolution = "480p"  # JPEGImages/RESOLUTION, Annotations/RESOLUTION
  config.data.train_subset = "train"
  config.data.num_workers = 0  # decoding processes; 0: a thread of this one
  config.data.min_object_pixels = 100  # at full size, for a frame to count as a start
  # At training size, for an object to be chosen; by source.
  config.data.min_chosen_pixels = ConfigDict(
    {"synthvos": 25, "davis": 25, "youtube_vos": 10}
  )
  config.data.synthvos_videos = 100_000  # procedural videos; they cost no disk
  config.data.synthvos_objects = 3  # at most, in a training video
  config.data.synthvos_in_memory = False  # draw each video once and keep it
  config.data.synthvos_object_size = 1.0  # factor on objects' radii, scored ones too
  config.data.synthvos_clutter = 1.0  # share of videos with distractors, occluders
  config.data.synthvos_kinds = ("blob", "creature", "vehicle", "rod")  # of objects
  config.data.synthvos_camouflage = 0.35  # share of objects in background colours
  # Factor on all motion in training videos. A short clip then moves as a longer one.
  config.data.synthvos_speed = 1.0
  config.data.synthvos_strangers = 0  # things that look like objects but come and go
  config.data.synthvos_length = 0  # frames of a training video; 0: those of a clip
  config.data.synthvos_plain = 0.0  # share of videos in front of a bright wall
  config.data.synthvos_void = 0.5  # share of videos whose mixed pixels are void

  config.stages = ConfigDict()  # name -> ..._stage(); run in the order of names

  config.checkpoint = ConfigDict()
  config.checkpoint.every_steps = 1000
  config.checkpoint.keep = 2  # latest ones; the best one by validation stays, too

  config.log = ConfigDict()
  config.log.every_steps = 50  # one line of metrics.jsonl; values are means
  config.log.curves_every_steps = 1000

  config.validation = ConfigDict()  # J&F on a few unseen videos, picks the best
  config.validation.every_steps = 5000
  config.validation.num_videos = 2

  config.evaluation = ConfigDict()
  # Or "davis", "fbms", "segtrack_v2", "youtube_objects", "youtube_vos", "voc",
  # "leaves", "cityscapes": the folder and the protocol of each stand in
  # vosjax/train/scoring/datasets.py.
  config.evaluation.dataset = "synthvos"
  # List or split of the set; of YouTube-VOS a folder such as "valid", or the path of a
  # text file with the names of videos.
  config.evaluation.subset = "val"
  # Folder of the model to score, as `vosjax convert` writes it; "": WORKDIR/model.
  config.evaluation.checkpoint = ""
  # RVOS, zero-shot: slots get the ids of the objects that they meet first, as in the
  # released program; False: DAVIS 2017's unsupervised protocol, over whole videos. To
  # predict videos without any annotation, ids are those of the slots either way.
  config.evaluation.match_first_frame = True
  config.evaluation.num_videos = 8  # to score at most; 0: all; all are predicted
  config.evaluation.size = (128, 224)  # rows, columns, for "synthvos"
  config.evaluation.length = 24  # frames, for "synthvos"
  config.evaluation.max_objects = 5  # in a video, for "synthvos"
  # Of models that see other frames beside the one they segment (COSNet).
  # How many, 0 to 7, or "all".
  config.evaluation.references = FieldReference(5, field_type=object)
  config.evaluation.reference_policy = "uniform"  # or "random", "consecutive"
  config.evaluation.fusion = ""  # of references, see vosjax.models.COSNet; "": its own
  config.evaluation.compare_references = ()  # numbers to score beside
  config.evaluation.num_previews = 4  # videos shown in preview/
  return config


def _stage(changes: dict[str, Any], **own: Any) -> ConfigDict:
  """A stage of training: what all models have, `own` keys of one, and `changes`."""
  options = ConfigDict()
  options.size = (240, 432)  # rows, columns
  options.batch_size = 4  # clips, over all devices
  options.clip_length = 8  # frames
  options.num_steps = 1000  # updates
  options.steps_per_epoch = 1000  # updates; what falls once an epoch counts in these
  # Begin with what the best checkpoint by validation of the stages before had learnt;
  # otherwise, or where none was scored, with what their last step had.
  options.from_best = False
  options.learning_rate = 1e-4
  options.weight_decay = 0.0  # added to the gradient
  # Longer gradients are shortened to it; 0: none are, as in all released programs.
  # Through time, from noise, a few long ones can undo hundreds of steps.
  options.max_grad_norm = 0.0
  # Share of each source among the samples, see vosjax.train.feeds.
  options.sources = ConfigDict({"synthvos": 0.0, "davis": 0.0, "youtube_vos": 0.0})
  options.replacement = False  # a video may come twice within a pass over the data
  options.samples_per_pass = 0  # clips; 0: until the first source runs out
  options.update(own)
  options.lock()
  options.update(changes)
  return options


def agame_stage(**changes: Any) -> ConfigDict:
  """A stage of A-GAME's training, with `changes` to its defaults."""
  return _stage(
    changes,
    lr_decay=1.0,  # factor on the learning rate once an epoch
    losses=ConfigDict({"final": 1.0, "coarse": 1.0}),  # weights
    flip=True,  # left-right, half of the clips
    zoom=False,  # slowly into half of the clips
    # BatchNorm as at test time: by running statistics, which stay as they are. Those
    # of one or two small clips are too rough a guess to learn with.
    frozen_batch_stats=False,
    remat=False,  # recompute time steps in the backward pass
    # Time steps per iteration of the scan. 0: all of them on CPU, which is never
    # slower there; 1 elsewhere, which compiles faster.
    unroll_steps=0,
  )


def rvos_stage(**changes: Any) -> ConfigDict:
  """A stage of RVOS's training, with `changes` to its defaults."""
  return _stage(
    changes,
    encoder_learning_rate=1e-6,  # of the backbone; learning_rate is of all the rest
    lr_decay=1.0,  # factor on both learning rates once an epoch
    # What a one-shot model sees of the frame before: the "truth", or what it
    # "inferred" itself.
    previous="truth",
    # Do what the released program does by accident: repeated updates of the backbone
    # (see vosjax/train/optimizers/two_adams.py), objects counted frame by frame under
    # unmatched numbers, void taken for background (see .../rvos.py).
    official=False,
    flip=True,  # left-right, half of the clips
    affine=True,  # rotate, move, shear and zoom whole clips
    remat=False,  # recompute frames in the backward pass
    # Frames and objects per iteration of their scans. 0: all of them on CPU, where
    # the gradient takes a fifth less time then (120 ms for 147), 1 elsewhere.
    unroll_steps=0,
  )


def _instance_stage(changes, **own):
  """A stage on single pictures with instances (RSIS, RIS)."""
  return _stage(
    changes,
    size=(256, 256),
    clip_length=1,
    sources=ConfigDict({"voc": 0.0, "leaves": 0.0, "cityscapes": 0.0}),
    lr_decay=1.0,  # factor on learning rates once an epoch
    num_objects=0,  # that are decoded; 0: as many as the model has
    max_instances=20,  # of a picture that count, the largest ones
    min_instance_pixels=1,  # at training size
    flip=True,  # left-right, half of the pictures
    affine=True,  # rotate, move, shear and zoom
    rotation=10.0,  # degrees, at most
    translation=0.1,  # share of rows and of columns, at most
    shear=0.1,  # degrees, at most
    zoom=(0.7, 1.4),  # factor on what is seen: above 1 shrinks
    **own,
  )


def rsis_stage(**changes: Any) -> ConfigDict:
  """A stage of RSIS's training, with `changes` to its defaults."""
  return _instance_stage(
    changes,
    batch_size=28,
    learning_rate=1e-3,  # of all but the backbone
    encoder_learning_rate=1e-6,  # of the backbone
    weight_decay=1e-6,
    # Weights; 0: not yet switched on.
    losses=ConfigDict({"mask": 1.0, "classes": 0.0, "box": 0.0, "stop": 0.0}),
    # Repeat updates of the backbone as the released program does by accident, see
    # vosjax/train/optimizers/two_adams.py.
    official=False,
  )


def ris_stage(**changes: Any) -> ConfigDict:
  """A stage of RIS's training, with `changes` to its defaults."""
  return _instance_stage(
    changes,
    batch_size=1,
    losses=ConfigDict({"score": 1.0}),  # weight beside the IoU
    extra_objects=2,  # predictions beyond the instances; the program for leaves: 1
  )


def cosnet_stage(**changes: Any) -> ConfigDict:
  """A stage of COSNet's training, with `changes` to its defaults.

  Stills are sources of their own (see vosjax.train.recipes.cosnet); without any, they
  are single frames of the videos.
  """
  return _stage(
    changes,
    size=(473, 473),
    batch_size=16,
    clip_length=2,  # a target and its references; more than one: the group form
    sources=ConfigDict({"msra10k": 0.0, "dut_omron": 0.0}),
    learning_rate=2.5e-4,  # at the beginning; falls to 0, half of it from epoch 6 on
    momentum=0.9,
    weight_decay=5e-4,
    pair_rates=(0.01, 10.0),  # factors for encoder and heads in steps on pairs
    bce="scaled",  # as released; "balanced": as in the paper
    losses=ConfigDict({"absolute": 0.8, "still": 0.1, "orthogonality": 1e-3}),
    augment=True,  # crop, change the scale and flip each frame of a pair
    # With all accidents of the released program, see vosjax.train.recipes.cosnet.
    official=False,
  )


def every_few_steps(config: ConfigDict) -> None:
  """Lets a run of twenty steps do all that a run does, for smoke tests."""
  config.checkpoint.every_steps = 10
  config.log.every_steps = 5
  config.log.curves_every_steps = 20
  config.validation.update(every_steps=20, num_videos=1)


def choose(variants: dict[str, Any], variant: str, file: str) -> ConfigDict:
  """The variant's configuration, locked; an unknown name lists the known ones."""
  if variant not in variants:
    raise ValueError(
      f"{file}: variant {variant!r} is unknown; known: "
      f"{', '.join(filter(None, variants))}."
    )
  config = variants[variant]()
  config.lock()
  return config
