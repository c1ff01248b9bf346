"""Videos of COCO-style JSON files, with instances as RLE or polygons."""

import collections
import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vosjax.data.codecs import images
from vosjax.data.codecs.coco_masks import decode
from vosjax.data.formats.folders import by_number, path_inside
from vosjax.data.video import Video
from vosjax.labels import VOID

MAX_OBJECTS = VOID - 1
MAX_PIXELS = 2**27  # of a frame; more is a mistake, and would fill the memory
_FRAME_FOLDERS = ("", "JPEGImages", "images")
_MAX_LISTED = 5


@dataclasses.dataclass(frozen=True)
class Instance:
  """One object in one frame.

  Attributes:
    object_id: within its video; VOID for a crowd.
    segmentation: RLE, compressed or not, or polygons.
  """

  object_id: int
  segmentation: Any


@dataclasses.dataclass(frozen=True)
class CocoVideo(Video):
  """A video whose label maps are painted from instances when they are read.

  Where instances overlap, the one with the smaller area wins. Crowds become void, and
  lie below all objects.

  Attributes:
    name: of the video.
    frame_files: in temporal order.
    instances: of each frame; None where a frame is not annotated.
    size: (height, width) according to the JSON.
    categories: of the objects by id.
    origin: name of the JSON file, for error messages.
    bits: of 16-bit gray frames, the bits that hold their values.
  """

  name: str
  frame_files: tuple[Path, ...]
  instances: tuple[tuple[Instance, ...] | None, ...]
  # Fields that hide a default of `Video` must not inherit it as their own default.
  size: tuple[int, int] = dataclasses.field()
  categories: Mapping[int, str] = dataclasses.field()
  origin: str
  bits: int = 16

  @functools.cached_property
  def frame_names(self) -> tuple[str, ...]:
    """File names without suffix."""
    return tuple(path.stem for path in self.frame_files)

  @functools.cached_property
  def annotated_frames(self) -> tuple[int, ...]:
    return tuple(t for t, found in enumerate(self.instances) if found is not None)

  def __len__(self) -> int:
    return len(self.frame_files)

  def frame(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """RGB; ValueError if unreadable or not of the size that the JSON states."""
    path = self.frame_files[index]
    frame = images.read_image(path, self.bits)
    if frame.shape[:2] != self.size:
      raise ValueError(
        f"{path}: {frame.shape[0]}x{frame.shape[1]} pixels (height x width), but "
        f"{self.origin} says {self.size[0]}x{self.size[1]}. Give the images, or the "
        "video, that it was made for."
      )
    return frame

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    """Object ids; ValueError if a segmentation is unreadable."""
    instances = self.instances[index]
    if instances is None:
      return None
    try:
      masks = [decode(instance.segmentation, self.size) for instance in instances]
    except ValueError as error:
      raise ValueError(
        f"{self.origin}: {self.name}/{self.frame_names[index]}: {error}"
      ) from None
    labels = np.zeros(self.size, np.uint8)
    crowds_then_large_first = sorted(
      zip(instances, masks),
      key=lambda pair: (pair[0].object_id != VOID, -np.count_nonzero(pair[1])),
    )
    for instance, mask in crowds_then_large_first:
      labels[mask] = instance.object_id
    return labels

  def annotated_part(self) -> "CocoVideo":
    """The video of the annotated frames alone."""
    if len(self.annotated_frames) == len(self):
      return self
    return dataclasses.replace(
      self,
      frame_files=tuple(self.frame_files[t] for t in self.annotated_frames),
      instances=tuple(self.instances[t] for t in self.annotated_frames),
    )


def check_size(size: Any, origin: Path | str) -> tuple[int, int]:
  """(height, width) as a file states it; ValueError unless it can be an image's."""
  height, width = size
  whole = isinstance(height, int) and isinstance(width, int)
  if not whole or min(size) < 1 or height * width > MAX_PIXELS:
    raise ValueError(
      f"{origin}: says that frames have {str(height)[:20]}x{str(width)[:20]} pixels "
      f"(height x width); expected two whole numbers, {MAX_PIXELS} pixels at most."
    )
  return height, width


Locate = Callable[[Sequence[str]], tuple[Path, ...]]


def read_coco(
  path: Path, frames: Path | None = None, locate: Locate | None = None
) -> list[CocoVideo]:
  """The videos of a JSON file.

  Either `videos` with `file_names`, and annotations with one segmentation per frame
  (YouTube-VIS); or `images`, which belong to a video if they have a `video_id`, and
  whose objects then have an `instance_id` or `track_id`. Other images become videos of
  one frame. Objects of a video are numbered from 1 in the order of the file.

  Args:
    path: of the JSON file.
    frames: folder that the file names are relative to; by default it is searched for
      next to the file.
    locate: finds the frames of a video by their file names, in place of `frames`.

  Raises:
    ValueError: the file is not such a JSON, frames are not found, or a video has more
      objects than a label map can hold.
  """
  try:
    content = _load(path)
    categories = {c["id"]: str(c["name"]) for c in content.get("categories", ())}
    by_video = "videos" in content and any(
      "file_names" in video for video in content["videos"]
    )
    _check_ids(
      path, content, *(("videos", "video_id") if by_video else ("images", "image_id"))
    )
    listed = (_read_videos if by_video else _read_images)(content)
    locate = locate or functools.partial(_locate, path, frames)
    videos = [_video(path, record, locate, categories) for record in listed]
  except (
    AttributeError,
    KeyError,
    TypeError,
  ) as error:
    raise _unusable(path, error) from None
  if not videos:
    raise ValueError(f"{path}: contains no videos and no images.")
  return videos


def _load(path: Path) -> Any:
  try:
    return json.loads(path.read_bytes())
  except (RecursionError, ValueError) as error:  # nested too deeply, or too many digits
    raise _unusable(path, error) from None


def _unusable(path: Path, error: Exception) -> ValueError:
  return ValueError(
    f"{path}: not a COCO-style JSON ({type(error).__name__}: {error}); expected "
    "videos or images, annotations and categories."
  )


@dataclasses.dataclass
class _Record:
  """A video as the JSON file describes it."""

  name: str
  files: list[str]
  size: tuple[int, int]
  tracks: dict[Any, Any]  # category id by track, in the order of the file
  marks: list[list[tuple[Any, Any]]]  # per frame: (track or None, segmentation)


def _check_ids(path: Path, content: dict[str, Any], kind: str, key: str) -> None:
  """Raises unless ids are unique and every annotation refers to one of them."""
  annotations = content.get("annotations") or ()
  counts = collections.Counter(record["id"] for record in content[kind])
  tracks = collections.Counter(
    (a[key], a["id"]) for a in annotations if kind == "videos" and "id" in a
  )
  for what, ids in ((kind, counts), ("annotations", tracks)):
    if duplicates := [i for i, count in ids.items() if count > 1]:
      raise ValueError(
        f"{path}: several {what} have the id {duplicates[0]}. Make the ids unique."
      )
  for n, annotation in enumerate(annotations):
    if annotation[key] not in counts:
      raise ValueError(
        f"{path}: annotation {annotation.get('id', n)} has {key} {annotation[key]}, "
        f"but {kind} has no such id. Add it there, or remove the annotation."
      )


def _read_videos(content: dict[str, Any]) -> list[_Record]:
  records = {
    video["id"]: _Record(
      _common_folder(video["file_names"]) or str(video["id"]),
      video["file_names"],
      check_size((video["height"], video["width"]), "videos"),
      {},
      [[] for _ in video["file_names"]],
    )
    for video in content["videos"]
  }
  for n, annotation in enumerate(content.get("annotations") or ()):
    record = records[annotation["video_id"]]
    track = None if annotation.get("iscrowd") else annotation.get("id", n)
    if track is not None:
      record.tracks[track] = annotation.get("category_id")
    segmentations = annotation["segmentations"]
    if len(segmentations) != len(record.files):
      raise ValueError(
        f"annotation {annotation.get('id', n)} of video {record.name} has "
        f"{len(segmentations)} segmentations, but the video has {len(record.files)} "
        "file_names. Give one per frame, null where the object is not visible."
      )
    for marks, segmentation in zip(record.marks, segmentations):
      if segmentation:
        marks.append((track, segmentation))
  return list(records.values())


def _read_images(content: dict[str, Any]) -> list[_Record]:
  names = {video["id"]: str(video["name"]) for video in content.get("videos", ())}
  alone = {x["id"] for x in content["images"] if x.get("video_id") is None}
  tracked = any(
    _track(a) is not None and a["image_id"] in alone
    for a in content.get("annotations") or ()
  )
  order = sorted(content["images"], key=lambda x: _order(x, tracked))
  records: dict[Any, _Record] = {}
  places: dict[Any, tuple[_Record, int]] = {}
  for image in order:
    video, file = image.get("video_id"), image["file_name"].replace("\\", "/")
    if video is not None:
      key, name = ("video", video), names.get(video, str(video))
    elif tracked:  # as CVAT writes a video: its frames are the images of one folder
      key = ("folder", str(Path(file).parent))
      name = Path(file).parent.name or "video"
    else:
      key, name = ("image", image["id"]), str(Path(file).with_suffix(""))
    size = check_size((image["height"], image["width"]), file)
    record = records.setdefault(key, _Record(name, [], size, {}, []))
    places[image["id"]] = record, len(record.files)
    record.files.append(file)
    record.marks.append([])
  for n, annotation in enumerate(content.get("annotations") or ()):
    record, t = places[annotation["image_id"]]
    track = _track(annotation)
    if track is None and len(record.files) > 1:
      raise ValueError(
        f"annotation {annotation.get('id', n)} of video {record.name} has neither an "
        "instance_id nor a track_id, which say what object of other frames it is."
      )
    # CVAT writes every mask that was drawn with a brush as a crowd, with its track.
    if annotation.get("iscrowd") and not _is_cvat_track(annotation):
      track = None
    else:
      track = ("annotation", n) if track is None else track
      record.tracks[track] = annotation.get("category_id")
    if annotation.get("segmentation"):
      record.marks[t].append((track, annotation["segmentation"]))
  return list(records.values())


def _track(annotation: Mapping[str, Any]) -> Any:
  """Which object an annotation of a frame shows; None if it does not say."""
  for key in ("instance_id", "track_id"):
    if annotation.get(key) is not None:
      return annotation[key]
  return (annotation.get("attributes") or {}).get("track_id")


def _is_cvat_track(annotation: Mapping[str, Any]) -> bool:
  return (annotation.get("attributes") or {}).get("track_id") is not None


def _order(image: Mapping[str, Any], tracked: bool) -> Any:
  """A key that sorts images by time."""
  by_name = tracked and image.get("video_id") is None
  return image.get("frame_id", 0), by_number(image["file_name"]) if by_name else []


def _video(
  path: Path, record: _Record, locate: Locate, categories: Mapping[Any, str]
) -> CocoVideo:
  if len(record.tracks) > MAX_OBJECTS:
    raise ValueError(
      f"{path}: video {record.name} has {len(record.tracks)} objects, but a label map "
      f"can hold at most {MAX_OBJECTS}. Split the video."
    )
  ids: dict[Any, int] = {track: i for i, track in enumerate(record.tracks, 1)}
  ids[None] = VOID  # crowds
  annotated = any(record.marks)
  return CocoVideo(
    name=record.name,
    frame_files=locate(record.files),
    instances=tuple(
      tuple(Instance(ids[track], mask) for track, mask in marks) if annotated else None
      for marks in record.marks
    ),
    size=record.size,
    categories={
      ids[track]: categories[category]
      for track, category in record.tracks.items()
      if category in categories
    },
    origin=path.name,
  )


def _locate(path: Path, frames: Path | None, files: Sequence[str]) -> tuple[Path, ...]:
  """Paths of the frames, below the first folder that contains one of them."""
  folders = (
    [frames]
    if frames
    else [
      base / name
      for base in (path.parent, path.parent.parent)
      for name in (*_FRAME_FOLDERS, path.stem, path.stem.removeprefix("instances_"))
    ]
  )
  for folder in folders:
    try:
      found = tuple(path_inside(folder, file) for file in files)
    except ValueError as error:
      raise ValueError(f"{path}: {error}") from None
    there = [file for file in found if file.is_file()]
    if there and (frames or not _is_mask(there[0])):
      return found
  tried = ", ".join(map(str, list(dict.fromkeys(folders))[:_MAX_LISTED]))
  raise ValueError(
    f"{path}: no frame {files[0] if files else '(the video has none)'} in {tried}. "
    "Give the folder that its file names are relative to with --images DIR, or the "
    "video file whose frames they number with --images FILE."
  )


def _is_mask(path: Path) -> bool:
  """Whether a file is a palette PNG, as results have them beside their JSON file."""
  if path.suffix.lower() != ".png":
    return False
  with contextlib.suppress(OSError), Image.open(path) as image:
    return image.mode == "P"
  return False


def _common_folder(files: Sequence[str]) -> str:
  """The folder that contains all files; "" if there is none."""
  parents = {str(Path(file.replace("\\", "/")).parent) for file in files}
  return parents.pop() if len(parents) == 1 and parents != {"."} else ""
