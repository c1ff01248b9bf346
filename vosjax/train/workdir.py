"""The folder of a run, and whether a configuration belongs to it."""

import datetime
import json
import pathlib
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from vosjax import files
from vosjax.data.video import Source
from vosjax.train import processes

CONFIG = "config.json"
VIDEOS = "videos.json"
_MAX_LISTED = 5
_SECTIONS = reprlib.Repr()  # names the first keys of a section that only one side has
# Keys that do not affect training, and may change when a run is resumed.
_CHANGEABLE = (
  "mode",
  "title",
  "evaluation/also",
  "evaluation/checkpoint",
  "evaluation/num_previews",
  "data/num_workers",
  "data/root",
  "data/youtube_vos",
  "log",
  "checkpoint",
  "time_limit",
)


def open_workdir(config: ConfigDict, workdir: str | None) -> tuple[pathlib.Path, bool]:
  """Makes a run's folder, or finds the run to resume.

  Args:
    config: of the run.
    workdir: None makes a new folder below runs/.

  Returns:
    The folder, and whether it already holds a run of this configuration.

  Raises:
    ValueError: the folder holds something else; says how the configurations differ.
  """
  if jax.process_count() == 1:
    return _open(config, workdir)
  if workdir is None:
    raise ValueError(
      "several processes need --workdir=DIR, a folder that all of them can access."
    )
  if processes.is_first():
    opened = _open(config, workdir)
  processes.barrier("workdir")
  return opened if processes.is_first() else _open(config, workdir)


def _open(config: ConfigDict, workdir: str | None) -> tuple[pathlib.Path, bool]:
  if workdir is None:
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    workdir = f"runs/{config.model.name}-{now}"
  require_usable_workdir(config, workdir)
  path = pathlib.Path(workdir)
  resumed = (path / CONFIG).exists()
  if not resumed:
    path.mkdir(parents=True, exist_ok=True)
    files.write_json(path / CONFIG, plain(config))
  return path, resumed


def require_usable_workdir(config: ConfigDict, workdir: str) -> None:
  """Checks that a run of this configuration can begin or be resumed in a folder.

  Raises:
    ValueError: the folder holds something else; says how the configurations differ.
  """
  path = pathlib.Path(workdir)
  config_file = path / CONFIG
  if not config_file.exists():
    if path.exists() and not (path.is_dir() and files.holds_nothing(path)):
      raise ValueError(
        f"--workdir={path} exists but holds no run; give a new or an empty folder."
      )
    return
  try:
    theirs = json.loads(config_file.read_text())
  except ValueError as error:
    raise ValueError(f"{config_file} is not readable JSON ({error}).") from error
  if not isinstance(theirs, dict):
    raise ValueError(
      f"{config_file} is not the configuration of a run; give a new or an empty folder."
    )
  ours = plain(config)
  known = theirs.get("evaluation")
  if config.mode != "train":  # only training validates, and chooses by these scores
    ours["evaluation"] = known
  elif config.validation.num_videos and isinstance(known, dict):
    ours["evaluation"]["num_videos"] = known.get("num_videos")
  differing = differences(theirs, ours)
  if differing:
    differing.sort(key=lambda difference: not difference.startswith("model.name "))
    raise ValueError(
      f"--workdir={path} holds a run of another configuration: "
      f"{_listed(differing)}. Give another --workdir, or the same configuration "
      "to resume that run."
    )


def record_or_compare_videos(
  workdir: pathlib.Path, sources: Mapping[str, Mapping[str, Source]]
) -> None:
  """Records the videos that a run trains on, or compares them with those recorded.

  A resumed run repeats the same batches only if it finds the same videos, wherever
  their folder is by now. Videos in folders are compared by name and length, procedural
  ones by their number.

  Args:
    workdir: of the run.
    sources: by stage and name.

  Raises:
    ValueError: the videos differ; says where.
  """
  ours = {
    stage: {name: _inventory(source) for name, source in named.items()}
    for stage, named in sources.items()
  }
  record_or_compare(workdir / VIDEOS, ours, "a run on other videos (frames by name)")


def record_or_compare(path: pathlib.Path, ours: Any, what: str) -> None:
  """Records what a workdir's results depend on, or compares it with what is recorded.

  Args:
    path: of the record, in the workdir.
    ours: anything that JSON can represent.
    what: what the workdir holds if the record differs, for the error message.

  Raises:
    ValueError: the record differs; says where.
  """
  ours = json.loads(json.dumps(ours))
  if not path.exists():
    files.write_json(path, ours)
    return
  try:
    theirs = json.loads(path.read_text())
  except ValueError as error:
    raise ValueError(
      f"{path} is damaged ({error}); give another --workdir, or delete this file if "
      "you are sure that nothing it depends on has changed."
    ) from error
  differing = differences(theirs, ours)
  if differing:
    raise ValueError(
      f"--workdir={path.parent} holds {what}: "
      f"{_listed(differing)}. "
      "Restore these to resume it, or give another --workdir."
    )


def _inventory(source: Source) -> dict[str, int] | int:
  frames = source.num_frames
  return len(source) if frames is None else dict(frames)


def _listed(differing: Sequence[str]) -> str:
  """The first differences, and how many more there are."""
  unlisted = len(differing) - _MAX_LISTED
  more = f"; and {unlisted} more" if unlisted > 0 else ""
  return f"{'; '.join(differing[:_MAX_LISTED])}{more}"


def plain(config: ConfigDict) -> dict[str, Any]:
  """The configuration as JSON represents it."""
  return json.loads(json.dumps(config.to_dict()))


def differences(theirs: Any, ours: Any, path: str = "") -> list[str]:
  """One line per key in which two configurations differ."""
  if path in _CHANGEABLE or theirs == ours:
    return []
  if isinstance(theirs, dict) and isinstance(ours, dict):
    found = []
    for key in sorted(theirs.keys() | ours.keys()):
      inner = f"{path}/{key}" if path else key
      found += differences(theirs.get(key), ours.get(key), inner)
    return found
  shown = [
    _SECTIONS.repr(x) if isinstance(x, dict) else repr(x) for x in (theirs, ours)
  ]
  return ["{} is {} there and {} here".format(path.replace("/", "."), *shown)]
