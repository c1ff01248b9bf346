"""SA-V: an MP4 file beside a JSON file with masklets, RLE masks of every fourth frame.

Source: Ravi et al., "SAM 2: Segment Anything in Images and Videos", 2024, and the
README of the dataset.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vosjax.data.formats.coco import CocoVideo, check_size
from vosjax.data.formats.tracks import Shape, track_video

KINDS = ("_manual.json", "_auto.json")
STEP = 4  # frames of 24 a second between annotations of 6 a second


def find_annotations(folder: Path) -> list[Path]:
  """One JSON file per video, `NAME_manual.json` where there is one."""
  found: dict[str, Path] = {}
  for kind in reversed(KINDS):
    for path in sorted(folder.rglob(f"*{kind}")):
      found[path.name.removesuffix(kind)] = path
  return [found[name] for name in sorted(found)]


def read_sav(path: Path, extracted: Path) -> tuple[CocoVideo, Path, tuple[int, ...]]:
  """The annotated frames of one video.

  Args:
    path: of the JSON file.
    extracted: folder of the frames that will be decoded, named by their numbers.

  Returns:
    The video, its MP4 file, and the numbers of the annotated frames.

  Raises:
    ValueError: the file is not of this kind, or there is no MP4 beside it.
  """
  try:
    content = json.loads(path.read_bytes())
    name = str(content["video_id"])
    size = check_size((content["video_height"], content["video_width"]), path)
    ids, masklets = _check_ids(content["masklet_id"]), content["masklet"]
    shapes = [list(_shapes(ids, frame)) for frame in masklets]
  except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
    raise ValueError(
      f"{path}: not a JSON file of SA-V ({type(error).__name__}: {error}); expected "
      "video_id, video_height, video_width, masklet_id and masklet."
    ) from None
  stem = next(path.name.removesuffix(k) for k in KINDS if path.name.endswith(k))
  video = path.with_name(f"{stem}.mp4")
  if not video.is_file():
    raise ValueError(f"{path}: there is no {video.name} beside it. Put it there.")
  indices = tuple(range(0, STEP * len(masklets), STEP))
  files = [extracted / f"{index:05d}.jpg" for index in indices]
  return track_video(name, files, shapes, size, path.name), video, indices


def _check_ids(ids: Any) -> list[int | str]:
  """The ids of the masklets; ValueError unless each can be told from the others."""
  if not isinstance(ids, list) or not all(isinstance(i, (int, str)) for i in ids):
    raise ValueError(
      f"masklet_id is {json.dumps(ids)[:60]}; expected a list of numbers or names"
    )
  if len(set(ids)) < len(ids):
    raise ValueError(f"masklet_id is {json.dumps(ids)[:60]}; expected different ids")
  return ids


def _shapes(ids: list[int | str], frame: list[Any]) -> Iterator[Shape]:
  if len(frame) != len(ids):
    raise ValueError(f"a frame has {len(frame)} masks for {len(ids)} masklets")
  for track, mask in zip(ids, frame):
    if mask:
      yield Shape(track, mask)
