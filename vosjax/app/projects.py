"""A project: a folder of plain files that hold everything painted and segmented.

    project.json       the video, the objects, and which of them are absent where
    given/NAME.png     what the user painted in a frame: labels for `vosjax segment`
    masks/NAME.png     labels of a frame, as `vosjax segment` writes them
    soft/NAME.png      probabilities of its objects in 8 bits, one below the other
    results.jsonl      a line for each segmented frame: key, objects and scores
    backward/NAME.png  what the backward pass found, where it is mixed with the other
    checkpoints/       sessions of the model, from which following goes on
    export/            what was exported

Every file is replaced as a whole or appended to by whole lines, so whatever ends the
server, a project is complete up to the latest stroke.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import pathlib
import re
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
from jaxtyping import Float, Integer, UInt8
from PIL import Image

from vosjax import files
from vosjax.app.plan import GivenObjects
from vosjax.data.codecs import label_images
from vosjax.inference.prompts import Direction
from vosjax.labels import find_ids
from vosjax.media.video_frames import VideoFrames
from vosjax.media.write import write_labels
from vosjax.viz.colors import bright_palette

FORMAT = 1
PROJECT_FILE = "project.json"
RESULTS_FILE = "results.jsonl"
MAX_ID = 254
_MAX_NAME = 60  # characters of an object's name

Labels = UInt8[np.ndarray, "h w"]


@dataclasses.dataclass
class ObjectInfo:
  """What the page shows of an object.

  Attributes:
    id: its value in label maps.
    name: free text.
    color: "#rrggbb".
    hidden: whether the page leaves it out.
    locked: whether strokes leave it alone.
  """

  id: int
  name: str
  color: str
  hidden: bool = False
  locked: bool = False

  @classmethod
  def new(cls, object_id: int) -> "ObjectInfo":
    """An object as it is when it is first painted."""
    return cls(object_id, f"Object {object_id}", default_colors()[object_id])

  @classmethod
  def from_json(cls, value: Any) -> "ObjectInfo":
    """Checks what the page sent.

    Raises:
      ValueError: it does not describe an object.
    """
    try:
      found = cls(**value)
    except TypeError:
      raise ValueError(f"an object is {value!r}; expected id, name, color.") from None
    number = isinstance(found.id, int) and 1 <= found.id <= MAX_ID
    color = isinstance(found.color, str) and _is_color(found.color)
    name = isinstance(found.name, str) and len(found.name) <= _MAX_NAME
    flags = isinstance(found.hidden, bool) and isinstance(found.locked, bool)
    if not (number and color and name and flags):
      raise ValueError(
        f"an object is {value!r}; expected an id from 1 to {MAX_ID}, a name of at most "
        f"{_MAX_NAME} characters and a color like #1f2e3d."
      )
    return found


@dataclasses.dataclass(frozen=True)
class Result:
  """What following found in a frame, without the pixels.

  Attributes:
    key: of everything that the result is made from, see `plan`.
    objects: ids that were found.
    scores: how sure each is, in [0, 1].
    lost: whether each is probably lost.
  """

  key: str
  objects: tuple[int, ...]
  scores: tuple[float, ...]
  lost: tuple[bool, ...]


class Project:
  """A video with everything painted and segmented in it. Threads may share it.

  Args:
    folder: of the project, which holds a `project.json`.
    video: that belongs to it.

  Attributes:
    id: name of the folder, which identifies the project in addresses.
    objects: by id, in the order of the page.
    given: what was painted, by frame number.
    results: what was segmented, by frame number.
    kept: what the backward pass found, where it is mixed with the forward pass.
    direction: in which the video was followed last.
  """

  def __init__(self, folder: pathlib.Path, video: VideoFrames):
    self.folder, self.video, self.id = folder, video, folder.name
    self._lock = threading.RLock()
    self._index = {name: k for k, name in enumerate(video.frame_names)}
    self.objects: dict[int, ObjectInfo] = {}
    self.given: dict[int, GivenObjects] = {}
    self.results: dict[int, Result] = {}
    self.kept: dict[int, Result] = {}
    self.direction: Direction = "forward"
    for part in ("given", "masks", "soft", "backward", "checkpoints"):
      (folder / part).mkdir(exist_ok=True)
      for draft in (folder / part).glob(".*.part*"):  # left by a server that was killed
        draft.unlink()
    self._load()
    self._log = open(folder / RESULTS_FILE, "a", encoding="utf-8")  # noqa: SIM115

  def close(self) -> None:
    """Closes the files; nothing can be recorded any more."""
    self._log.close()

  def _load(self) -> None:
    found = read_json(self.folder)
    for value in found.get("objects", ()):
      info = ObjectInfo.from_json(value)
      self.objects[info.id] = info
    if found.get("direction") in get_args(Direction):
      self.direction = found["direction"]
    absent = found.get("absent", {})
    painted = {path.stem for path in (self.folder / "given").glob("*.png")}
    for name in painted & set(self._index) | set(absent):
      index = self._index[name]
      labels = self.given_labels(index)
      self._remember_given(index, labels, absent.get(name, ()))
    self._load_results()

  def _load_results(self) -> None:
    path = self.folder / RESULTS_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    parts = {"masks": self.results, "backward": self.kept}
    for line in lines:
      with contextlib.suppress(ValueError, KeyError, TypeError):  # cut by a kill
        value = json.loads(line)
        index, part = self._index[value.pop("frame")], value.pop("part")
        value = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
        parts[part][index] = Result(**value)
    lines = []
    for part, results in parts.items():
      there = {path.stem for path in (self.folder / part).glob("*.png")}
      for index in [k for k in results if self.video.frame_names[k] not in there]:
        del results[index]
      lines += [self._line(part, k, result) for k, result in sorted(results.items())]
    files.write_bytes(path, "".join(lines).encode())

  def _line(self, part: str, index: int, result: Result) -> str:
    value = {"frame": self.video.frame_names[index], "part": part}
    return json.dumps(value | dataclasses.asdict(result)) + "\n"

  def _path(self, part: str, index: int) -> pathlib.Path:
    return self.folder / part / f"{self.video.frame_names[index]}.png"

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
      path = self._path("given", index)
      if find_ids(shown):
        write_labels(path, shown)
      else:
        path.unlink(missing_ok=True)
      self.given.pop(index, None)
      if objects:
        self._remember_given(index, shown, absent)
        for i in sorted(set(objects) - set(self.objects)):
          self.objects[i] = ObjectInfo.new(i)
      self._save()

  def _remember_given(self, index: int, labels: Labels, absent: Iterable[int]) -> None:
    shown, missing = (
      find_ids(labels),
      tuple(sorted(set(absent) - set(find_ids(labels)))),
    )
    digest = hashlib.sha1(np.ascontiguousarray(labels).tobytes())
    digest.update(json.dumps(missing).encode())
    self.given[index] = GivenObjects(shown, missing, digest.hexdigest())

  def given_labels(self, index: int) -> Labels:
    """What the user painted in a frame; background where that is nothing."""
    path = self._path("given", index)
    with self._lock:
      return label_images.read_labels(path) if path.exists() else self._nothing()

  def labels(self, index: int) -> Labels:
    """Labels of a frame: what was segmented, under what was painted."""
    self._check_index(index)
    with self._lock:
      path = self._path("masks", index)
      known = index in self.results and path.exists()
      labels = label_images.read_labels(path) if known else self._nothing()
      labels = np.where(np.isin(labels, list(self.objects)), labels, 0)
      given = self.given.get(index)
      if given is not None:
        labels[np.isin(labels, given.objects + given.absent)] = 0
        painted = self.given_labels(index)
        labels = np.where(painted > 0, painted, labels)
      return labels.astype(np.uint8)

  def probabilities(self, index: int) -> dict[int, Float[np.ndarray, "h w"]]:
    """Probability of each object that was segmented in a frame, to 8 bits."""
    with self._lock:
      result = self.results.get(index)
      if result is None or not result.objects:
        return {}
      planes = self._planes(self._path("soft", index), len(result.objects))
    return {i: p / np.float32(255) for i, p in zip(result.objects, planes)}

  def record(
    self,
    index: int,
    result: Result,
    labels: Integer[np.ndarray, "h w"],
    probs: Float[np.ndarray, "o h w"],
  ) -> None:
    """Keeps what was segmented in a frame."""
    soft = _png(_to_bytes(probs)) if len(probs) else b""
    with self._lock:
      files.write_bytes(self._path("soft", index), soft)
      write_labels(self._path("masks", index), labels)
      self._log.write(self._line("masks", index, result))
      self._log.flush()
      self.results[index] = result

  def keep(
    self,
    index: int,
    result: Result,
    labels: Integer[np.ndarray, "h w"],
    probs: Float[np.ndarray, "o h w"],
  ) -> None:
    """Keeps what the backward pass found in a frame, until the forward pass comes."""
    planes = np.concatenate([labels[None].astype(np.uint8), _to_bytes(probs)])
    with self._lock:
      files.write_bytes(self._path("backward", index), _png(planes))
      self._log.write(self._line("backward", index, result))
      self._log.flush()
      self.kept[index] = result

  def kept_result(
    self, index: int
  ) -> tuple[Result, Integer[np.ndarray, "h w"], Float[np.ndarray, "o h w"]]:
    """What `keep` kept of a frame, its probabilities to 8 bits."""
    with self._lock:
      result = self.kept[index]
      planes = self._planes(self._path("backward", index), 1 + len(result.objects))
    return result, planes[0].astype(np.int32), planes[1:] / np.float32(255)

  def _planes(self, path: pathlib.Path, count: int) -> UInt8[np.ndarray, "n h w"]:
    with Image.open(path) as image:
      return np.asarray(image).reshape(count, *self.video.size)

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
        "warnings": self.video.warnings,
        "frames": len(self.video),
        "names": [self.video.frame_names[0], self.video.frame_names[-1]],
        "width": width,
        "height": height,
        "rate": self.video.frames_per_second,
        "objects": [dataclasses.asdict(info) for info in self.objects.values()],
        "colors": default_colors(),
        "given": {k: [g.objects, g.absent] for k, g in self.given.items()},
        "results": {k: self.describe_result(k) for k in self.results},
      }

  def describe_result(self, index: int) -> dict[str, Any]:
    """Objects, scores and doubts of a frame, as JSON."""
    result = self.results[index]
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


def _to_bytes(probs: Float[np.ndarray, "o h w"]) -> UInt8[np.ndarray, "o h w"]:
  return np.rint(probs * 255).astype(np.uint8)


def _png(planes: UInt8[np.ndarray, "n h w"]) -> bytes:
  """Planes below each other, as a gray PNG."""
  buffer = io.BytesIO()
  stack = planes.reshape(-1, planes.shape[2])
  Image.fromarray(stack).save(buffer, "PNG", compress_level=1)
  return buffer.getvalue()


def default_colors() -> list[str]:
  """Colour of each id until the user chooses another, as in overlay videos."""
  return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in bright_palette()]


def _is_color(text: str) -> bool:
  return re.fullmatch("#[0-9a-f]{6}", text) is not None
