"""Records of frames: one line of JSON per frame while a job runs, files at its end.

Memory does not grow with the length of the video, and a job that is stopped goes on
after the last line that it needs.
"""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

import numpy as np
from jaxtyping import Float

from vosjax import files
from vosjax.media.outputs.frame import SegmentedFrame
from vosjax.media.outputs.output import Output

_OBJECT = "object"  # the category of objects without a name
Record = dict[str, Any]


class Records:
  """Lines of JSON, one per frame in order, in a file that is appended to.

  Args:
    path: of the file.
    start: number of the next frame; lines from there on are dropped.

  Raises:
    ValueError: a line before `start` is missing.
  """

  def __init__(self, path: pathlib.Path, start: int):
    self.path = path
    self._keep(start)
    self._file: TextIO | None = None

  def append(self, record: Record) -> None:
    """Adds the line of the next frame."""
    with self._naming_the_file():
      if self._file is None:
        self._file = self.path.open("a", encoding="utf-8")
      self._file.write(json.dumps(record, separators=(",", ":")) + "\n")

  def save(self) -> None:
    """Puts all lines on the disk."""
    if self._file is not None:
      with self._naming_the_file():
        self._file.flush()
        os.fsync(self._file.fileno())

  def close(self) -> None:
    """Ends writing. Lines that were not saved may be lost."""
    if self._file is not None:
      with contextlib.suppress(OSError):  # the disk is full, which was raised before
        self._file.close()
      self._file = None

  def __iter__(self) -> Iterator[Record]:
    if self._file is not None:
      self._file.flush()
    if not self.path.exists():
      return
    with self.path.open(encoding="utf-8") as lines:
      for line in lines:
        yield json.loads(line)

  @contextlib.contextmanager
  def _naming_the_file(self) -> Iterator[None]:
    try:
      yield
    except OSError as error:
      raise OSError(error.errno, error.strerror, str(self.path)) from error

  def _keep(self, count: int) -> None:
    """Drops all but the first `count` lines, such as one that was cut off."""
    if not count:
      self.path.unlink(missing_ok=True)
      return
    end = 0
    if self.path.exists():
      with self.path.open("rb") as lines:
        for line in lines:
          if not count or not line.endswith(b"\n"):
            break
          count, end = count - 1, end + len(line)
    if count:
      raise ValueError(
        f"{self.path}: {count} frames are missing. Start the job again in a new folder."
      )
    os.truncate(self.path, end)


class Recorder(Output):
  """An output that is made of records.

  Args:
    path: of the file that the records are kept in.
    start: number of the next frame.
  """

  def __init__(self, path: pathlib.Path, start: int):
    self.records = Records(path, start)

  def checkpoint(self) -> None:
    self.records.save()

  def close(self, error: BaseException | None) -> None:
    del error  # lines are complete one by one
    self.records.close()


def describe(frame: SegmentedFrame) -> Record:
  """What results.json says of a frame."""
  area = np.bincount(frame.labels.ravel(), minlength=256) / frame.labels.size
  return {
    "name": frame.name,
    "time": round(frame.time, 6),
    "objects": list(frame.object_ids),
    "scores": _rounded(frame.scores),
    "lost": None if frame.lost is None else np.asarray(frame.lost).tolist(),
    "area": [round(float(area[object_id]), 6) for object_id in frame.object_ids],
  }


def _rounded(scores: Float[np.ndarray, "o"] | None) -> list[float] | None:
  return None if scores is None else np.asarray(scores, float).round(4).tolist()


class Times(Recorder):
  """The times of all frames, which the videos need at their end."""

  def __init__(self, parts: pathlib.Path, start: int):
    super().__init__(parts / "times.jsonl", start)

  def write(self, frame: SegmentedFrame) -> None:
    """Adds a frame."""
    self.records.append({"time": frame.time})

  def finish(self) -> None:
    """Nothing: the times stand in other files."""

  def read(self) -> Float[np.ndarray, "t"]:
    """Seconds of all frames so far."""
    return np.array([record["time"] for record in self.records], np.float64)


class Results(Recorder):
  """results.json: name, time, objects, scores, flags and areas of every frame."""

  def __init__(
    self, folder: pathlib.Path, parts: pathlib.Path, start: int, video_name: str
  ):
    self._path, self._video_name = folder / "results.json", video_name
    super().__init__(parts / "results.jsonl", start)

  def write(self, frame: SegmentedFrame) -> None:
    """Adds a frame."""
    self.records.append(describe(frame))

  def finish(self) -> None:
    """Writes results.json."""
    with (
      files.replacing(self._path) as draft,
      draft.open("w", encoding="utf-8") as file,
    ):
      file.write(f'{{"video": {json.dumps(self._video_name)},\n"frames": [\n')
      for number, record in enumerate(self.records):
        file.write((",\n" if number else "") + json.dumps(record))
      file.write("\n]}\n")


class Coco(Recorder):
  """coco.json: a COCO file with run-length masks, scores and track ids.

  An object's id is its track. The category of an object is its name, which several may
  share; that of objects without one is "object".

  Source: the COCO data format, https://cocodataset.org/#format-results
  """

  def __init__(
    self,
    folder: pathlib.Path,
    parts: pathlib.Path,
    start: int,
    video_name: str,
    size: tuple[int, int],
    names: Mapping[int, str],
    suffix: str,
  ):
    self._suffix = suffix
    self._names = dict(sorted(names.items()))
    self._categories = {
      name: number
      for number, name in enumerate(dict.fromkeys([_OBJECT, *self._names.values()]), 1)
    }
    self._encode = load_pycocotools().encode
    self._path, self._video_name, self._size = folder / "coco.json", video_name, size
    super().__init__(parts / "coco.jsonl", start)

  def write(self, frame: SegmentedFrame) -> None:
    """Adds the masks of a frame."""
    annotations = []
    for position, object_id in enumerate(frame.object_ids):
      mask = frame.labels == object_id
      if mask.any():
        annotation = self._annotate(frame.index, object_id, mask)
        if frame.scores is not None:
          annotation["score"] = round(float(frame.scores[position]), 4)
        annotations.append(annotation)
    self.records.append({"name": frame.name, "annotations": annotations})

  def _annotate(self, index: int, object_id: int, mask: np.ndarray) -> Record:
    encoded = self._encode(np.asfortranarray(mask, np.uint8))
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
    return {
      "id": 256 * index + object_id,
      "image_id": index + 1,
      "category_id": self._categories[self._names.get(object_id, _OBJECT)],
      "track_id": object_id,
      "segmentation": {
        "size": list(mask.shape),
        "counts": encoded["counts"].decode("ascii"),
      },
      "area": int(np.count_nonzero(mask)),
      "bbox": [int(value) for value in box],
      "iscrowd": 0,
    }

  def finish(self) -> None:
    """Writes coco.json."""
    height, width = self._size
    with (
      files.replacing(self._path) as draft,
      draft.open("w", encoding="utf-8") as file,
    ):
      file.write(f'{{"info": {{"description": {json.dumps(self._video_name)}}},\n')
      categories = [{"id": i, "name": name} for name, i in self._categories.items()]
      file.write(f'"categories": {json.dumps(categories)},\n"images": [\n')
      for number, record in enumerate(self.records):
        image = {"id": number + 1, "file_name": record["name"] + self._suffix}
        image |= {"width": width, "height": height}
        file.write((",\n" if number else "") + json.dumps(image))
      file.write('\n],\n"annotations": [\n')
      separator = ""
      for record in self.records:
        for annotation in record["annotations"]:
          file.write(separator + json.dumps(annotation))
          separator = ",\n"
      file.write("\n]}\n")


def load_pycocotools() -> Any:
  """Imports the masks of pycocotools.

  Raises:
    ValueError: pycocotools is not installed; says how to install it.
  """
  try:
    from pycocotools import mask
  except ImportError as error:
    raise ValueError(
      'coco.json needs pycocotools. Run `pip install "vosjax[video]"`.'
    ) from error
  return mask
