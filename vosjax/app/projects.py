"""A project: a folder of plain files that hold everything painted and segmented.

    project.json       the video, the objects, and which of them are absent where
    given/NAME.png     what the user painted in a frame: labels for `vosjax segment`
    masks/NAME.png     labels of a frame, as `vosjax segment` writes them
    soft/NAME.png      probabilities of its objects in 8 bits, one below the other
    results.jsonl      a line for each segmented frame: key, objects and scores
    backward/NAME.png  what the backward pass found, where it is mixed with the other
    checkpoints/       sessions of the model, from which following goes on
    export/            what was exported

Every file is replaced as a whole or appended to by whole lines (`results`), so whatever
ends the server, a project is complete up to the latest stroke.
"""

import dataclasses
import hashlib
import json
import pathlib
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
from jaxtyping import UInt8

from vosjax import files
from vosjax.app import videos
from vosjax.app.objects import MAX_ID, ObjectInfo, default_colors
from vosjax.app.plan import GivenObjects
from vosjax.app.results import Results
from vosjax.data.codecs import label_images
from vosjax.inference.prompts import Direction
from vosjax.labels import find_ids
from vosjax.media.video_frames import VideoFrames
from vosjax.media.write import write_labels

FORMAT = 1
PROJECT_FILE = "project.json"

Labels = UInt8[np.ndarray, "h w"]


class Project:
  """A video with everything painted and segmented in it. Threads may share it.

  Args:
    folder: of the project, which holds a `project.json`.
    video: that belongs to it.

  Attributes:
    id: name of the folder, which identifies the project in addresses.
    version: digest of the video's files.
    objects: by id, in the order of the page.
    given: what was painted, by frame number.
    results: what was segmented.
    direction: in which the video was followed last.
  """

  def __init__(self, folder: pathlib.Path, video: VideoFrames):
    self.folder, self.video, self.id = folder, video, folder.name
    self.version = videos.version(video)
    self._lock = threading.RLock()
    self._index = {name: k for k, name in enumerate(video.frame_names)}
    self.objects: dict[int, ObjectInfo] = {}
    self.given: dict[int, GivenObjects] = {}
    self.direction: Direction = "forward"
    for part in ("given", "checkpoints"):
      (folder / part).mkdir(exist_ok=True)
      for draft in (folder / part).glob(".*.part*"):  # left by a server that was killed
        draft.unlink()
    self._load()
    self.results = Results(folder, video)

  def close(self) -> None:
    """Closes the files; nothing can be recorded any more."""
    self.results.close()

  def _load(self) -> None:
    """Reads what was painted.

    Raises:
      ValueError: the project's file is damaged, or its video is another one now.
    """
    found = read_json(self.folder)
    self._check_video(found)
    for value in found.get("objects", ()):
      info = ObjectInfo.from_json(value)
      self.objects[info.id] = info
    if found.get("direction") in get_args(Direction):
      self.direction = found["direction"]
    absent = found.get("absent", {})
    painted = {path.stem for path in (self.folder / "given").glob("*.png")}
    for name in (painted | set(absent)) & set(self._index):
      index = self._index[name]
      labels = self.given_labels(index)
      self._remember_given(index, labels, absent.get(name, ()))

  def _check_video(self, found: Mapping[str, Any]) -> None:
    """Refuses a video of another length or size than the project was made for."""
    frames, size = len(self.video), list(self.video.size)
    old_frames, old_size = found.get("frames", frames), found.get("size", size)
    if (old_frames, old_size) != (frames, size):
      raise ValueError(
        f"{self.video.name} has changed: it had {old_frames} frames of "
        f"{old_size[1]}x{old_size[0]}, and has {frames} of {size[1]}x{size[0]} now. "
        f"Put it back, or delete the project {self.folder}."
      )
    write_json(self.folder, {**found, "frames": frames, "size": size})

  def _given_path(self, index: int) -> pathlib.Path:
    return self.folder / "given" / f"{self.video.frame_names[index]}.png"

  def _nothing(self) -> Labels:
    return np.zeros(self.video.size, np.uint8)

  @property
  def checkpoints(self) -> pathlib.Path:
    """Folder of the states of the model."""
    return self.folder / "checkpoints"

  def paint(self, index: int, labels: Labels, objects: Collection[int]) -> None:
    """Keeps what the user painted in a frame.

    Args:
      index: number of the frame.
      labels: all objects of the frame, as the page shows them.
      objects: ids that the user painted or erased. One that has no pixel is absent from
        this frame. If there are none, nothing is given in this frame any more.

    Raises:
      ValueError: the labels do not fit the video, or an id is not in 1 to 254.
    """
    self._check_index(index)
    if labels.shape != tuple(self.video.size):
      raise ValueError(
        f"labels are {list(labels.shape)}, but frames are {list(self.video.size)}."
      )
    if not all(1 <= i <= MAX_ID for i in objects):
      raise ValueError(f"objects are {sorted(objects)}; ids are 1 to {MAX_ID}.")
    shown = np.where(np.isin(labels, list(objects)), labels, 0).astype(np.uint8)
    with self._lock:
      absent = sorted(set(objects) - set(find_ids(shown)))
      path = self._given_path(index)
      if find_ids(shown):
        write_labels(path, shown)
      else:
        path.unlink(missing_ok=True)
      if not objects:
        self.given.pop(index, None)
      else:
        self._remember_given(index, shown, absent)
        for i in sorted(set(objects) - set(self.objects)):
          self.objects[i] = ObjectInfo.new(i)
      self._save()

  def _remember_given(self, index: int, labels: Labels, absent: Iterable[int]) -> None:
    shown = find_ids(labels)
    missing = tuple(sorted(set(absent) - set(shown)))
    digest = hashlib.sha1(np.ascontiguousarray(labels).tobytes())
    digest.update(json.dumps(missing).encode())
    self.given[index] = GivenObjects(shown, missing, digest.hexdigest())

  def given_labels(self, index: int) -> Labels:
    """What the user painted in a frame; background where that is nothing."""
    path = self._given_path(index)
    with self._lock:
      return label_images.read_labels(path) if path.exists() else self._nothing()

  def prompts(self, given: Mapping[int, GivenObjects]) -> dict[int, Labels] | None:
    """Labels of all frames in which objects are shown.

    Args:
      given: what the caller knows of.

    Returns:
      Labels by the number of the frame; None if something else is given meanwhile.
    """
    with self._lock:
      if self.given != given:
        return None
      return {k: self.given_labels(k) for k, one in given.items() if one.objects}

  def labels(self, index: int) -> Labels:
    """Labels of a frame: what was segmented, under what was painted."""
    self._check_index(index)
    with self._lock:
      found = self.results.labels(index)
      labels = self._nothing() if found is None else found
      labels = np.where(np.isin(labels, list(self.objects)), labels, 0)
      given = self.given.get(index)
      if given is not None:
        labels[np.isin(labels, given.objects + given.absent)] = 0
        painted = self.given_labels(index)
        labels = np.where(painted > 0, painted, labels)
      return labels.astype(np.uint8)

  def set_direction(self, direction: Direction) -> None:
    """Remembers in which direction the video is followed."""
    with self._lock:
      self.direction = direction
      self._save()

  def set_objects(self, values: Sequence[Any]) -> None:
    """Replaces names, colours and flags; an object that is missing is deleted.

    Raises:
      ValueError: a value does not describe an object.
    """
    infos = [ObjectInfo.from_json(value) for value in values]
    with self._lock:
      deleted = set(self.objects) - {info.id for info in infos}
      self.objects = {info.id: info for info in infos}
      for index, given in list(self.given.items()):
        kept = set(given.objects + given.absent) - deleted
        if kept != set(given.objects + given.absent):
          self.paint(index, self.given_labels(index), kept)
      self._save()

  def _save(self) -> None:
    names = self.video.frame_names
    value = read_json(self.folder) | {
      "direction": self.direction,
      "objects": [dataclasses.asdict(info) for info in self.objects.values()],
      "absent": {names[k]: g.absent for k, g in sorted(self.given.items()) if g.absent},
    }
    write_json(self.folder, value)

  def _check_index(self, index: int) -> None:
    if not 0 <= index < len(self.video):
      raise ValueError(
        f"frame {index} is not in the video, which has {len(self.video)} frames."
      )

  def describe(self) -> dict[str, Any]:
    """What the page needs to know, as JSON."""
    height, width = self.video.size
    with self._lock:
      return {
        "id": self.id,
        "video": read_json(self.folder)["video"],
        "version": self.version[:12],
        "warnings": self.video.warnings,
        "frames": len(self.video),
        "names": [self.video.frame_names[0], self.video.frame_names[-1]],
        "width": width,
        "height": height,
        "rate": self.video.frames_per_second,
        "objects": [dataclasses.asdict(info) for info in self.objects.values()],
        "colors": default_colors(),
        "given": {k: [g.objects, g.absent] for k, g in self.given.items()},
        "results": {k: self.describe_result(k) for k in self.results.final},
      }

  def describe_result(self, index: int) -> dict[str, Any]:
    """Objects, scores and doubts of a frame, as JSON."""
    result = self.results.final[index]
    scores = [round(score, 3) for score in result.scores]
    return {"objects": result.objects, "scores": scores, "lost": result.lost}


def read_json(folder: pathlib.Path) -> dict[str, Any]:
  """Reads a project's file.

  Raises:
    ValueError: it is missing or damaged.
  """
  path = folder / PROJECT_FILE
  try:
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["format"] != FORMAT or not isinstance(found["video"], str):
      raise ValueError
  except (OSError, ValueError, KeyError, TypeError):
    raise ValueError(
      f"{path}: is not a project that this version of vosjax wrote. Choose another "
      "folder with --projects."
    ) from None
  return found


def write_json(folder: pathlib.Path, value: Mapping[str, Any]) -> None:
  """Writes a project's file."""
  files.write_bytes(folder / PROJECT_FILE, json.dumps(value, indent=2).encode())
