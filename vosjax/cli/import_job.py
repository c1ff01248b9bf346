"""An import that can be stopped at any time, and gone on with."""

import concurrent.futures
import dataclasses
import hashlib
import io
import json
import os
import pathlib
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from vosjax import files, viz
from vosjax.data.formats import davis, detect
from vosjax.data.formats.coco import CocoVideo
from vosjax.data.formats.davis import FolderVideo
from vosjax.data.survey import VideoSurvey, details, survey, table
from vosjax.media.write import write_labels

Video = FolderVideo | CocoVideo

_FRAMES, _LABELS = "JPEGImages/480p", "Annotations/480p"
_LISTS = "ImageSets/2017"
_NOTE, _JOURNAL, _JOB = "import.json", "checked.jsonl", "job.json"
_SHEET_ROWS, _SHEET_COLUMNS, _CELL_WIDTH = 12, 4, 320
_VALIDATION_SHARE = 10  # one video of so many


class Job:
  """One import: what it reads and where it writes.

  Everything is made in `OUT.part`, which becomes `OUT` when it is whole. A video that
  was checked there is checked again only if its files have changed since.

  Args:
    source: what `own.find_videos` was given.
    images: likewise.
    val: `--val` as it was given.
    out: the folder to make.

  Raises:
    ValueError: `out`, or its part, is of something else.
  """

  def __init__(
    self,
    source: pathlib.Path,
    images: pathlib.Path | None,
    val: str | None,
    out: pathlib.Path,
  ):
    self._source, self._out = source, out
    self._part = out.with_name(f"{out.name}.part")
    self._description = {
      "source": str(source.resolve()),
      "images": images and str(images.resolve()),
      "val": val,
    }

  def is_done(self, data: detect.OwnData) -> bool:
    """Whether `out` is already what this job would make of the data.

    Raises:
      ValueError: `out` or its part holds something else.
    """
    for folder, note in ((self._out, _NOTE), (self._part, _JOB)):
      if not folder.exists() or folder.is_dir() and not any(folder.iterdir()):
        continue
      try:
        there = json.loads((folder / note).read_bytes())
      except (OSError, ValueError):
        raise ValueError(
          f"--out {self._out}: {folder} exists and is no import of this command. "
          "Name a new folder."
        ) from None
      if {key: there.get(key) for key in self._description} != self._description:
        raise ValueError(
          f"--out {self._out}: {folder} was imported from {there.get('source')}, or "
          "with other options. Remove it, or name a new folder."
        )
      if folder == self._out:
        if there["files"] == self._fingerprint(data.videos):
          return True
        raise ValueError(
          f"--out {self._out}: the files of {self._source} have changed since they "
          "were imported. Remove it, or name a new folder."
        )
    return False

  def check(
    self, data: detect.OwnData, workers: int, progress: Callable[[int], object]
  ) -> list[VideoSurvey]:
    """Looks at every picture of every video that is not known from before."""
    self._part.mkdir(parents=True, exist_ok=True)
    files.write_bytes(self._part / _JOB, json.dumps(self._description).encode())
    for name in {*davis.subfolders(self._part / _FRAMES)} - {
      video.name for video in data.videos
    }:
      self._drop(name)  # its source has gone
    known = self._journal()
    lock = threading.Lock()

    def look(video):
      state = self._fingerprint([video])
      if known.get(video.name, {}).get("files") == state:
        progress(len(video))
        return VideoSurvey.from_record(known[video.name]["survey"])
      self._drop(video.name)
      found = survey(video, progress)
      line = {"files": state, "survey": dataclasses.asdict(found)}
      with lock, (self._part / _JOURNAL).open("a") as file:
        file.write(json.dumps(line) + "\n")
      return found

    pool = concurrent.futures.ThreadPoolExecutor(workers)  # decoding frees the lock
    try:
      return list(pool.map(look, data.videos))
    finally:
      pool.shutdown(wait=False, cancel_futures=True)

  def write(self, video: Video) -> None:
    """Writes a video's annotated frames, unless they have been written before."""
    video = video.annotated_part()
    names = detect.frame_names(video)
    for folder, fill in ((_FRAMES, _write_frames), (_LABELS, _write_labels)):
      target = self._part / folder / video.name
      if target.is_dir():
        continue
      draft = target.with_name(f".{video.name}.draft")
      shutil.rmtree(draft, ignore_errors=True)
      draft.mkdir(parents=True)
      fill(video, names, draft)
      draft.rename(target)

  def finish(
    self,
    data: detect.OwnData,
    found: Sequence[VideoSurvey],
    lists: Mapping[str, Sequence[str]],
  ) -> None:
    """Writes lists, categories, report and contact sheet; the folder is whole then."""
    note = self._description | {"files": self._fingerprint(data.videos)}
    files = {
      f"{_LISTS}/{key}.txt": "\n".join(names) + "\n" for key, names in lists.items()
    }
    files["report.txt"] = "\n".join(
      [
        f"{self._source}: {data.layout} layout",
        "",
        table(found),
        "",
        *details(found),
        "",
      ]
    )
    files[_NOTE] = json.dumps(note, indent=1)
    if any(data.categories.values()):
      files["meta.json"] = json.dumps(_meta(data.categories), indent=1)
    for name, text in files.items():
      (self._part / name).parent.mkdir(parents=True, exist_ok=True)
      files.write_bytes(self._part / name, text.encode())
    files.write_bytes(self._part / "contact_sheet.jpg", _contact_sheet(data.videos))
    for name in (_JOURNAL, _JOB):
      (self._part / name).unlink()
    self._part.rename(self._out)

  def _drop(self, name: str) -> None:
    for folder in (_FRAMES, _LABELS):
      shutil.rmtree(self._part / folder / name, ignore_errors=True)

  def _journal(self) -> dict[str, Any]:
    """The last line of each video; a line that was cut off ends the journal."""
    known: dict[str, Any] = {}
    path = self._part / _JOURNAL
    for line in path.read_text().splitlines() if path.is_file() else ():
      try:
        record = json.loads(line)
      except ValueError:
        continue
      known[record["survey"]["name"]] = record
    return known

  def _fingerprint(self, videos: Sequence[Video]) -> str:
    """Of the names, sizes and times of all files."""
    digest = hashlib.sha256()
    for video in videos:
      extra = (self._source,) if isinstance(video, CocoVideo) else video.label_files
      for path in (*video.frame_files, *extra):
        if path is not None and path.is_file():
          stat = path.stat()
          digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        else:
          digest.update(f"{path}\0".encode())
    return digest.hexdigest()


def split(data: detect.OwnData, val: str | None) -> dict[str, list[str]]:
  """Names of the videos to train on and of those to validate on.

  Args:
    data: the videos, and lists that they came with.
    val: a text file of names, a number of videos, or None.

  Raises:
    ValueError: `val` is neither, or names a video that is not there.
  """
  names = [video.name for video in data.videos]
  if val is None and data.lists:
    return {key: list(listed) for key, listed in data.lists.items()}
  if val is not None and not val.isdecimal():
    chosen = davis.read_names(pathlib.Path(val))
    if unknown := sorted(set(chosen) - set(names)):
      raise ValueError(f"--val {val}: no video {', '.join(unknown)} in the data.")
  else:
    count = max(1, round(len(names) / _VALIDATION_SHARE)) if val is None else int(val)
    if val is not None and not 1 <= count < len(names):
      raise ValueError(
        f"--val {val}: of {len(names)} videos, 1 to {len(names) - 1} can be kept."
      )
    chosen = [names[(2 * i + 1) * len(names) // (2 * count)] for i in range(count)]
  # A single video has to serve for both.
  return {
    "train": [name for name in names if name not in chosen] or names,
    "val": chosen,
  }


def _write_frames(video, names, folder):
  for path, name in zip(video.frame_files, names):
    _take(path, folder / f"{name}{path.suffix.lower()}")


def _write_labels(video, names, folder):
  for t, name in enumerate(names):
    target = folder / f"{name}.png"
    if isinstance(video, CocoVideo):
      write_labels(target, video.labels(t))
    else:
      _take(video.label_files[t], target)


def _take(source: pathlib.Path, target: pathlib.Path) -> None:
  """The same file under another name; a copy on another disk."""
  try:
    os.link(source.resolve(), target)
  except OSError:
    shutil.copy2(source, target)


def _meta(categories: Mapping[str, Mapping[int, str]]) -> dict[str, Any]:
  """Categories in the form of YouTube-VOS."""
  return {
    "videos": {
      name: {"objects": {str(i): {"category": c} for i, c in objects.items()}}
      for name, objects in categories.items()
    }
  }


def _contact_sheet(videos: Sequence[Video]) -> bytes:
  """A JPEG of some videos, a row each, objects in colour."""
  rows = [videos[i].annotated_part() for i in _spread(len(videos), _SHEET_ROWS)]
  cells = [
    [
      viz.overlay(video.frame(t), video.labels(t))
      for t in _spread(len(video), _SHEET_COLUMNS)
    ]
    for video in rows
  ]
  captions = [f"{video.name}, {len(video)} frames" for video in rows]
  sheet = viz.contact_sheet(cells, row_captions=captions, cell_width=_CELL_WIDTH)
  buffer = io.BytesIO()
  Image.fromarray(sheet).save(buffer, "JPEG", quality=88)
  return buffer.getvalue()


def _spread(length: int, most: int) -> list[int]:
  return np.unique(np.linspace(0, length - 1, most).round().astype(int)).tolist()
