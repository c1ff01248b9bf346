"""What models are scored on: the videos of each set, and the rule for each task.

A model's task says what its ids mean: "objects" were given to it, or named by them;
"primary" is one object, all others merged with it; "proposals" are its own.
"""

import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from vosjax.data.cache import InMemory
from vosjax.data.formats.youtube_vos import YoutubeVosFolder, youtube_vos_root
from vosjax.data.video import Source
from vosjax.evaluation import mask_folders, protocols
from vosjax.evaluation.protocols import Protocol
from vosjax.train import feeds, image_sets

# Evaluation draws its procedural videos from seeds that training never reaches.
UNSEEN = 1_000_003
_SHOWN = 5


class Benchmark(NamedTuple):
  """A data set to score on.

  Attributes:
    open: its videos, by configuration, and whether all must be annotated.
    rules: name of the protocol, as `vosjax evaluate` knows it, by task.
    sent_in: others score predictions of it, too.
    late: objects may be given in any frame; otherwise in a video's first one alone.
    unlabelled: names of a video's frames whose annotation scores need and have not.
  """

  open: Callable[[ConfigDict, bool], Source]
  rules: Mapping[str, str]
  sent_in: bool = False
  late: bool = False
  unlabelled: Callable[[Any], list[str]] | None = None


class ScoredSet(NamedTuple):
  """What a model is scored on.

  Attributes:
    source: of the videos.
    protocol: the rule.
  """

  source: Source
  protocol: Protocol


def of(config: ConfigDict) -> Benchmark:
  """The configured data set.

  Raises:
    ValueError: it is unknown; lists the known ones.
  """
  name = config.evaluation.dataset
  if name not in BENCHMARKS:
    raise ValueError(f"evaluation.dataset is {name!r}; known: {sorted(BENCHMARKS)}.")
  benchmark = BENCHMARKS[name]
  if name == "davis" and int(config.data.year) == 2016:
    rules = benchmark.rules | {"objects": "davis2016"}
    return benchmark._replace(rules=rules)
  return benchmark


def rule(config: ConfigDict, task: str) -> str:
  """Name of the protocol for a task on the configured data set.

  Raises:
    ValueError: there is none; lists the data sets that have one.
  """
  rules = of(config).rules
  if task not in rules:
    known = sorted(name for name, other in BENCHMARKS.items() if task in other.rules)
    raise ValueError(
      f"evaluation.dataset is {config.evaluation.dataset!r}, where {_TASKS[task]} "
      f"are not scored. Choose one of {known}."
    )
  return rules[task]


def open_scored(config: ConfigDict, task: str) -> ScoredSet:
  """Videos that no stage trains on, annotated as scores need them, and the rule.

  Raises:
    ValueError: the task has no rule, videos are not there or not annotated enough;
      says what to do.
  """
  name, benchmark = rule(config, task), of(config)
  source = benchmark.open(config, True)
  if benchmark.unlabelled:
    _refuse_gaps(source, benchmark.unlabelled)
  options = {}
  if name == "davis2016":
    options["stability"] = task == "primary" and config.evaluation.dataset == "davis"
  if name == "youtube-vos":
    options["seen"] = _seen(source)
  return ScoredSet(source, protocols.build(name, **options))


def open_source(config: ConfigDict) -> Source:
  """The videos of a data set whose scores are made elsewhere, annotated or not.

  Raises:
    ValueError: they are not there, or the data set is not one to send in.
  """
  benchmark = of(config)
  if not benchmark.sent_in:
    known = sorted(name for name, other in BENCHMARKS.items() if other.sent_in)
    raise ValueError(
      f"evaluation.dataset is {config.evaluation.dataset!r}, of which there is "
      f"nothing to predict for others. Choose one of {known}."
    )
  return benchmark.open(config, False)


def videos(source: Source) -> Iterator[Any]:
  """One after the other; those of prepared sets are held no longer than needed."""
  return (source[i] for i in range(len(source)))


def _refuse_gaps(source, unlabelled):
  """Raises if there are frames whose annotation scores need and have not."""
  gaps = [f"{v.name}/{name}" for v in videos(source) for name in unlabelled(v)]
  if gaps:
    more = f" and {len(gaps) - _SHOWN} more" if gaps[_SHOWN:] else ""
    raise ValueError(
      f"videos {feeds.origin(source)}: no annotation of "
      f"{', '.join(gaps[:_SHOWN])}{more}, which scores need. Unpack the set again; "
      "where its truth is on a server, --config.mode=predict writes what to send."
    )


def _synthvos(config, labelled):
  del labelled  # they are
  options = config.evaluation
  source = feeds.procedural(
    config,
    config.seed + UNSEEN,
    options.num_videos,
    size=tuple(options.size),
    length=options.length,
    max_objects=options.max_objects,
  )
  return InMemory(source)  # every baseline and preview looks at them again


def _davis(config, labelled):
  return feeds.davis(
    config, config.evaluation.subset, sparse=True, unlabelled=not labelled
  )


def _picture_set(name):
  return lambda config, _: image_sets.SETS[name](config, config.evaluation.subset)


def _plain(name, key, config, labelled):
  """A set in the layout of YouTube-VOS, or one that `datasets/build.py` prepared."""
  folder, subset = config.data[key], config.evaluation.subset
  path = pathlib.Path(folder).expanduser()
  if youtube_vos_root(path, subset):
    return YoutubeVosFolder(
      str(path), subset, every_frame=True, unlabelled=not labelled
    )
  if path.is_dir() and not (path / "dataset_info.json").is_file():
    raise ValueError(
      f"data.{key}: {folder} holds neither JPEGImages/VIDEO/*.jpg and Annotations/"
      f"VIDEO/*.png nor a folder {subset!r} that does. Prepare the set as "
      f"datasets/{name}/README.md says and give the version folder that "
      "datasets/build.py writes, or the folder that datasets/export.py writes."
    )
  origin = f"the set as datasets/{name}/README.md says"
  return feeds.folder_source(f"data.{key}", folder, origin, subset)


def _sparse(name, rules, key="root", **fields):
  """A data set of which some frames are annotated."""
  return Benchmark(functools.partial(_plain, name, key), rules, sent_in=True, **fields)


def _all_frames(video):
  return [
    name for name, files in zip(video.frame_names, video.label_files) if not files
  ]


def _listed_frames(video):
  """Those in which meta.json says that there is an object."""
  listed = {
    name for found in video.objects.values() for name in found.get("frames", ())
  }
  return [name for name in _all_frames(video) if name in listed]


def _seen(source):
  """Categories of YouTube-VOS's training set.

  Raises:
    ValueError: they are not known.
  """
  if isinstance(source, YoutubeVosFolder):
    meta = source.folder.absolute().parent / "train" / "meta.json"
    if meta.is_file():
      return mask_folders.seen_categories(meta)
    missing = f"{meta}: not there. Put the meta.json of the training set in its place"
  else:
    told = [
      (video.categories.get(i), known)
      for video in videos(source)
      for i, known in video.seen.items()
    ]
    if told:
      return {category for category, known in told if known}
    missing = (
      f"{source.directory}: built without train/meta.json. Build it again with the "
      "training set beside"
    )
  raise ValueError(f"{missing}: it tells which categories are seen in training.")


_TASKS = {
  "objects": "given or matched objects",
  "primary": "primary objects",
  "proposals": "a model's own proposals",
}
_IDS = {"objects": "davis2017", "proposals": "davis2017-unsupervised"}

BENCHMARKS: Mapping[str, Benchmark] = {
  "synthvos": Benchmark(_synthvos, _IDS | {"primary": "davis2016"}),
  "davis": Benchmark(
    _davis,
    _IDS | {"primary": "davis2016"},
    sent_in=True,
    unlabelled=_all_frames,
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
    unlabelled=_listed_frames,
  ),
  **{
    name: Benchmark(_picture_set(name), {"proposals": "davis2017-unsupervised"})
    for name in image_sets.SETS
  },
}
