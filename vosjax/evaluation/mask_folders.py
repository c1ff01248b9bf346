"""Pairs folders of annotations with folders of predictions, video by video."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from vosjax.data.formats.davis import resolutions
from vosjax.data.formats.folders import by_number, first_few, read_names
from vosjax.data.formats.youtube_vos import META, read_categories
from vosjax.evaluation.frame_names import match_frames
from vosjax.evaluation.mask_files import MaskFiles

_LISTED = 5  # names in a message


def find(
  predictions: Path,
  root: Path,
  *,
  annotations: Sequence[str] = ("Annotations",),
  subset: str | None = None,
) -> list[MaskFiles]:
  """Pairs annotated videos with the folders of their predictions.

  Args:
    predictions: folder with one folder of PNGs per video, directly or below
      `Annotations`, `480p` and the like.
    root: folder of the dataset: `Annotations/480p/NAME/*.png`, or without the
      resolution. YouTube-Objects may have a folder per category above the videos, and
      YouTube-VOS has `meta.json` with the categories of objects.
    annotations: possible names of the annotation folder; the first that exists is
      used.
    subset: a list in `ImageSets` such as `2017/val`, or a text file of names; None
      selects every annotated video.

  Raises:
    ValueError: a folder or list is missing, or no names match.
  """
  truth_root = _annotation_root(root, annotations)
  if subset is not None and not (root / "ImageSets").is_dir():
    _check_own_list(predictions, root, truth_root, subset)
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
  truths = {
    name: tuple(
      sorted((truth_root / name).glob("*.png"), key=lambda path: by_number(path.stem))
    )
    for name in names
  }
  matches = match_frames(
    [
      ([path.stem for path in truth], predicted_root / name, "")
      for name, truth in truths.items()
    ]
  )
  return [
    MaskFiles(
      name, truth, match.files, categories.get(name, {}), match.note, match.extra
    )
    for (name, truth), match in zip(truths.items(), matches)
  ]


def read_subset(root: Path, subset: str) -> list[str]:
  """Reads the names of videos from a list in `ImageSets`, or from a text file.

  Raises:
    ValueError: there is no such list; names those that exist.
  """
  for path in (root / "ImageSets" / f"{subset}.txt", Path(subset)):
    if path.is_file():
      return read_names(path)
  sets = root / "ImageSets"
  known = sorted(
    path.relative_to(sets).with_suffix("").as_posix() for path in sets.rglob("*.txt")
  )
  raise ValueError(
    f"--set: no list {subset!r} in {sets}; there are {known}. Give one of these, or "
    "a text file with one video name per line."
  )


def seen_categories(meta: Path) -> frozenset[str]:
  """Categories of all objects in the `meta.json` of the YouTube-VOS training set.

  Raises:
    ValueError: it names no category, so that every object would count as unseen.
  """
  seen = frozenset(
    category
    for objects in read_categories(meta).values()
    for category in objects.values()
  )
  if not seen:
    raise ValueError(
      f"{meta}: names no object category. Give the meta.json of the "
      "YouTube-VOS training set."
    )
  return seen


def _annotation_root(root: Path, names: Sequence[str]) -> Path:
  for name in names:
    if (root / name).is_dir():
      return below_resolution(root / name)
  if not root.is_dir():
    raise ValueError(f"--root {root}: no such folder.")
  raise ValueError(
    f"--root {root}: holds no folder {' or '.join(names)}. Expected "
    f"{root / names[0]}/[RESOLUTION/]VIDEO/FRAME.png; datasets/export.py writes "
    "this layout for datasets that come in another."
  )


def below_resolution(folder: Path) -> Path:
  """The folder of videos; 480p is preferred where there are several resolutions."""
  found = resolutions(folder)
  if not found:
    return folder
  return folder / ("480p" if "480p" in found else found[0])


def _check_own_list(
  predictions: Path, root: Path, truth_root: Path, subset: str
) -> None:
  """Shows the way to those who score their own data as if they were DAVIS."""
  if Path(subset).is_file():
    return
  found = sorted(path.name for path in truth_root.iterdir() if path.is_dir())
  listed = first_few(found, _LISTED) or "nothing"
  raise ValueError(
    f"--set: no list {subset!r}: {root} has no ImageSets with lists of videos, only "
    f"annotations of {listed}. If these are your own data, give the two folders: "
    f"vosjax evaluate {predictions} {truth_root}"
  )


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
  found = first_few(inside, _LISTED) or "no folder at all"
  raise ValueError(
    f"{predictions}: holds no folder of any video ({first_few(names, _LISTED)}) but "
    f"{found}. Expected VIDEO/FRAME.png in it."
    f"{_way_out(predictions, names)}"
  )


def _way_out(predictions: Path, names: Sequence[str]) -> str:
  """The folder that was probably meant, or what to do about files in one folder."""
  for name in names:
    for folder in sorted(predictions.rglob(name)):
      if folder.is_dir():
        meant = Path(str(folder).removesuffix(name))
        return f" There is such a folder in {meant}: give that as PREDICTIONS."
  flat = [path.name for path in sorted(predictions.glob(f"{names[0]}_*.png"))[:1]]
  if flat:
    return (
      f" Files such as {flat[0]} lie in it directly: move them to {names[0]}/FRAME.png,"
      f" or give the two folders: vosjax evaluate {predictions} TRUTH --skip-ends"
    )
  return ""
