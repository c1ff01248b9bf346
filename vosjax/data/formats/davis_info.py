"""Metadata of DAVIS: attributes of videos and categories of objects.

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
  """Metadata of a video in `db_info.yml`.

  Attributes:
    attributes: its challenges, such as FM (fast motion) or OCC (occlusion).
    num_frames: its length.
  """

  attributes: tuple[str, ...]
  num_frames: int


def read_videos(root: Path) -> dict[str, VideoInfo]:
  """Videos by name; empty where the archive has no such file.

  Raises:
    ValueError: the file is not in this format.
  """
  path = root / VIDEOS
  if not path.is_file():
    return {}
  try:
    return {
      video["name"]: VideoInfo(
        tuple(map(str, video["attributes"])), int(video["num_frames"])
      )
      for video in yaml.safe_load(path.read_text())["sequences"]
    }
  except (
    KeyError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    yaml.YAMLError,
  ) as error:
    raise _unexpected_content(path, error) from None


def read_objects(root: Path) -> dict[str, dict[int, dict[str, str]]]:
  """For each video and object id, its `category` and, if known, `super_category`.

  Empty where the archive of categories was not unpacked over the dataset.

  Raises:
    ValueError: a file is not in this format.
  """
  categories = _read_json(root / CATEGORIES)
  semantics = _read_json(root / OBJECTS)
  try:
    return {
      video: {int(i): _describe(name, categories) for i, name in objects.items()}
      for video, objects in semantics.items()
    }
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise _unexpected_content(root / OBJECTS, error) from None


def _describe(name: str, categories: Mapping[str, Any]) -> dict[str, str]:
  about = categories.get(name, {})
  above = {"super_category": about["super_category"]} if about else {}
  return {"category": name} | above


def _read_json(path: Path) -> dict[str, Any]:
  if not path.is_file():
    return {}
  try:
    return json.loads(path.read_text())
  except (RecursionError, ValueError) as error:
    raise _unexpected_content(path, error) from None


def _unexpected_content(path: Path, error: Exception) -> ValueError:
  return ValueError(
    f"{path}: not the file that DAVIS publishes ({error!r}). Unpack it again."
  )
