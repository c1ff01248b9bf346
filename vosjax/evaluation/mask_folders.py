"""Folders of annotations and of predictions, sequence by sequence."""

import concurrent.futures
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vosjax.data.codecs import images
from vosjax.data.formats.davis import resolutions
from vosjax.data.formats.folders import read_names
from vosjax.data.formats.youtube_vos import META, read_categories
from vosjax.evaluation.scored_video import Video

_DECODERS = 2  # threads: decoding, most of the work, runs without Python's lock


@dataclasses.dataclass(frozen=True)
class MaskFiles:
  """The files of one sequence.

  Attributes:
    name: of the sequence.
    truth: one label map for each annotated frame, in temporal order.
    prediction: where the label maps of the same frames are expected.
    categories: see `Video`.
  """

  name: str
  truth: tuple[Path, ...]
  prediction: tuple[Path, ...]
  categories: Mapping[int, str] = dataclasses.field(default_factory=dict)

  @property
  def frames(self) -> tuple[str, ...]:
    """Names of the annotated frames."""
    return tuple(path.stem for path in self.truth)

  def load(self, needed: slice) -> tuple[Video | None, list[str]]:
    """Reads all files; only `needed` frames must have a prediction.

    Returns:
      The video, and all that is wrong with its files, one line each. Predictions that
      are not usable are empty in it; where the truth is not, there is no video.
    """
    folder = self.prediction[0].parent
    if not folder.is_dir():
      return None, [f"{folder}: no such folder, so sequence {self.name} is missing."]
    wanted = set(range(len(self.truth))[needed])
    pictures = [(0, t, path) for t, path in enumerate(self.truth)]
    pictures += [(1, t, path) for t, path in enumerate(self.prediction) if t in wanted]
    try:
      size = images.image_size(self.truth[0])
    except ValueError as error:
      return None, [str(error)]
    volumes = np.zeros((2, len(self.truth), *size), np.uint8)

    def read(picture: tuple[int, int, Path]) -> str | None:
      which, t, path = picture
      try:
        labels = images.read_labels(path)
      except FileNotFoundError:
        return f"{path}: missing."
      except (OSError, ValueError) as error:
        return str(error)
      if labels.shape == size:
        volumes[which, t] = labels
        return None
      other = "the annotation" if which else self.truth[0].name
      return (
        f"{path}: {_size(labels.shape)} pixels, but {other} has {_size(size)}; "
        "resize with nearest neighbour."
      )

    with concurrent.futures.ThreadPoolExecutor(_DECODERS) as pool:
      lines = list(pool.map(read, pictures))
    problems = [line for line in lines if line]
    if any(lines[: len(self.truth)]):
      return None, problems
    video = Video(self.name, volumes[1], volumes[0], self.frames, self.categories)
    return video, problems


def find(
  predictions: Path,
  root: Path,
  *,
  annotations: Sequence[str] = ("Annotations",),
  subset: str | None = None,
) -> list[MaskFiles]:
  """Pairs annotated sequences with the folders of their predictions.

  Args:
    predictions: holds one folder of PNGs a sequence, directly or below
      `Annotations`, `480p` and the like.
    root: of the data set: `Annotations/480p/NAME/*.png`, or without the resolution.
      YouTube-Objects may have a folder for each category above the sequences, and
      YouTube-VOS has `meta.json` with the categories of objects.
    annotations: names of the annotation folder; the first that exists is taken.
    subset: a list in `ImageSets` such as `2017/val`, or a text file of names; None
      takes every annotated sequence.

  Raises:
    ValueError: a folder or list is not there, or nothing fits.
  """
  truth_root = _annotation_root(root, annotations)
  if subset is None:
    names = sorted(
      {
        path.parent.relative_to(truth_root).as_posix()
        for path in truth_root.rglob("*.png")
      }
      - {"."}
    )
  else:
    names = read_subset(root, subset)
  absent = [name for name in names if not any((truth_root / name).glob("*.png"))]
  if absent or not names:
    raise ValueError(
      f"{truth_root}: no annotations (*.png) of {', '.join(absent) or 'anything'}. "
      "Check --root and --set."
    )
  predicted_root = _prediction_root(predictions, names)
  if predicted_root.samefile(truth_root) and not predictions.samefile(truth_root):
    raise ValueError(
      f"{predictions}: holds the annotations themselves. Give the folder of the "
      f"predictions, or {truth_root} to compare the annotations with themselves."
    )
  categories = read_categories(root / META)
  found = []
  for name in names:
    truth = tuple(sorted((truth_root / name).glob("*.png")))
    found.append(
      MaskFiles(
        name,
        truth,
        tuple(predicted_root / name / path.name for path in truth),
        categories.get(name, {}),
      )
    )
  return found


def read_subset(root: Path, subset: str) -> list[str]:
  """Names of the sequences of a list in `ImageSets`, or of a text file."""
  for path in (root / "ImageSets" / f"{subset}.txt", Path(subset)):
    if path.is_file():
      return read_names(path)
  sets = root / "ImageSets"
  known = sorted(
    path.relative_to(sets).with_suffix("").as_posix() for path in sets.rglob("*.txt")
  )
  raise ValueError(
    f"--set: no list {subset!r} in {sets}; there are {known}. Give one of these, or "
    "a text file with one sequence a line."
  )


def seen_categories(meta: Path) -> frozenset[str]:
  """Categories of all objects in a YouTube-VOS `meta.json`.

  Raises:
    ValueError: there are none; all objects would pass for unseen.
  """
  seen = frozenset(
    category
    for objects in read_categories(meta).values()
    for category in objects.values()
  )
  if not seen:
    raise ValueError(
      f"{meta}: names no category of an object. Give the meta.json of the "
      "YouTube-VOS training set."
    )
  return seen


def _annotation_root(root: Path, names: Sequence[str]) -> Path:
  for name in names:
    if (root / name).is_dir():
      return _below_resolution(root / name)
  if not root.is_dir():
    raise ValueError(f"--root {root}: no such folder.")
  raise ValueError(
    f"--root {root}: holds no folder {' or '.join(names)}. Expected "
    f"{root / names[0]}/[RESOLUTION/]SEQUENCE/FRAME.png; datasets/export.py writes "
    "it for data sets that come in another layout."
  )


def _below_resolution(folder: Path) -> Path:
  """The folder of sequences; 480p is preferred where there are several sizes."""
  sizes = resolutions(folder)
  if not sizes:
    return folder
  return folder / ("480p" if "480p" in sizes else sizes[0])


def _prediction_root(predictions: Path, names: Iterable[str]) -> Path:
  if not predictions.is_dir():
    raise ValueError(f"{predictions}: no such folder of predictions.")
  names = list(names)
  candidates = [predictions, predictions / "Annotations"]
  candidates += [path / size for path in candidates for size in ("480p", "240p")]
  for folder in candidates:
    if any((folder / name).is_dir() for name in names):
      return folder
  inside = sorted(path.name for path in predictions.iterdir() if path.is_dir())
  raise ValueError(
    f"{predictions}: holds no folder of any sequence ({_few(names)}) but "
    f"{_few(inside) or 'no folder at all'}. Expected SEQUENCE/FRAME.png in it."
  )


def _few(names: Sequence[str]) -> str:
  return ", ".join([*names[:5], "..."] if len(names) > 5 else names)


def _size(shape: Sequence[int]) -> str:
  return f"{shape[1]}x{shape[0]}"
