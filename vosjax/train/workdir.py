"""The folder of a run, and whether a configuration belongs to it."""

import datetime
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
from ml_collections import ConfigDict

from vosjax.data.video import Source
from vosjax.train import processes

CONFIG = "config.json"
VIDEOS = "videos.json"
_SHOWN = 5
# What may differ between two starts of one run.
_FREE = (
  "mode",
  "title",
  "evaluation",
  "data/num_workers",
  "data/root",
  "data/youtube_vos",
  "log",
  "checkpoint",
)


def open_workdir(config: ConfigDict, workdir: str | None) -> tuple[pathlib.Path, bool]:
  """Makes a run's folder, or finds the run that is to go on.

  Args:
    config: of the run.
    workdir: None makes a fresh folder below runs/.

  Returns:
    The folder, and whether it holds a run of this configuration.

  Raises:
    ValueError: the folder holds something else; says how the configurations differ.
  """
  if jax.process_count() == 1:
    return _open(config, workdir)
  if workdir is None:
    raise ValueError(
      "several processes need --workdir=DIR, a folder that all of them can see."
    )
  if processes.is_first():
    opened = _open(config, workdir)
  processes.wait("workdir")
  return opened if processes.is_first() else _open(config, workdir)


def _open(config, workdir) -> tuple[pathlib.Path, bool]:
  if workdir is None:
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    path = pathlib.Path("runs") / f"{config.model.name}-{now}"
  else:
    path = pathlib.Path(workdir)
  known = path / CONFIG
  if not known.exists():
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
      raise ValueError(
        f"--workdir={path} exists and holds no run; give a new or an empty folder."
      )
    path.mkdir(parents=True, exist_ok=True)
    _write_json(known, plain(config))
    return path, False
  try:
    theirs = json.loads(known.read_text())
  except ValueError as error:
    raise ValueError(f"{known} is not readable JSON ({error}).") from error
  differing = differences(theirs, plain(config))
  if differing:
    raise ValueError(
      f"--workdir={path} holds a run of another configuration: "
      f"{'; '.join(differing)}. Give another --workdir, or the same configuration "
      "to go on with that run."
    )
  return path, True


def same_videos(
  workdir: pathlib.Path, sources: Mapping[str, Mapping[str, Source]]
) -> None:
  """Notes the videos that a run trains on, or compares them with those of its start.

  Resuming repeats the same batches only if the same videos are there, wherever their
  folder now is: names and lengths of folders' videos count, and otherwise how many.

  Args:
    workdir: of the run.
    sources: by stage and name.

  Raises:
    ValueError: they differ; says where.
  """
  ours = {
    stage: {name: _inventory(source) for name, source in named.items()}
    for stage, named in sources.items()
  }
  same_content(workdir / VIDEOS, ours, "a run on other videos (frames by name)")


def same_content(path: pathlib.Path, ours: Any, what: str) -> None:
  """Notes what a workdir's results come from, or compares it with what is noted.

  Args:
    path: of the note, in the workdir.
    ours: what JSON can hold.
    what: the workdir holds if the note differs, for the error's text.

  Raises:
    ValueError: it differs; says where.
  """
  ours = json.loads(json.dumps(ours))
  if not path.exists():
    _write_json(path, ours)
    return
  differing = differences(json.loads(path.read_text()), ours)
  if differing:
    more = len(differing) - _SHOWN
    raise ValueError(
      f"--workdir={path.parent} holds {what}: "
      f"{'; '.join(differing[:_SHOWN])}{f'; and {more} more' if more > 0 else ''}. "
      "Restore what it began with to go on with it, or give another --workdir."
    )


def _inventory(source: Source) -> dict[str, int] | int:
  frames = source.num_frames
  return len(source) if frames is None else dict(frames)


def _write_json(path: pathlib.Path, content: Any) -> None:
  draft = path.with_name(f".{path.name}")
  draft.write_text(json.dumps(content, indent=2) + "\n")
  os.replace(draft, path)


def plain(config: ConfigDict) -> dict[str, Any]:
  """The configuration as JSON holds it."""
  return json.loads(json.dumps(config.to_dict()))


def differences(theirs: Any, ours: Any, path: str = "") -> list[str]:
  """`key: theirs there, ours here` wherever two configurations disagree."""
  if path in _FREE or theirs == ours:
    return []
  if isinstance(theirs, dict) and isinstance(ours, dict):
    found = []
    for key in sorted(theirs.keys() | ours.keys()):
      inner = f"{path}/{key}" if path else key
      found += differences(theirs.get(key), ours.get(key), inner)
    return found
  return [f"{path.replace('/', '.')} is {theirs!r} there and {ours!r} here"]
