"""Pairs two folders of masks, predictions and truth, whatever the layout of each."""

import collections
import dataclasses
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from vosjax.data.codecs import label_images
from vosjax.data.formats.folders import by_number, first_few
from vosjax.evaluation.frame_names import match_frames
from vosjax.evaluation.mask_files import MaskFiles
from vosjax.evaluation.mask_folders import below_resolution

_LISTED = 5  # names in a message
_LOSSY = (".jpg", ".jpeg")
_OUTPUTS = ("alpha", "objects", "probs")  # folders that `vosjax segment --save` writes
Parts = tuple[str, ...]  # of a path relative to its root; () is the root itself


@dataclasses.dataclass(frozen=True)
class Pairing:
  """Two folders, video by video.

  Attributes:
    videos: every video of the truth.
    frames_root: the folder that holds `JPEGImages` beside the truth; None without.
    notes: what was found in another place than expected, one line each.
  """

  videos: tuple[MaskFiles, ...]
  frames_root: Path | None = None
  notes: tuple[str, ...] = ()


def pair(predictions: Path, truth: Path) -> Pairing:
  """Finds the prediction of every mask in the truth.

  The truth is one video, a folder of masks, or any tree of such folders; below a folder
  `Annotations` or `480p` if it has one. Folders that `vosjax segment --save` writes
  beside masks are ignored. The predictions have folders
  of the same names, also within other folders (`run1/VIDEO`, `VIDEO/masks`), or files
  `VIDEO_FRAME.png` in one folder.

  Raises:
    ValueError: a folder does not exist or holds no masks, a folder of the truth holds
      masks and folders of masks, or no or several folders could be the predictions;
      names them.
  """
  for folder in (predictions, truth):
    if not folder.is_dir():
      raise ValueError(f"{folder}: no such folder.")
  truth_root, frames_root = _truth_root(truth)
  found = _mask_folders(truth_root, lossless=True)
  videos = {parts: found[parts] for parts in found if not _is_inside(parts, found)}
  if not videos:
    raise ValueError(
      f"{truth}: holds no masks. Expected VIDEO/FRAME.png, or FRAME.png of one video."
    )
  predicted = _mask_folders(predictions, lossless=False)
  notes: list[str] = []
  inner = sorted(set(found) - set(videos))
  if others := ["/".join(x) for x in inner if not _is_output(x, videos)]:
    raise ValueError(
      f"{truth}: holds masks directly and in folders ({first_few(others, _LISTED)}), "
      "so it is unclear whether they are one video or many. Move one kind elsewhere."
    )
  try:
    prefix, suffix = _place(predictions, videos, predicted, truth_root)
  except ValueError as error:
    raise ValueError(" ".join((str(error), *notes))) from None
  flat = not suffix and _is_flat(videos, predicted)
  if flat:
    notes.append(f"{predictions}: files VIDEO_FRAME in one folder, split by video.")
  elif prefix or suffix:
    place = Path(*prefix, *(() if () in videos else ("VIDEO",)), *suffix)
    notes.append(f"{predictions}: the predictions were found in {place}.")
  pairs = _pair_videos(truth_root, videos, predictions, prefix, suffix, flat)
  used = {(*prefix, *parts, *suffix) for parts in videos}
  ignored = set() if flat else set(predicted) - used
  others = ["/".join(x) for x in sorted(ignored) if not _is_output(x, used)]
  if others:
    listed = first_few([x or "masks outside of folders" for x in others], _LISTED)
    notes.append(f"{predictions}: the truth has no {listed}, which is ignored.")
  return Pairing(pairs, frames_root, tuple(notes))


def _pair_videos(
  truth_root: Path,
  videos: Mapping[Parts, list[Path]],
  predictions: Path,
  prefix: Parts,
  suffix: Parts,
  flat: bool,
) -> tuple[MaskFiles, ...]:
  """The videos, whose predictions lie in `prefix/VIDEO/suffix`, or in one folder."""
  matches = match_frames(
    [
      (
        [path.stem for path in files],
        predictions if flat else predictions.joinpath(*prefix, *parts, *suffix),
        "_".join(parts) + "_" if flat else "",
      )
      for parts, files in videos.items()
    ]
  )
  return tuple(
    MaskFiles(
      "/".join(parts) or truth_root.resolve().name,
      tuple(files),
      match.files,
      note=match.note,
      extra=match.extra,
    )
    for (parts, files), match in zip(videos.items(), matches)
  )


def _truth_root(truth: Path) -> tuple[Path, Path | None]:
  """The folder of videos, and the folder of the dataset that it belongs to."""
  if (truth / "Annotations").is_dir():
    truth = truth / "Annotations"
  root = below_resolution(truth)
  for folder in (root, *root.absolute().parents):
    if folder.name == "Annotations":
      return root.absolute(), folder.parent
  return root, None


def _mask_folders(root: Path, *, lossless: bool) -> dict[Parts, list[Path]]:
  """Image files of every folder that holds some, in the order of their numbers."""
  suffixes = tuple(
    s for s in label_images.IMAGE_SUFFIXES if not lossless or s not in _LOSSY
  )
  found: dict[Parts, list[Path]] = {}
  for folder, inner, names in os.walk(root, followlinks=True):
    inner[:] = sorted(name for name in inner if not name.startswith("."))
    images = [
      Path(folder, name)
      for name in names
      if name.lower().endswith(suffixes) and not name.startswith(".")
    ]
    if images:
      parts = Path(folder).relative_to(root).parts
      found[parts] = sorted(images, key=lambda path: by_number(path.stem))
  return found


def _is_inside(parts: Parts, folders: Collection[Parts]) -> bool:
  """Whether a folder is in another one of them."""
  return any(parts[:length] in folders for length in range(len(parts)))


def _is_output(parts: Parts, videos: Collection[Parts]) -> bool:
  """Whether `vosjax segment` writes such a folder beside the masks of a video."""
  return any(
    parts[:length] in videos and parts[length] in _OUTPUTS
    for length in range(len(parts))
  )


def _place(
  predictions: Path,
  videos: Mapping[Parts, list[Path]],
  predicted: Mapping[Parts, list[Path]],
  truth_root: Path,
) -> tuple[Parts, Parts]:
  """What stands above and below the names of videos in the predictions."""
  if any(parts in predicted for parts in videos) or _is_flat(videos, predicted):
    return (), ()
  predicted = {
    x: files for x, files in predicted.items() if not _is_output(x, predicted)
  }
  places: collections.Counter[tuple[Parts, Parts]] = collections.Counter()
  if list(videos) == [()]:
    by_name = [p for p in predicted if p[-1:] == (truth_root.name,)]
    places.update((parts, ()) for parts in by_name or predicted)
  elif len(videos) == 1 and list(predicted) == [()]:
    (parts,) = videos
    raise ValueError(
      f"{predictions}: holds the masks of one video directly, but the truth has them "
      f"in a folder {'/'.join(parts)}. Compare it with "
      f"{truth_root.joinpath(*parts)}."
    )
  else:
    for parts in predicted:
      for name in videos:
        for start in range(len(parts) - len(name) + 1):
          if parts[start : start + len(name)] == name:
            places[parts[:start], parts[start + len(name) :]] += 1
  if not places and any(predictions.joinpath(*x).is_dir() for x in videos if x):
    return (), ()  # folders without images, which will be reported as such
  if not places:
    expected = first_few(["/".join(parts) or "FRAME.png" for parts in videos], _LISTED)
    inside = first_few(
      ["/".join(parts) or "images directly" for parts in predicted], _LISTED
    )
    raise ValueError(
      f"{predictions}: looked for the masks of {expected}, named as in the truth, and "
      f"found {inside or _content(predictions)}. Expected VIDEO/FRAME.png in it."
    )
  best = max(places.values())
  likely = [place for place, count in places.items() if count == best]
  if len(likely) > 1:
    folders = first_few(
      [str(predictions.joinpath(*place[0])) for place in likely], _LISTED
    )
    raise ValueError(
      f"{predictions}: several folders could be the predictions: {folders}. Give one."
    )
  return likely[0]


def _is_flat(
  videos: Mapping[Parts, list[Path]], predicted: Mapping[Parts, list[Path]]
) -> bool:
  """Whether all predictions are files `VIDEO_FRAME` in one folder."""
  if list(predicted) != [()] or () in videos:
    return False
  starts = {path.stem.rpartition("_")[0] for path in predicted[()]}
  return {"_".join(parts) for parts in videos} <= starts


def _content(folder: Path) -> str:
  names = sorted({path.suffix or path.name for path in folder.rglob("*")})
  return first_few(names, _LISTED) or "nothing"
