"""What DAVIS says of its videos and objects beside the masks.

Sources: `Annotations/db_info.yml` of the 2016 archive, which the toolkits read, and
`davis_semantics.json` with `categories.json` of the archive of object categories.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

VIDEOS = "Annotations/db_info.yml"
OBJECTS = "davis_semantics.json"
CATEGORIES = "categories.json"


class VideoInfo(NamedTuple):
  """What `db_info.yml` says of a video.

  Attributes:
    attributes: what makes it hard, such as FM, fast motion, or OCC, occlusion.
    num_frames: how many it has.
  """

  attributes: tuple[str, ...]
  num_frames: int


def read_videos(root: Path) -> dict[str, VideoInfo]:
  """Videos by name; none where the archive has no such file.

  Raises:
    ValueError: the file is not of this format.
  """
  path = root / VIDEOS
  if not path.is_file():
    return {}
  try:
    return {
      found["name"]: VideoInfo(
        tuple(map(str, found["attributes"])), int(found["num_frames"])
      )
      for found in yaml.safe_load(path.read_text())["sequences"]
    }
  except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
    raise _not_as_expected(path, error) from None


def read_objects(root: Path) -> dict[str, dict[int, dict[str, str]]]:
  """Video -> object id -> its `category`, and `super_category` where that is told.

  None where the archive of categories was not unpacked over the data set.

  Raises:
    ValueError: a file is not of this format.
  """
  categories = _read_json(root / CATEGORIES)
  found = _read_json(root / OBJECTS)
  try:
    return {
      video: {int(i): _described(name, categories) for i, name in objects.items()}
      for video, objects in found.items()
    }
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise _not_as_expected(root / OBJECTS, error) from None


def _described(name: str, categories: Mapping[str, Any]) -> dict[str, str]:
  above = categories.get(name, {})
  kept = {"super_category": above["super_category"]} if above else {}
  return {"category": name} | kept


def _read_json(path: Path) -> dict[str, Any]:
  if not path.is_file():
    return {}
  try:
    return json.loads(path.read_text())
  except ValueError as error:
    raise _not_as_expected(path, error) from None


def _not_as_expected(path: Path, error: Exception) -> ValueError:
  return ValueError(f"{path}: not the file of DAVIS ({error!r}). Unpack it again.")
