"""The datasets that models are scored on, and their protocol for each task.

A model's task says what its ids mean. "objects" are objects that were given to the
model, or matched to given ones. "primary" is one object, into which all annotated ones
are merged. "proposals" are the model's own.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from vosjax.data.cache import InMemory
from vosjax.data.formats.youtube_vos import YoutubeVosFolder, youtube_vos_root
from vosjax.data.video import Source
from vosjax.evaluation import mask_folders, protocols
from vosjax.evaluation.protocols import Protocol
from vosjax.labels import VOID
from vosjax.train import feeds, image_datasets

# Added to the seed for procedural videos to score, so that none of them is trained on;
# and for those to validate on, so that none of the scored ones chooses the model.
UNSEEN_SEED_OFFSET = 1_000_003
VALIDATION_SEED_OFFSET = 2_000_003
_MAX_LISTED = 5


class Dataset(NamedTuple):
  """A dataset to score on.

  Attributes:
    load: (configuration, whether all scored frames must be annotated) -> its videos.
    protocols: name of the protocol, as `vosjax evaluate` knows it, by task.
    has_server: predictions of it can also be scored by a server.
    late: objects may be given in any frame; otherwise only in a video's first one.
    unlabelled: names of a video's frames that scores need but that lack an annotation.
  """

  load: Callable[[ConfigDict, bool], Source]
  protocols: Mapping[str, str]
  has_server: bool = False
  late: bool = False
  unlabelled: Callable[[Any], list[str]] | None = None


class ScoredSet(NamedTuple):
  """What a model is scored on.

  Attributes:
    source: the videos.
    protocol: how they are scored.
  """

  source: Source
  protocol: Protocol


def dataset_of(config: ConfigDict) -> Dataset:
  """The configured dataset.

  Raises:
    ValueError: it is unknown; lists the known ones.
  """
  name = config.evaluation.dataset
  if name not in DATASETS:
    raise ValueError(f"evaluation.dataset is {name!r}; known: {sorted(DATASETS)}.")
  dataset = DATASETS[name]
  if name == "davis" and int(config.data.year) == 2016:
    return dataset._replace(protocols={**dataset.protocols, "objects": "davis2016"})
  return dataset


def protocol_name(config: ConfigDict, task: str) -> str:
  """Name of the protocol for a task on the configured dataset.

  Raises:
    ValueError: there is none; lists the datasets that have one.
  """
  names = dataset_of(config).protocols
  if task not in names:
    raise ValueError(
      f"evaluation.dataset is {config.evaluation.dataset!r}, on which {_TASKS[task]} "
      f"are not scored. Choose one of {_datasets_for(task)}."
    )
  return names[task]


def require_further_datasets(config: ConfigDict, task: str) -> None:
  """Checks the names in `evaluation.also`, which are needed only after training.

  Raises:
    ValueError: one is unknown or has no protocol for the task; lists those that have.
  """
  known = _datasets_for(task)
  for name in config.evaluation.also:
    if name not in known:
      raise ValueError(
        f"evaluation.also names {name!r}; {_TASKS[task]} are scored on {known}."
      )


def _datasets_for(task: str) -> list[str]:
  return sorted(name for name, other in DATASETS.items() if task in other.protocols)


def load_scored(config: ConfigDict, task: str) -> ScoredSet:
  """Videos that no stage trains on, annotated as scores need them, and the protocol.

  Raises:
    ValueError: the task has no protocol, or videos or annotations are missing; says
      what to do.
  """
  name, dataset = protocol_name(config, task), dataset_of(config)
  source = dataset.load(config, True)
  if dataset.unlabelled:
    _require_labels(source, dataset.unlabelled)
  options: dict[str, Any] = {}
  if name == "davis2016":
    options["stability"] = task == "primary"
    options["has_void"] = config.evaluation.dataset == "synthvos"
  if name == "youtube-vos":
    options["seen"] = _seen_categories(source)
  protocol = protocols.build(name, **options)
  if task == "proposals":
    # The toolkit's limit is that of DAVIS.
    limit = protocol.max_id if config.evaluation.dataset == "davis" else VOID - 1
    protocol = dataclasses.replace(protocol, max_id=limit)
  length = config.evaluation.length
  if config.evaluation.dataset == "synthvos" and not range(length)[protocol.scored]:
    raise ValueError(
      f"evaluation.length is {length}; {name} needs more frames "
      f"({protocol.description})."
    )
  return ScoredSet(source, protocol)


def load_validation(config: ConfigDict, scored_set: ScoredSet) -> ScoredSet:
  """What to validate on: procedural videos of its own, or else what is scored.

  Args:
    config: of the run.
    scored_set: of `load_scored`.
  """
  if config.evaluation.dataset != "synthvos":
    return scored_set
  count = config.validation.num_videos or config.evaluation.num_videos
  source = _procedural(config, VALIDATION_SEED_OFFSET, count)
  return scored_set._replace(source=source)


def load_unscored(config: ConfigDict) -> Source:
  """The videos of a dataset that a server scores, annotated or not.

  Raises:
    ValueError: they are missing, or no server scores this dataset.
  """
  dataset = dataset_of(config)
  if not dataset.has_server:
    known = sorted(name for name, other in DATASETS.items() if other.has_server)
    raise ValueError(
      f"evaluation.dataset is {config.evaluation.dataset!r}, for which no server takes "
      f"predictions. Choose one of {known}."
    )
  return dataset.load(config, False)


def _require_labels(source: Source, unlabelled: Callable[[Any], list[str]]) -> None:
  """Raises if frames lack an annotation that scores need."""
  gaps = [f"{v.name}/{name}" for v in source for name in unlabelled(v)]
  if gaps:
    more = f" and {len(gaps) - _MAX_LISTED} more" if gaps[_MAX_LISTED:] else ""
    raise ValueError(
      f"videos {feeds.origin(source)}: no annotation of "
      f"{', '.join(gaps[:_MAX_LISTED])}{more}, which scores need. Unpack the dataset "
      "again. If its truth is kept on a server, --config.mode=predict writes what to "
      "submit."
    )


def _load_synthvos(config: ConfigDict, labelled: bool) -> Source:
  del labelled  # every frame is
  options = config.evaluation
  if options.num_videos < 1:
    raise ValueError(
      f"evaluation.num_videos is {options.num_videos}, but the procedural videos of "
      "synthvos have no end; give a number."
    )
  return _procedural(config, UNSEEN_SEED_OFFSET, options.num_videos)


def _procedural(config: ConfigDict, seed_offset: int, num_videos: int) -> Source:
  options = config.evaluation
  source = feeds.procedural(
    config,
    config.seed + seed_offset,
    num_videos,
    size=tuple(options.size),
    length=options.length,
    max_objects=options.max_objects,
    speed=1.0,
  )
  return InMemory(source)  # baselines, previews and validations use the same videos


def _load_davis(config: ConfigDict, labelled: bool) -> Source:
  return feeds.davis(
    config, config.evaluation.subset, sparse=True, unlabelled=not labelled
  )


def _load_images(name: str, config: ConfigDict, labelled: bool) -> Source:
  del labelled  # every image is
  return image_datasets.IMAGE_DATASETS[name](config, config.evaluation.subset)


def _load_sparse(name: str, key: str, config: ConfigDict, labelled: bool) -> Source:
  """A dataset in the layout of YouTube-VOS, or prepared by `datasets/build.py`."""
  folder, subset = config.data[key], config.evaluation.subset
  path = pathlib.Path(folder).expanduser()
  if youtube_vos_root(path, subset):
    return YoutubeVosFolder(
      str(path), subset, every_frame=True, unlabelled=not labelled
    )
  if path.is_dir() and not (path / "dataset_info.json").is_file():
    raise ValueError(
      f"data.{key}: {folder} holds neither JPEGImages/VIDEO/*.jpg and Annotations/"
      f"VIDEO/*.png nor a folder {subset!r} that does. Prepare the dataset as "
      f"datasets/{name}/README.md says and give the version folder that "
      "datasets/build.py writes, or the folder that datasets/export.py writes."
    )
  how_to_get = f"the dataset as datasets/{name}/README.md says"
  return feeds.folder_source(f"data.{key}", folder, how_to_get, subset)


def _sparse(
  name: str, protocols: Mapping[str, str], key: str = "root", **fields: Any
) -> Dataset:
  """A dataset that is annotated in some frames only."""
  load = functools.partial(_load_sparse, name, key)
  return Dataset(load, protocols, has_server=True, **fields)


def _unlabelled_frames(video: Any) -> list[str]:
  """Names of all frames without an annotation."""
  return [
    name for name, files in zip(video.frame_names, video.label_files) if not files
  ]


def _unlabelled_listed_frames(video: Any) -> list[str]:
  """Names of those in which, according to meta.json, there is an object."""
  listed = {
    name for found in video.objects.values() for name in found.get("frames", ())
  }
  return [name for name in _unlabelled_frames(video) if name in listed]


def _seen_categories(source: Any) -> set[str] | frozenset[str]:
  """Categories in the training set of YouTube-VOS.

  Raises:
    ValueError: they are unknown.
  """
  if isinstance(source, YoutubeVosFolder):
    meta = source.folder.absolute().parent / "train" / "meta.json"
    if meta.is_file():
      return mask_folders.seen_categories(meta)
    missing = f"{meta} does not exist. Put the meta.json of the training set there"
  else:
    recorded = [
      (video.categories.get(i), is_seen)
      for video in source
      for i, is_seen in video.seen.items()
    ]
    if recorded:
      return {category for category, is_seen in recorded if is_seen}
    missing = (
      f"{source.directory} was built without train/meta.json. Build it again with the "
      "training set beside it"
    )
  raise ValueError(f"{missing}: it tells which categories are seen in training.")


_TASKS = {
  "objects": "given or matched objects",
  "primary": "primary objects",
  "proposals": "a model's own proposals",
}
_DAVIS_2017 = {"objects": "davis2017", "proposals": "davis2017-unsupervised"}

DATASETS: Mapping[str, Dataset] = {
  "synthvos": Dataset(_load_synthvos, _DAVIS_2017 | {"primary": "davis2016"}),
  "davis": Dataset(
    _load_davis,
    _DAVIS_2017 | {"primary": "davis2016"},
    has_server=True,
    unlabelled=_unlabelled_frames,
  ),
  "fbms": _sparse("fbms", {"primary": "fbms"}),
  "segtrack_v2": _sparse(
    "segtrack_v2", {"objects": "segtrack-v2", "primary": "segtrack-v2-unsupervised"}
  ),
  "youtube_objects": _sparse("youtube_objects", {"primary": "youtube-objects"}),
  "youtube_vos": _sparse(
    "youtube_vos",
    {"objects": "youtube-vos"},
    "youtube_vos",
    late=True,
    unlabelled=_unlabelled_listed_frames,
  ),
  **{
    name: Dataset(
      functools.partial(_load_images, name), {"proposals": "davis2017-unsupervised"}
    )
    for name in image_datasets.IMAGE_DATASETS
  },
}
