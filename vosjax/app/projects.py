"""A project: a folder of plain files that hold everything painted and segmented.

    project.json       the video, the objects, those deleted, and which are absent where
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
from vosjax.app.results import Result, Results
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
    revision: number of changes of `objects` and `deleted` since the project was opened.
    deleted: ids of objects that were deleted; none of them is used again, because older
      results and other windows may still hold it.
    given: what was painted, by frame number. Replaced as a whole, never changed, so
      that threads may iterate over it.
    results: what was segmented.
    direction: in which the video was followed last.
  """

  def __init__(self, folder: pathlib.Path, video: VideoFrames):
    self.folder, self.video, self.id = folder, video, folder.name
    self.version = videos.version(video)
    self._lock = threading.RLock()
    self._index = {name: k for k, name in enumerate(video.frame_names)}
    self.objects: Mapping[int, ObjectInfo] = {}
    self.deleted: frozenset[int] = frozenset()
    self.revision = 0
    self.given: Mapping[int, GivenObjects] = {}
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
    self.deleted = frozenset(found.get("deleted", ()))
    infos = [ObjectInfo.from_json(value) for value in found.get("objects", ())]
    self.objects = {info.id: info for info in infos if info.id not in self.deleted}
    if found.get("direction") in get_args(Direction):
      self.direction = found["direction"]
    absent = found.get("absent", {})
    painted = {path.stem for path in (self.folder / "given").glob("*.png")}
    for name in (painted | set(absent)) & set(self._index):
      index = self._index[name]
      labels = self._read_given(index)
      ids = set(find_ids(labels)) | set(absent.get(name, ()))
      if ids & self.deleted:  # a kill, or a full disk, while an object was deleted
        ids -= self.deleted
        labels = self._write_given(index, labels, ids)
      self._remember_given(index, labels, ids)
      self._list(ids)  # or between what was painted and the project's file

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

  def paint(
    self,
    index: int,
    labels: Labels,
    objects: Collection[int],
    released: Collection[int] = (),
  ) -> None:
    """Keeps what the user painted in a frame. Other objects given in it stay.

    Args:
      index: number of the frame.
      labels: of the frame, as the page shows them. Only pixels of `objects` count.
      objects: ids that the user painted or erased. One that has no pixel is absent from
        this frame.
      released: ids of which nothing is given in this frame any more.

    Raises:
      ValueError: the labels do not fit the video, an id is not in 1 to 254 or was
        deleted, or a locked object would change.
    """
    self._check_index(index)
    if labels.shape != tuple(self.video.size):
      raise ValueError(
        f"labels are {list(labels.shape)}, but frames are {list(self.video.size)}."
      )
    if not all(1 <= i <= MAX_ID for i in objects):
      raise ValueError(f"objects are {sorted(objects)}; ids are 1 to {MAX_ID}.")
    with self._lock:
      self._refuse_deleted(objects)
      self._refuse_locked({*objects, *released}, self._covered(index, labels, objects))
      kept = self.given_labels(index)
      kept[np.isin(kept, [*objects, *released])] = 0
      shown = np.where(np.isin(labels, list(objects)), labels, kept).astype(np.uint8)
      given = self.given.get(index)
      old_absent = set() if given is None else set(given.absent)
      ids = set() if given is None else {*given.objects, *given.absent}
      ids = ids - set(released) | set(objects)
      absent = ids - set(find_ids(shown))
      if absent - old_absent:
        # Before pixels go: what a file shows outweighs a mark of absence, so a kill in
        # between changes nothing.
        self._write({index: absent | old_absent})
      self._remember_given(index, self._write_given(index, shown, ids), ids)
      self._list(objects)
      self._save()

  def _refuse_deleted(self, ids: Iterable[int]) -> None:
    gone = sorted(self.deleted & set(ids))
    if gone:
      raise ValueError(
        f"object {gone[0]} was deleted, and its id is not used again: add a new object."
      )

  def _covered(self, index: int, labels: Labels, objects: Collection[int]) -> set[int]:
    """Ids of other objects that a frame shows where `labels` show some `objects`."""
    if not any(info.locked for info in self.objects.values()):
      return set()  # nobody asks
    painted = np.isin(labels, list(objects))
    return set(find_ids(np.where(painted, self.labels(index), np.uint8(0))))

  def _refuse_locked(self, changed: Collection[int], covered: Collection[int]) -> None:
    """The one rule of locks, for everything that changes masks.

    Args:
      changed: ids that would be painted, erased, released or deleted.
      covered: ids that others would be painted over.

    Raises:
      ValueError: one of them is locked.
    """
    for info in self.objects.values():
      if info.locked and (info.id in changed or info.id in covered):
        reason = "is locked" if info.id in changed else "is locked, and lies below"
        raise ValueError(f"{info.name} {reason}: unlock it to change it.")

  def _list(self, ids: Iterable[int]) -> None:
    """Lists objects that are painted for the first time."""
    new = set(ids) - set(self.objects)
    if new:
      listed = {**self.objects, **{i: ObjectInfo.new(i) for i in new}}
      self.objects = dict(sorted(listed.items()))
      self.revision += 1

  def _write_given(self, index: int, labels: Labels, ids: Collection[int]) -> Labels:
    """Writes the labels of some objects as given in a frame; returns what they show."""
    shown = np.where(np.isin(labels, list(ids)), labels, 0).astype(np.uint8)
    path = self._given_path(index)
    if find_ids(shown):
      write_labels(path, shown)
    else:
      path.unlink(missing_ok=True)
    return shown

  def _remember_given(self, index: int, labels: Labels, ids: Collection[int]) -> None:
    """Remembers what a frame shows, and which other `ids` are absent from it."""
    others = {k: one for k, one in self.given.items() if k != index}
    if not ids:
      self.given = others
      return
    shown = find_ids(labels)
    missing = tuple(sorted(set(ids) - set(shown)))
    digest = hashlib.sha1(np.ascontiguousarray(labels).tobytes())
    digest.update(json.dumps(missing).encode())
    self.given = {**others, index: GivenObjects(shown, missing, digest.hexdigest())}

  def given_labels(self, index: int) -> Labels:
    """What the user painted in a frame; background where that is nothing."""
    with self._lock:
      labels = self._read_given(index)
      if not self.deleted:
        return labels
      # A full disk may have kept a deleted object in the file.
      return np.where(np.isin(labels, list(self.deleted)), np.uint8(0), labels)

  def _read_given(self, index: int) -> Labels:
    path = self._given_path(index)
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

  def update_objects(self, values: Sequence[Any]) -> int:
    """Adds objects, or replaces their names, colours and flags; others stay.

    Returns:
      The revision with this change.

    Raises:
      ValueError: a value does not describe an object, or the object was deleted.
    """
    infos = {info.id: info for info in map(ObjectInfo.from_json, values)}
    with self._lock:
      self._refuse_deleted(infos)
      self.objects = dict(sorted({**self.objects, **infos}.items()))
      self.revision += 1
      self._save()
      return self.revision

  def delete_object(self, object_id: int) -> int:
    """Deletes an object in all frames, for good.

    Returns:
      The revision with this change.

    Raises:
      KeyError: there is no such object, and never was one.
      ValueError: it is locked.
    """
    with self._lock:
      self._refuse_locked({object_id}, ())
      if object_id not in self.objects and object_id not in self.deleted:
        raise KeyError(object_id)
      self.objects = {k: one for k, one in self.objects.items() if k != object_id}
      self.deleted |= {object_id}
      self.revision += 1
      self._save()  # it is gone from here on, whatever ends the server
      failed: OSError | None = None
      for index, given in self.given.items():
        ids = {*given.objects, *given.absent}
        if object_id not in ids:
          continue
        ids -= {object_id}
        labels = self.given_labels(index)
        try:
          self._write_given(index, labels, ids)
        except OSError as error:  # the file is mended when the project is opened
          failed = error
        self._remember_given(index, np.where(labels == object_id, 0, labels), ids)
      if failed is not None:
        raise failed
      return self.revision

  def _save(self) -> None:
    self._write({})

  def _write(self, absent: Mapping[int, Collection[int]]) -> None:
    """Writes the project's file, in some frames with other marks of absence."""
    names = self.video.frame_names
    given = {k: one.absent for k, one in self.given.items()}
    merged = sorted({**given, **absent}.items())
    marks = {k: sorted(set(ids) - self.deleted) for k, ids in merged}
    value = read_json(self.folder) | {
      "direction": self.direction,
      "objects": [dataclasses.asdict(info) for info in self.objects.values()],
      "deleted": sorted(self.deleted),
      "absent": {names[k]: ids for k, ids in marks.items() if ids},
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
        "colors": default_colors(),
        "export_folder": str((self.folder / "export").resolve()),
      } | self.describe_frames(range(len(self.video)))

  def describe_frames(self, frames: Iterable[int]) -> dict[str, Any]:
    """The objects, and what is given and found in some frames, as JSON."""
    with self._lock:  # results come meanwhile, and deletions must not
      given, results = self.given, dict(self.results.final)
      return {
        "objects": [dataclasses.asdict(info) for info in self.objects.values()],
        "deleted": sorted(self.deleted),
        "revision": self.revision,
        "given": {k: [given[k].objects, given[k].absent] for k in frames if k in given},
        "results": {k: self._describe(results[k]) for k in frames if k in results},
      }

  def _describe(self, result: Result) -> dict[str, Any]:
    """Objects, scores and doubts of a frame; nothing of objects that were deleted."""
    kept = [k for k, i in enumerate(result.objects) if i not in self.deleted]
    return {
      "objects": [result.objects[k] for k in kept],
      "scores": [round(result.scores[k], 3) for k in kept],
      "lost": [result.lost[k] for k in kept],
    }


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
  files.write_json(folder / PROJECT_FILE, value)
