"""An import of user data that can be interrupted and resumed at any time."""

import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import os
import pathlib
import shutil
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vosjax import files, viz
from vosjax.data.formats import detect
from vosjax.data.formats.coco import CocoVideo
from vosjax.data.formats.detect import UserData
from vosjax.data.formats.folders import FolderVideo, read_names, subfolders
from vosjax.data.formats.user_folders import VideoPart
from vosjax.data.label_agreement import WHITE_IS_VOID
from vosjax.data.survey import VideoSurvey, details, survey, table
from vosjax.labels import VOID
from vosjax.media.read import read_video
from vosjax.media.write import write_labels

Video = FolderVideo | CocoVideo

_LINKED = (".jpg", ".jpeg", ".png")  # frames of other kinds become PNG
_FRAMES, _LABELS = "JPEGImages/480p", "Annotations/480p"
_LISTS = "ImageSets/2017"
_NOTE, _JOURNAL, _JOB = "import.json", "checked.jsonl", "job.json"
_EXTRACTED = "extracted"
_JPEG_QUALITY = 95
_SHEET_ROWS, _SHEET_COLUMNS, _CELL_WIDTH = 12, 4, 320
_SCORED_FRAMES = 3  # annotated ones that a protocol of DAVIS needs
_VALIDATION_EVERY = 10  # one video in ten is kept for validation


class Job:
  """One import: what it reads and where it writes.

  Everything is written to `OUT.part`, which is renamed to `OUT` when it is complete.
  When an import resumes, it checks only those videos again whose files have changed.

  Args:
    source: see `find_user_data`.
    images: see `find_user_data`.
    val: value of `--val`.
    out: the folder to create.
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

  def check_folders(self, data: UserData) -> None:
    """Refuses to write to `out` unless it and `OUT.part` are new or of this job.

    Raises:
      ValueError: `out` or `OUT.part` contains something else.
    """
    for folder, note in ((self._out, _NOTE), (self._part, _JOB)):
      if not folder.exists() or folder.is_dir() and files.holds_nothing(folder):
        continue
      if folder == self._part and not (folder / note).exists():
        note = _NOTE  # stopped just before it was renamed
      try:
        found = json.loads((folder / note).read_bytes())
      except (OSError, ValueError):
        raise ValueError(
          f"--out {self._out}: {folder} exists and was not written by this command. "
          "Choose another folder."
        ) from None
      if {key: found.get(key) for key in self._description} != self._description:
        raise ValueError(
          f"--out {self._out}: {folder} was imported from {found.get('source')}, or "
          "with other options. Remove it, or choose another folder."
        )
      if folder == self._out and found["files"] != self._fingerprint(data, data.videos):
        raise ValueError(
          f"--out {self._out}: the files of {self._source} have changed since they "
          "were imported. Remove it, or choose another folder."
        )

  def claimed(self) -> contextlib.AbstractContextManager[None]:
    """Keeps other processes from importing to `out`; see `files.claimed`."""
    return files.claimed(self._part, f"--out {self._out}")

  @property
  def extracted(self) -> pathlib.Path:
    """Where the frames of video files are kept until the import is complete."""
    return self._part / _EXTRACTED

  def extract(self, data: UserData, progress: Callable[[int], object]) -> list[str]:
    """Decodes the annotated frames of video files, as JPEG.

    Args:
      data: the videos.
      progress: called with 1 for each frame.

    Returns:
      What is wrong with the files, one line each.
    """
    problems = []
    if data.parts:
      self._begin()
      self.extracted.mkdir(exist_ok=True)
    for name, part in data.parts.items():
      note = self.extracted / f"{name}.txt"
      stamp = f"{_stamp(part.path)}{part.indices}"
      if note.is_file() and note.read_text() == stamp:
        progress(len(part.indices))
        continue
      try:
        _extract(part, self.extracted / name, progress)
      except ValueError as error:
        problems.append(str(error))
      else:
        note.write_text(stamp)
    return problems

  def name_videos(self, data: UserData, text: str) -> str:
    """The text with video files in place of the frames that were extracted of them."""
    for name, part in data.parts.items():
      head, *tails = text.split(f"{self.extracted / name}{os.sep}")
      frames = (tail.replace(".jpg", "", 1) for tail in tails)
      text = head + "".join(f"{part.path} frame {frame}" for frame in frames)
    return text

  def is_done(self) -> bool:
    """Whether `out`, which `check_folders` accepts, contains the imported dataset."""
    return (self._out / _NOTE).exists()

  def check(
    self, data: UserData, workers: int, progress: Callable[[int], object]
  ) -> list[VideoSurvey]:
    """Surveys all videos that an interrupted import has not surveyed already."""
    self._begin()
    names = {video.name for video in data.videos}
    for name in set(subfolders(self._part / _FRAMES)) - names:
      self._discard(name)  # no longer in the source
    checked = self._journal()
    lock = threading.Lock()

    def check_video(video: Video) -> VideoSurvey:
      fingerprint = self._fingerprint(data, [video])
      if checked.get(video.name, {}).get("files") == fingerprint:
        progress(len(video))
        return VideoSurvey.from_record(checked[video.name]["survey"])
      self._discard(video.name)
      result = survey(video, progress)
      line = {"files": fingerprint, "survey": dataclasses.asdict(result)}
      with lock, (self._part / _JOURNAL).open("a") as file:
        file.write(json.dumps(line) + "\n")
      return result

    # Threads, because decoding releases Python's global lock.
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    try:
      return list(pool.map(check_video, data.videos))
    finally:
      pool.shutdown(wait=False, cancel_futures=True)

  def write(self, video: Video, readings: Mapping[str, Collection[str]]) -> None:
    """Writes the annotated frames of a video, unless an earlier run has done so.

    Args:
      video: to write.
      readings: see `VideoSurvey`.
    """
    video = video.annotated_part()
    names = detect.frame_names(video)
    write_labels = functools.partial(_write_labels, readings=readings)
    for folder, write_files in ((_FRAMES, _write_frames), (_LABELS, write_labels)):
      target = self._part / folder / video.name
      if target.is_dir():
        continue
      draft = target.with_name(f".{video.name}.draft")
      shutil.rmtree(draft, ignore_errors=True)
      draft.mkdir(parents=True)
      write_files(video, names, draft)
      draft.rename(target)

  def finish(
    self,
    data: UserData,
    surveys: Sequence[VideoSurvey],
    lists: Mapping[str, Sequence[str]],
  ) -> None:
    """Writes lists, categories, report and contact sheet, then renames the folder."""
    note = self._description | {"files": self._fingerprint(data, data.videos)}
    report = [f"{self._source}: {data.layout} layout", "", table(surveys), ""]
    texts = {
      f"{_LISTS}/{key}.txt": "\n".join(names) + "\n" for key, names in lists.items()
    }
    texts["report.txt"] = "\n".join([*report, *details(surveys), ""])
    texts[_NOTE] = json.dumps(note, indent=1)
    if any(data.categories.values()):
      texts["meta.json"] = json.dumps(_meta(data.categories), indent=1)
    for name, text in texts.items():
      (self._part / name).parent.mkdir(parents=True, exist_ok=True)
      files.write_bytes(self._part / name, text.encode())
    files.write_bytes(self._part / "contact_sheet.jpg", _contact_sheet(data.videos))
    shutil.rmtree(self.extracted, ignore_errors=True)
    for name in (_JOURNAL, _JOB):
      (self._part / name).unlink()
    self._part.rename(self._out)

  def _begin(self) -> None:
    """Marks `OUT.part` as the draft of this import."""
    self._part.mkdir(parents=True, exist_ok=True)
    for draft in self._part.glob(".*.part*"):  # left by a process that was killed
      draft.unlink()
    files.write_json(self._part / _JOB, self._description)

  def _discard(self, name: str) -> None:
    for folder in (_FRAMES, _LABELS):
      shutil.rmtree(self._part / folder / name, ignore_errors=True)

  def _journal(self) -> dict[str, Any]:
    """The last entry of each video; truncated lines are skipped."""
    entries: dict[str, Any] = {}
    path = self._part / _JOURNAL
    for line in path.read_text().splitlines() if path.is_file() else ():
      try:
        record = json.loads(line)
      except ValueError:
        continue
      entries[record["survey"]["name"]] = record
    return entries

  def _fingerprint(self, data: UserData, videos: Sequence[Video]) -> str:
    """A hash of the names, sizes and modification times of all files."""
    digest = hashlib.sha256()
    for video in videos:
      part = data.parts.get(video.name)
      stamps = [*map(_stamp, video.frame_files if part is None else (part.path,))]
      if isinstance(video, CocoVideo):
        stamps.append(self._annotation_stamp)
      else:
        stamps += map(_stamp, video.label_files)
      digest.update("".join(stamps).encode())
    return digest.hexdigest()

  @functools.cached_property
  def _annotation_stamp(self) -> str:
    """Of all files that describe objects, where these are not one per frame."""
    if self._source.is_file():
      return _stamp(self._source)
    paths = sorted(self._source.rglob("*"))
    suffixes = (".json", ".xml", ".txt")
    stamps = (_stamp(path) for path in paths if path.suffix.lower() in suffixes)
    return hashlib.sha256("".join(stamps).encode()).hexdigest()


def _stamp(path: pathlib.Path | None) -> str:
  """Name, size and modification time of a file, as far as it exists."""
  if path is None or not path.is_file():
    return f"{path}\0"
  stat = path.stat()
  return f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0"


def split(data: UserData, val: str | None) -> dict[str, list[str]]:
  """Splits the videos into those to train on and those to validate on, by name.

  Args:
    data: the videos, and any lists that came with them.
    val: a text file of names, a number of videos, or None.

  Raises:
    ValueError: `val` is a number out of range, or a file with names of unknown videos.
  """
  names = [video.name for video in data.videos]
  long = [v.name for v in data.videos if len(v.annotated_frames) >= _SCORED_FRAMES]
  candidates = long or names  # the others could not be scored
  if val is None and data.lists:
    return {key: list(listed) for key, listed in data.lists.items()}
  if val is not None and not val.isdecimal():
    chosen = read_names(pathlib.Path(val))
    if unknown := sorted(set(chosen) - set(names)):
      raise ValueError(f"--val {val}: no video {', '.join(unknown)} in the data.")
  else:
    count = max(1, round(len(names) / _VALIDATION_EVERY)) if val is None else int(val)
    if val is not None and len(names) == 1:
      raise ValueError(
        f"--val {val}: there is only one video. Leave --val out to train and validate "
        "on it, or give more videos."
      )
    if val is not None and not 1 <= count < len(names):
      raise ValueError(
        f"--val {val}: with {len(names)} videos, it must be 1 to {len(names) - 1}."
      )
    candidates = candidates if count <= len(candidates) else names
    step = len(candidates) / count
    chosen = [candidates[int((i + 0.5) * step)] for i in range(count)]
  # A single video is used for both.
  return {
    "train": [name for name in names if name not in chosen] or names,
    "val": chosen,
  }


def _write_frames(video: Video, names: Sequence[str], folder: pathlib.Path) -> None:
  for t, (path, name) in enumerate(zip(video.frame_files, names)):
    if path.suffix.lower() in _LINKED and video.bits == 16:
      _link(path, folder / f"{name}{path.suffix.lower()}")
    else:
      Image.fromarray(video.frame(t)).save(folder / f"{name}.png")


def _write_labels(
  video: Video,
  names: Sequence[str],
  folder: pathlib.Path,
  readings: Mapping[str, Collection[str]],
) -> None:
  if isinstance(video, CocoVideo):
    for t, name in enumerate(names):
      write_labels(folder / f"{name}.png", _labels(video, t))
    return
  interpreted = {name for listed in readings.values() for name in listed}
  for t, (path, name) in enumerate(zip(video.label_files, names)):
    assert path is not None, "the annotated part of a video has all label files"
    if _holds_ids(path) and video.frame_names[t] not in interpreted:
      _link(path, folder / f"{name}.png")
      continue
    labels = _labels(video, t)
    if video.frame_names[t] in readings.get(WHITE_IS_VOID, ()):
      labels = np.where(labels == 1, VOID, labels).astype(np.uint8)
    write_labels(folder / f"{name}.png", labels)


def _holds_ids(path: pathlib.Path) -> bool:
  """Whether a file is a PNG of the usual kinds of label maps."""
  with Image.open(path) as image:
    return image.format == "PNG" and image.mode in ("P", "L", "1")


def _extract(
  part: VideoPart, folder: pathlib.Path, progress: Callable[[int], object]
) -> None:
  """Writes frames of a video file into a new folder.

  Raises:
    ValueError: the file is damaged, or has fewer frames.
  """
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  video = read_video(part.path)
  last = max(part.indices, default=-1)
  if last >= len(video):
    raise ValueError(
      f"{part.path}: frame {last} is annotated, but the video has "
      f"{len(video)} frames, numbered from 0. Number the masks from 0, or give the "
      "video that they were made for."
    )
  for index in part.indices:
    image = Image.fromarray(video[index])
    path = folder / f"{index:05d}.jpg"
    image.save(path, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    progress(1)


def _labels(video: Video, index: int) -> UInt8[np.ndarray, "h w"]:
  """The labels of a frame that is known to be annotated."""
  labels = video.labels(index)
  assert labels is not None
  return labels


def _link(source: pathlib.Path, target: pathlib.Path) -> None:
  """Makes a hard link, or a copy where the file system has no links."""
  try:
    os.link(source.resolve(), target)
  except OSError:
    shutil.copy2(source, target)


def _meta(categories: Mapping[str, Mapping[int, str]]) -> dict[str, Any]:
  """Categories in the format of YouTube-VOS."""
  return {
    "videos": {
      name: {"objects": {str(i): {"category": c} for i, c in objects.items()}}
      for name, objects in categories.items()
    }
  }


def _contact_sheet(videos: Sequence[Video]) -> bytes:
  """A JPEG that shows some videos, one per row, with coloured objects."""
  rows = [videos[i].annotated_part() for i in _spread(len(videos), _SHEET_ROWS)]
  cells = [
    [
      viz.overlay(video.frame(t), _labels(video, t))
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
  """At most `most` indices below `length`, evenly spaced."""
  return np.unique(np.linspace(0, length - 1, most).round().astype(int)).tolist()
