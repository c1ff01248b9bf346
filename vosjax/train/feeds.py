"""Training data: from the configuration to videos, and from videos to batches."""

import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from vosjax import cores
from vosjax.data import pipeline
from vosjax.data.cache import InMemory
from vosjax.data.formats.davis import DavisFolder
from vosjax.data.formats.stills import StillsFolder
from vosjax.data.formats.youtube_vos import YoutubeVosFolder, youtube_vos_root
from vosjax.data.synthvos import Settings, SynthVos
from vosjax.data.video import Source
from vosjax.data.views import AnnotatedFrames
from vosjax.train import image_datasets
from vosjax.train.recipe import BatchesFrom

# Lists of DAVIS and folders of YouTube-VOS -> splits of TFDS.
_SPLITS = {
  "val": "validation",
  "valid": "validation",
  "test-dev": "test_dev",
  "test-challenge": "test_challenge",
}

_MOST_WORKERS = 32  # each is a process of some hundred megabytes


def training_sources(config: ConfigDict, stage: ConfigDict) -> dict[str, Source]:
  """Opens the stage's sources, by name, except for those of weight 0.

  Raises:
    ValueError: a source is unknown, or data are missing; lists everything that is
      missing and how to get it.
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
    "voc": lambda: image_datasets.voc(config, "train"),
    "leaves": lambda: image_datasets.leaves(config, "train"),
    "cityscapes": lambda: image_datasets.cityscapes(config, "train"),
  }
  unknown = sorted(set(stage.sources) - set(makers))
  if unknown:
    raise ValueError(f"stage sources: {unknown} unknown; known: {sorted(makers)}.")
  for name, weight in stage.sources.items():
    if not 0 <= weight < math.inf:
      raise ValueError(
        f"stage sources: the weight of {name} is {weight}; expected a number, or 0 to "
        "leave it out."
      )
  opened: dict[str, Source] = {}
  missing: list[str] = []
  for name in (name for name, weight in stage.sources.items() if weight):
    try:
      opened[name] = makers[name]()
    except (ValueError, OSError) as error:
      missing.append(f"{name}: {error}")
  if missing:
    raise ValueError(" ".join(f"{text.removesuffix('.')}." for text in missing))
  if not opened:
    raise ValueError(
      "stage sources: every weight is 0; give at least one source a positive weight."
    )
  return opened


def synthvos(config: ConfigDict, stage: ConfigDict) -> Source:
  """Prepared videos if `data.synthvos.folder` exists, procedural ones otherwise.

  A procedural video has the size of a clip and, by default, its length.

  Raises:
    ValueError: `data.synthvos.length` is shorter than the clips of the stage, or an
      object would have to have more pixels than a frame.
  """
  options = config.data.synthvos
  if options.folder and pathlib.Path(options.folder).expanduser().is_dir():
    return folder_source("data.synthvos.folder", options.folder, "SynthVOS", "train")
  # Or many videos would be drawn and left out before that is refused.
  least = {
    "min_object_pixels": config.data.min_object_pixels,
    "min_chosen_pixels.synthvos": config.data.min_chosen_pixels.synthvos,
  }
  height, width = stage.size
  for key, number in least.items():
    if number >= height * width:
      raise ValueError(
        f"data.{key} is {number}, but frames of {height} x {width} have only "
        f"{height * width} pixels. Give a smaller number, such as 100."
      )
  if 0 < options.length < stage.clip_length:
    raise ValueError(
      f"data.synthvos.length is {options.length}, shorter than the clips of "
      f"{stage.clip_length} frames. Make it 0 (as long as the clips) or at least "
      f"{stage.clip_length}."
    )
  source = procedural(
    config,
    config.seed,
    options.num_videos,
    size=tuple(stage.size),
    length=options.length or stage.clip_length,
  )
  return InMemory(source) if options.in_memory else source


def procedural(
  config: ConfigDict,
  seed: int,
  num_videos: int,
  *,
  size: tuple[int, int],
  length: int,
  **changes: Any,
) -> SynthVos:
  """Procedural videos with the settings of `data.synthvos`.

  Args:
    config: of the run.
    seed: see `SynthVos`, as for the next three.
    num_videos: number of videos.
    size: rows and columns.
    length: frames.
    **changes: fields of `Settings` to replace.
  """
  options = config.data.synthvos
  settings = {field.name: options[field.name] for field in dataclasses.fields(Settings)}
  return SynthVos(seed, num_videos, size=size, length=length, **settings | changes)


def davis(config: ConfigDict, subset: str, **options: Any) -> Source:
  """The videos at `data.root` that a subset lists; for options see `DavisFolder`."""
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
  """The annotated frames of the training videos at `data.youtube_vos`."""
  path = pathlib.Path(config.data.youtube_vos).expanduser()
  subset = config.data.youtube_vos_subset
  if youtube_vos_root(path, subset):
    return YoutubeVosFolder(str(path), subset)
  source = folder_source(
    "data.youtube_vos",
    config.data.youtube_vos,
    "YouTube-VOS 2018 from https://youtube-vos.org",
    subset,
    sparse=True,
  )
  # A folder is read without the other frames; records hold them.
  return source if isinstance(source, DavisFolder) else AnnotatedFrames(source)


def stills(name: str, folder: str, images: str, masks: str) -> Source:
  """Images with one mask each, as unpacked or as `datasets/build.py` wrote them."""
  contents = f"{images}, or the version folder that `datasets/build.py` wrote"
  path = pathlib.Path(image_datasets.require_folder(name, folder, name, contents))
  if (path / "dataset_info.json").is_file():
    from vosjax.data.records.stills import PreparedStills  # loads TFDS

    return PreparedStills(str(path), "train")
  return StillsFolder(str(path / images), str(path / masks))


def folder_source(
  key: str, folder: str, how_to_get: str, subset: str, *layout: Any, **options: Any
) -> Source:
  """A folder in DAVIS layout, or one that `datasets/build.py` wrote.

  Args:
    key: of the configuration, which names the folder.
    folder: the value of that key.
    how_to_get: what to get if the folder is missing, and where.
    subset: a list of the folder, or a split.
    *layout: further arguments of `DavisFolder`.
    **options: keyword arguments of `DavisFolder`.

  Raises:
    MissingFolder: there is no such folder.
    ValueError: it does not hold the videos of the subset; says what is missing.
  """
  path = pathlib.Path(folder).expanduser()
  if not path.is_dir():
    raise image_datasets.MissingFolder(
      f"no folder {folder!r}. Get {how_to_get} and pass --config.{key}=FOLDER: the "
      "folder of JPEGImages and Annotations, one that `vosjax import-data` made of "
      "your own videos, or the version folder that `datasets/build.py` wrote."
    )
  if (path / "dataset_info.json").is_file():
    from vosjax.data.records.videos import PreparedFolder  # loads TFDS

    return PreparedFolder(str(path), _SPLITS.get(subset, subset))
  return DavisFolder(str(path), subset, *layout, **options)


def is_procedural(source: Source) -> bool:
  """Whether the videos are generated, not read from files."""
  return source.origin is None


def origin(source: Source) -> str:
  """Where the videos of a source come from."""
  return "procedural" if source.origin is None else f"from {source.origin}"


def batches(
  config: ConfigDict,
  stage: ConfigDict,
  sources: Mapping[str, Source],
  seed: int,
  transforms: Callable[[str], Sequence[Any]],
  *,
  share: float = 1.0,
) -> BatchesFrom:
  """Returns the function that yields a stage's batches from any of its steps on.

  Args:
    config: of the run.
    stage: options of the stage.
    sources: of the stage, by name.
    seed: of their random order and of the transforms.
    transforms: the transforms of a source's videos, given its name.
    share: of the worker processes that this feed has, where a stage has several.
  """
  process, num_processes = jax.process_index(), jax.process_count()
  workers = choose_num_workers(config, stage)

  def batches_from(step: int) -> Iterator[Mapping[str, Any]]:
    return pipeline.batches(
      tuple(sources.values()),
      [stage.sources[name] for name in sources],
      [transforms(name) for name in sources],
      batch_size=stage.batch_size // num_processes,
      seed=seed,
      start_step=step,
      num_steps=stage.num_steps,
      num_workers=workers and max(1, round(share * workers)),
      shard=(process, num_processes),
      replacement=stage.replacement,
      samples_per_epoch=stage.samples_per_epoch or None,
    )

  return batches_from


def choose_num_workers(config: ConfigDict, stage: ConfigDict) -> int:
  """Number of processes that make batches for this one; 0: its threads make them.

  By default, threads feed a CPU, whose cores are busy with training. Threads share one
  interpreter, so that an accelerator would wait for them: processes feed it. Videos
  that are kept in memory are kept once, in this process.

  Raises:
    ValueError: `data.num_workers` is less than -1, or above both 32 and four per core.
  """
  workers = config.data.num_workers
  if workers < -1:
    raise ValueError(
      f"data.num_workers is {workers}; expected a number of processes, 0 for threads, "
      "or -1 to choose by the device."
    )
  most = max(_MOST_WORKERS, 4 * cores.available())
  if workers > most:
    raise ValueError(
      f"data.num_workers is {workers}; expected at most {most}. Each is a process of "
      f"several hundred megabytes, and {cores.available()} core(s) may be used."
    )
  if workers >= 0:
    return workers
  is_in_memory = config.data.synthvos.in_memory and stage.sources.get("synthvos", 0)
  if jax.default_backend() == "cpu" or is_in_memory:
    return 0
  return min(_MOST_WORKERS, max(1, cores.available() - 1))


def take_turns(parts: Sequence[BatchesFrom], num_steps: int) -> BatchesFrom:
  """Batches from several feeds in turn, such as feeds of clips of different sizes.

  Args:
    parts: step `s` takes the next batch of part `s % len(parts)`.
    num_steps: of the stage.
  """

  def batches_from(step: int) -> Iterator[Mapping[str, Any]]:
    count = len(parts)
    # Part i has given a batch in each of the earlier steps i, i + count, ...
    iterators = [part(max(0, -(-(step - i) // count))) for i, part in enumerate(parts)]
    for s in range(step, num_steps):
      yield next(iterators[s % count])

  return batches_from


def at_size(source: Source, size: tuple[int, int], variation: int) -> Source:
  """Procedural videos rendered at another size; other sources as they are.

  Procedural videos that are kept in memory (`data.synthvos.in_memory`) also stay as
  they are; the transforms resize their clips, like those of videos in files.

  Args:
    source: of training videos.
    size: rows and columns.
    variation: videos of different variations have nothing in common.
  """
  if not isinstance(source, SynthVos):
    return source
  return dataclasses.replace(source, size=size, seed=source.seed + variation)
