"""CVAT's "Segmentation mask 1.1": PASCAL VOC with a colour per object and frame.

`JPEGImages/NAME.png`, `SegmentationObject/NAME.png`, `SegmentationClass/NAME.png`,
`labelmap.txt` and lists in `ImageSets/Segmentation`; the images of one folder are one
video. The colours are those of VOC's palette, and their numbers become ids.

Source: CVAT's documentation, "Segmentation mask" (https://docs.cvat.ai).
"""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vosjax.data.codecs import images
from vosjax.data.formats.folders import FolderVideo, by_number
from vosjax.labels import VOID, find_ids

FRAMES, OBJECTS = "JPEGImages", "SegmentationObject"
_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
_LIKE, _UNLIKE = 0.5, 0.1  # J that show that two objects have changed their colours


@dataclasses.dataclass(frozen=True)
class ColorVideo(FolderVideo):
  """A folder of frames, and one of masks in the colours of VOC's palette."""

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    path = self.label_files[index]
    if path is None:
      return None
    with Image.open(path) as image:
      is_colored = image.mode in ("RGB", "RGBA")
    if not is_colored:
      return super().labels(index)
    labels = color_numbers(images.read_image(path), path)
    self._check_size(labels.shape, path)
    return labels


def read_cvat_masks(root: Path, name: str) -> list[ColorVideo]:
  """The videos of an export: one, or one per folder of images.

  Raises:
    ValueError: there are no masks, or objects exchange their colours between frames.
  """
  frames = _images(root / FRAMES)
  masks = _images(root / OBJECTS)
  stray = sorted(set(masks) - set(frames))
  if stray or not masks:
    raise ValueError(
      f"{root / OBJECTS}: "
      + (f"a mask {stray[0]} without a frame." if stray else "holds no masks.")
      + f" Export the task again with its images, which belong into {root / FRAMES}."
    )
  videos = []
  for folder in sorted({key.rpartition("/")[0] for key in masks}):
    keys = sorted(
      (key for key in frames if key.rpartition("/")[0] == folder), key=by_number
    )
    videos.append(
      ColorVideo(
        folder or name,
        tuple(frames[key] for key in keys),
        tuple(masks.get(key) for key in keys),
      )
    )
  for video in videos:
    _refuse_exchanges(video)
  return videos


def color_numbers(
  colors: UInt8[np.ndarray, "h w 3"], path: Path
) -> UInt8[np.ndarray, "h w"]:
  """The number of each colour in VOC's palette, which spreads its bits.

  Raises:
    ValueError: another colour occurs.
  """
  bits = colors.astype(np.uint32)
  numbers = np.zeros(colors.shape[:2], np.uint32)
  for place in range(8):
    for channel in range(3):
      bit = (bits[..., channel] >> (7 - place)) & 1
      numbers |= bit << (3 * place + channel)
  if numbers.max() > VOID:
    y, x = np.argwhere(numbers > VOID)[0]
    raise ValueError(
      f"{path}: the colour {tuple(colors[y, x].tolist())} is not one of VOC's palette. "
      "Export the task again, as 'Segmentation mask 1.1' in PNG."
    )
  return numbers.astype(np.uint8)


def _images(root: Path) -> dict[str, Path]:
  """Images by their path below a folder, without suffix."""
  return {
    path.relative_to(root).with_suffix("").as_posix(): path
    for path in sorted(root.rglob("*"))
    if path.suffix.lower() in _SUFFIXES
  }


def _refuse_exchanges(video: ColorVideo) -> None:
  """Checks that colours follow objects, since CVAT assigns them frame by frame."""
  last: UInt8[np.ndarray, "h w"] | None = None
  for t in video.annotated_frames:
    try:
      labels = video.labels(t)
    except ValueError:
      return  # will be reported with all other problems
    assert labels is not None
    if last is not None and last.shape == labels.shape:
      for i in find_ids(labels):
        now = labels == i
        others = [_region(now, last == k) for k in find_ids(last) if k != i]
        if max(others, default=0) > _LIKE and _region(now, last == i) < _UNLIKE:
          raise ValueError(
            f"{video.label_files[t]}: object {i} is where another object was in the "
            "frame before. CVAT numbers the objects of this format frame by frame; "
            "export the task as 'COCO 1.0' or 'CVAT for video 1.1', which keep tracks."
          )
    last = labels


def _region(left: np.ndarray, right: np.ndarray) -> float:
  union = np.count_nonzero(left | right)
  return np.count_nonzero(left & right) / union if union else 1.0
