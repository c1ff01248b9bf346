"""From configuration to videos: what stages train on."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from vosjax.data import pipeline
from vosjax.data.cache import InMemory
from vosjax.data.formats.davis import DavisFolder
from vosjax.data.formats.stills import StillsFolder
from vosjax.data.formats.youtube_vos import YoutubeVosFolder, youtube_vos_root
from vosjax.data.synthvos import SynthVos
from vosjax.data.video import Source
from vosjax.train import image_sets
from vosjax.train.recipe import Batches

# Names of lists of DAVIS and of folders of YouTube-VOS, as TFDS calls them.
_SPLITS = {
  "val": "validation",
  "valid": "validation",
  "test-dev": "test_dev",
  "test-challenge": "test_challenge",
}


def training_sources(config: ConfigDict, stage: ConfigDict) -> dict[str, Source]:
  """The stage's sources by name; those of weight 0 are not opened.

  Raises:
    ValueError: data are missing; says all that is, and how to get it.
  """
  makers = {
    "synthvos": lambda: synthvos(config, stage),
    "davis": lambda: davis(config, config.data.train_subset),
    "youtube_vos": lambda: youtube_vos(config),
    "msra10k": lambda: stills("msra10k", config.data.msra10k, "Imgs", "Imgs"),
    "dut_omron": lambda: stills(
      "dut_omron",
      config.data.dut_omron,
      "DUT-OMRON-image",
      "pixelwiseGT-new-PNG",
    ),
    "voc": lambda: image_sets.voc(config, "train"),
    "leaves": lambda: image_sets.leaves(config, "train"),
    "cityscapes": lambda: image_sets.cityscapes(config, "train"),
  }
  unknown = sorted(set(stage.sources) - set(makers))
  if unknown:
    raise ValueError(f"stage sources: {unknown} unknown; known: {sorted(makers)}.")
  opened, missing = {}, []
  for name in (name for name, weight in stage.sources.items() if weight):
    try:
      opened[name] = makers[name]()
    except (ValueError, OSError) as error:
      missing.append(f"{name}: {error}")
  if missing:
    raise ValueError(" ".join(f"{text.removesuffix('.')}." for text in missing))
  if not opened:
    raise ValueError("stage sources: every weight is 0; give one of them a share.")
  return opened


def synthvos(config: ConfigDict, stage: ConfigDict) -> Source:
  """Prepared videos where `data.synthvos` is a folder; otherwise procedural ones.

  A procedural video has the size of one clip and, by default, its length.
  """
  if config.data.synthvos and pathlib.Path(config.data.synthvos).expanduser().is_dir():
    return folder_source("data.synthvos", config.data.synthvos, "SynthVOS", "train")
  source = procedural(
    config,
    config.seed,
    config.data.synthvos_videos,
    size=tuple(stage.size),
    length=config.data.synthvos_length or stage.clip_length,
    max_objects=config.data.synthvos_objects,
    speed=config.data.synthvos_speed,
  )
  return InMemory(source) if config.data.synthvos_in_memory else source


def procedural(config: ConfigDict, *args: Any, **fields: Any) -> SynthVos:
  """Videos drawn as the configuration says, for training and scoring alike."""
  return SynthVos(
    *args,
    **fields,
    object_size=config.data.synthvos_object_size,
    clutter=config.data.synthvos_clutter,
    kinds=tuple(config.data.synthvos_kinds),
    plain=config.data.synthvos_plain,
    distractors=config.data.synthvos_strangers,
    camouflage=config.data.synthvos_camouflage,
    void=config.data.synthvos_void,
  )


def is_procedural(source: Source) -> bool:
  """Whether videos are drawn, not read from files."""
  return isinstance(source, SynthVos | InMemory)


def origin(source: Source) -> str:
  """Where the videos of a source come from."""
  return "procedural" if source.origin is None else f"from {source.origin}"


def batches(
  config: ConfigDict,
  stage: ConfigDict,
  sources: Mapping[str, Source],
  transforms: Callable[[str], Sequence[Any]],
) -> Batches:
  """How to get a stage's batches, from any of its steps on.

  Args:
    config: of the run.
    stage: its options.
    sources: by name.
    transforms: of a source's videos, given its name.
  """
  processes = jax.process_count()
  return functools.partial(
    _batches,
    sources=tuple(sources.values()),
    weights=tuple(stage.sources[name] for name in sources),
    transforms=[tuple(transforms(name)) for name in sources],
    batch_size=stage.batch_size // processes,
    seed=config.seed,
    num_steps=stage.num_steps,
    num_workers=config.data.num_workers,
    shard=(jax.process_index(), processes),
    replacement=stage.replacement,
    samples_per_epoch=stage.samples_per_pass or None,
  )


def _batches(start_step, *, sources, weights, transforms, **options):
  return pipeline.batches(
    sources, weights, transforms, start_step=start_step, **options
  )


def davis(config: ConfigDict, subset: str, **options: Any) -> Source:
  """A subset of the videos at `data.root`; options as of `DavisFolder`."""
  return folder_source(
    "data.root",
    config.data.root,
    f"DAVIS {config.data.year} ({config.data.resolution}) from "
    "https://davischallenge.org",
    subset,
    int(config.data.year),
    config.data.resolution,
    **options,
  )


def youtube_vos(config: ConfigDict) -> Source:
  """The training videos at `data.youtube_vos`, some frames of which are annotated."""
  path = pathlib.Path(config.data.youtube_vos).expanduser()
  subset = config.data.youtube_vos_subset
  if youtube_vos_root(path, subset):
    return YoutubeVosFolder(str(path), subset)
  return folder_source(
    "data.youtube_vos",
    config.data.youtube_vos,
    "YouTube-VOS 2018 from https://youtube-vos.org",
    subset,
    sparse=True,
  )


def stills(name: str, folder: str, images: str, masks: str) -> Source:
  """Pictures with one mask each, as they are unpacked or as `tfds build` wrote them."""
  holds = f"{images}, or the version folder that `tfds build` wrote"
  path = pathlib.Path(image_sets.require_folder(name, folder, name, holds))
  if (path / "dataset_info.json").is_file():
    from vosjax.data.records.stills import PreparedStills  # loads TFDS

    return PreparedStills(str(path), "train")
  return StillsFolder(str(path / images), str(path / masks))


def folder_source(
  key: str, folder: str, origin: str, subset: str, *layout: Any, **options: Any
) -> Source:
  """A DAVIS-layout folder, or one that `tfds build` prepared.

  Args:
    key: of the configuration that names it.
    folder: what the key says.
    origin: what to get if it is not there, and where.
    subset: a list of the folder, or a split.
    *layout: further arguments of `DavisFolder`.
    **options: likewise.

  Raises:
    ValueError: there is no such folder; says how to get the set.
  """
  path = pathlib.Path(folder).expanduser()
  if not path.is_dir():
    raise ValueError(
      f"no folder {folder!r}. Get {origin} and pass --config.{key}=FOLDER: the "
      "folder of JPEGImages and Annotations, one that `vosjax import-data` made of "
      "your own videos, or the version folder that `datasets/build.py` wrote."
    )
  if (path / "dataset_info.json").is_file():
    from vosjax.data.records.videos import PreparedFolder  # loads TFDS

    return PreparedFolder(str(path), _SPLITS.get(subset, subset))
  return DavisFolder(str(path), subset, *layout, **options)
