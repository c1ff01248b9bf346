"""The mask files of one video: what is in them, and what is wrong with them."""

import concurrent.futures
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from vosjax.data.codecs import images, label_images
from vosjax.data.codecs.label_values import Interpretation
from vosjax.data.formats.folders import first_few
from vosjax.data.label_agreement import WHITE_IS_VOID, Readings
from vosjax.evaluation.scored_video import ScoredVideo
from vosjax.labels import VOID

_DECODERS = 2  # threads: PNG decoding, most of the work, releases the GIL
_LISTED = 5  # names in a message
WHITE_IS_1 = "white (255) is object 1"
Notes = Mapping[str, Sequence[str]]  # paths of masks, by what was done to get ids


class LoadedVideo(NamedTuple):
  """What the files of a video hold.

  Attributes:
    video: its masks; None if the folder of predictions is missing, or an annotation is
      unusable.
    problems: everything that is wrong with the files, one line per problem.
    of_truth: how annotations were read that do not hold ids.
    of_prediction: how predictions were read that do not hold ids.
  """

  video: ScoredVideo | None
  problems: list[str]
  of_truth: Notes = {}
  of_prediction: Notes = {}


@dataclasses.dataclass(frozen=True)
class MaskFiles:
  """Label files of one video.

  Attributes:
    name: name of the video.
    truth: one file per annotated frame, in temporal order.
    prediction: where the predictions for the same frames should be.
    categories: see `ScoredVideo`.
    note: see `FrameMatch`.
    extra: see `FrameMatch`.
  """

  name: str
  truth: tuple[Path, ...]
  prediction: tuple[Path, ...]
  categories: Mapping[int, str] = dataclasses.field(default_factory=dict)
  note: str = ""
  extra: tuple[str, ...] = ()

  @property
  def frames(self) -> tuple[str, ...]:
    """Names of the annotated frames."""
    return tuple(path.stem for path in self.truth)

  def load(self, needed: slice, *, keeps_255: bool = False) -> LoadedVideo:
    """Reads all annotations, and the predictions of the `needed` frames.

    An unusable prediction is all background in the video. White means the same in all
    annotations, and in all predictions: where others hold ids, it is 255.

    Args:
      needed: frames whose predictions are read.
      keeps_255: white is 255 also where others hold no id but 1.
    """
    folder = self.prediction[0].parent
    if not folder.is_dir():
      line = f"{folder}: no such folder, so video {self.name} is missing."
      return LoadedVideo(None, [line])
    if unsuitable := self._unsuitable(folder):
      return LoadedVideo(None, [unsuitable])
    try:
      size = images.image_size(self.truth[0])
    except ValueError as error:
      return LoadedVideo(None, [str(error)])
    truth, prediction = np.zeros((2, len(self.truth), *size), np.uint8)
    scored = range(len(self.truth))[needed]
    with concurrent.futures.ThreadPoolExecutor(_DECODERS) as pool:
      first = self.truth[0].name
      of_truth = [
        pool.submit(_read_into, labels, path, first)
        for path, labels in zip(self.truth, truth)
      ]
      of_prediction = [
        pool.submit(_read_into, prediction[t], self.prediction[t], "the annotation")
        for t in scored
      ]
    unusable, truth_notes = _agree(
      self.name, [future.result() for future in of_truth], keeps_255
    )
    problems, notes = _agree(
      self.name, [future.result() for future in of_prediction], keeps_255
    )
    if unusable:
      return LoadedVideo(None, unusable + problems)
    video = ScoredVideo(self.name, prediction, truth, self.frames, self.categories)
    return LoadedVideo(video, problems, truth_notes, notes)

  def unscored_gaps(self, scored: slice) -> list[str]:
    """Predictions that are missing where none is needed; often a sign of a mistake."""
    needed = range(len(self.truth))[scored]
    missing = [
      path.name
      for t, path in enumerate(self.prediction)
      if t not in needed and not path.is_file()
    ]
    if not missing:
      return []
    return [
      f"no prediction {first_few(missing, _LISTED)}; it is not scored here, but make "
      "sure that the others are numbered as the annotations"
    ]

  def _unsuitable(self, folder: Path) -> str | None:
    """What is wrong with a folder that holds files, but no image at all."""
    if any(path.is_file() for path in self.prediction):
      return None
    kinds = sorted({p.suffix for p in folder.iterdir() if p.is_file() and p.suffix})
    if not kinds or any(kind.lower() in label_images.IMAGE_SUFFIXES for kind in kinds):
      return None
    return (
      f"{folder}: holds {', '.join(kinds)} files, but no images; expected "
      f"{self.prediction[0].name} and so on. Save each array of ids as a PNG: "
      "Image.fromarray(ids.astype('uint8')).convert('P').save('00000.png')."
    )


def _read_into(
  labels: UInt8[np.ndarray, "h w"], path: Path, other: str
) -> tuple[Path, Interpretation | str]:
  """Reads a mask into `labels`.

  Args:
    labels: receives the ids.
    path: of the mask.
    other: what has the right size, for error messages.

  Returns:
    The path, and how the mask was read or what is wrong with it.
  """
  size = labels.shape
  try:
    found = label_images.read_mask(path)
  except FileNotFoundError:
    return path, f"{path}: missing."
  except (OSError, ValueError) as error:
    return path, str(error)
  if found.labels.shape != size:
    remedy = "resize with nearest neighbour"
    if found.labels.shape == size[::-1]:
      remedy = "it seems to be turned by 90 degrees: write it as the frame stands"
    return path, (
      f"{path}: {_size(found.labels.shape)} pixels, but {other} has {_size(size)}; "
      f"{remedy}."
    )
  labels[:] = found.labels
  return path, dataclasses.replace(found, labels=labels)


def _agree(
  name: str, masks: Sequence[tuple[Path, Interpretation | str]], keeps_255: bool
) -> tuple[list[str], Notes]:
  """Makes white the same object in all masks of a video.

  Args:
    name: of the video.
    masks: results of `_read_into`; white becomes 255 where it has to.
    keeps_255: see `MaskFiles.load`.

  Returns:
    What is wrong with the masks, and how they were read.
  """
  readings = Readings()
  problems = []
  white: list[tuple[str, np.ndarray]] = []
  others: list[tuple[str, np.ndarray]] = []
  for path, mask in masks:
    if isinstance(mask, str):
      problems.append(mask)
      continue
    readings.add(str(path), mask)
    (white if mask.black_and_white else others).append((str(path), mask.labels))
  if readings.color_doubt:
    problems.append(f"{name}: {readings.color_doubt}")
  notes: dict[str, Sequence[str]] = dict(readings.notes)
  values = [(path, _values(labels)) for path, labels in others] if white else []
  if readings.doubt_white(values) or (
    keeps_255 and any(found != [0] for _, found in values)
  ):
    for _, labels in white:
      labels[labels == 1] = VOID
    notes[WHITE_IS_VOID] = readings.white
  elif white:
    notes[WHITE_IS_1] = readings.white
  return problems, notes


def _values(labels: UInt8[np.ndarray, "h w"]) -> list[int]:
  return np.flatnonzero(np.bincount(labels.reshape(-1), minlength=256)).tolist()


def _size(shape: Sequence[int]) -> str:
  return f"{shape[1]}x{shape[0]}"
