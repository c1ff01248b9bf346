"""Recognises the layout of a user's own data, and finds the videos in it."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vosjax.data.codecs.bit_depth import deep_warning, find_bits
from vosjax.data.codecs.images import SUFFIXES
from vosjax.data.formats import cvat_masks, cvat_xml, labelme, mots, sav, user_folders
from vosjax.data.formats.coco import CocoVideo, read_coco
from vosjax.data.formats.davis import resolutions
from vosjax.data.formats.folders import (
  FolderVideo,
  image_files,
  numbers,
  read_names,
  subfolders,
)
from vosjax.data.formats.user_folders import VideoPart
from vosjax.data.formats.youtube_vos import META, read_categories

LISTS = ("train", "val")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
_EXPECTED = (
  "a folder in the layout of DAVIS (JPEGImages/480p/VIDEO/*.jpg, Annotations/480p/"
  "VIDEO/*.png) or of YouTube-VOS (the same without 480p), also as frames and masks; "
  "a COCO-style .json file; or an export of CVAT (Segmentation mask, COCO, video XML), "
  "labelme, SA-V or MOTS"
)


@dataclasses.dataclass(frozen=True)
class UserData:
  """The videos found in a user's data; no image but 16-bit ones has been decoded.

  Attributes:
    layout: name of the layout, such as DAVIS or COCO.
    videos: sorted by name.
    lists: names of the videos in `train` and `val`, if the data have both lists.
    categories: of the objects by video and id, if the data have them.
    unlisted: names of the folders that are in no list.
    problems: files that do not belong together, one line each.
    parts: video files by the name of the video, whose `frame_files` do not exist until
      these frames have been decoded.
    notes: what should be looked at, one line each.
  """

  layout: str
  videos: tuple[FolderVideo | CocoVideo, ...]
  lists: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
  categories: Mapping[str, Mapping[int, str]] = dataclasses.field(default_factory=dict)
  unlisted: tuple[str, ...] = ()
  problems: tuple[str, ...] = ()
  parts: Mapping[str, VideoPart] = dataclasses.field(default_factory=dict)
  notes: tuple[str, ...] = ()

  def __post_init__(self):
    names = [video.name for video in self.videos]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
      raise ValueError(f"several videos have the same name: {', '.join(duplicates)}.")


def find_user_data(source: Path, images: Path | None, extracted: Path) -> UserData:
  """Finds the videos of a user's data, whatever their layout.

  Args:
    source: a folder, or a JSON or XML file; `vosjax import-data --help` lists layouts.
    images: for JSON or XML: the folder of the frames, or the video file.
    extracted: folder where the frames of video files will be.

  Raises:
    ValueError: the layout is none of these; says what was found instead.
  """
  if source.is_file():
    return _with_bits(_from_file(source, images, extracted))
  if images is not None:
    raise ValueError(f"--images is for a .json or .xml file, but {source} is not one.")
  if source.is_dir():
    for find in _DETECTORS:
      if data := find(source, extracted):
        return _with_bits(data)
  raise ValueError(f"{source}: {_content(source)} Expected {_EXPECTED}.")


def _with_bits(data: UserData) -> UserData:
  """The videos, with the bits that 16-bit frames use."""
  videos, problems, notes = [], [*data.problems], [*data.notes]
  for video in data.videos:
    if not video.frame_files:
      problems.append(f"{video.name}: no frame is annotated")
      continue
    folder = str(video.frame_files[0].parent)
    try:
      bits = find_bits(folder, video.frame_files)
    except OSError:
      bits = 16  # not extracted yet, or no image, which is found when it is read
    except ValueError as error:
      bits = 16
      problems.append(str(error))
    if bits < 16:
      notes.append(deep_warning(folder, bits).removesuffix("."))
    videos.append(dataclasses.replace(video, bits=bits))
  return dataclasses.replace(
    data, videos=tuple(videos), problems=tuple(problems), notes=tuple(notes)
  )


def frame_names(video: FolderVideo | CocoVideo) -> tuple[str, ...]:
  """The names of the frames, or numbers if sorting the names would reorder them."""
  names = video.frame_names
  if list(names) == sorted(set(names)):
    return names
  return tuple(f"{t:05d}" for t in range(len(names)))


def _from_file(path: Path, images: Path | None, extracted: Path) -> UserData:
  if path.suffix.lower() in _ARCHIVES:
    raise ValueError(
      f"{path}: an archive. Unpack it first, and give the folder that it contains."
    )
  if path.suffix.lower() == ".xml":
    return _from_xml(path, images, extracted)
  if path.name.endswith(sav.KINDS):
    return _from_sav([path], extracted)
  if path.suffix.lower() in user_folders.VIDEO_SUFFIXES:
    raise ValueError(
      f"{path}: a video without masks. Put it into a folder frames, its masks into "
      f"masks/{path.stem}/00000.png and so on, and give the folder of both."
    )
  if images is not None and images.is_file():
    return _from_coco_of_file(path, images, extracted)
  try:
    found = read_coco(path, images)
  except ValueError:
    if not labelme.is_labelme(path):
      raise
    raise ValueError(
      f"{path}: is the labelme file of one image. Give the folder of all of them: "
      f"{path.parent}."
    ) from None
  return _of_tracks(
    "COCO", [dataclasses.replace(video, name=_plain(video.name)) for video in found]
  )


def _from_coco_of_file(path: Path, file: Path, extracted: Path) -> UserData:
  """A JSON file whose file names are numbers of frames in a video file."""
  indices: list[int] = []

  def locate(names: Sequence[str]) -> tuple[Path, ...]:
    stems = [Path(name).stem for name in names]
    by_index = numbers(stems)
    if by_index is None or list(by_index.values()) != stems:
      raise ValueError(
        f"{path}: its file names, such as {names[0]!r}, are not the numbers of frames "
        f"in {file}. Give the folder of its images with --images."
      )
    indices[:] = by_index
    return tuple(extracted / f"{index:05d}.jpg" for index in by_index)

  videos = read_coco(path, locate=locate)
  if len(videos) != 1:
    raise ValueError(
      f"{path}: holds {len(videos)} videos, but --images {file} is one. Give the "
      "folder of its images."
    )
  name = _plain(file.stem)
  video = _at(dataclasses.replace(videos[0], name=name), extracted, indices)
  parts = {name: VideoPart(file, tuple(indices))}
  return _of_tracks("COCO", [video], parts=parts)


def _of_tracks(layout: str, videos: Sequence[CocoVideo], **more) -> UserData:
  return UserData(
    layout,
    tuple(sorted(videos, key=lambda video: video.name)),
    categories={video.name: video.categories for video in videos},
    **more,
  )


def _find_cvat_masks(source: Path, _: Path) -> UserData | None:
  if not (source / cvat_masks.OBJECTS).is_dir():
    return None
  videos = cvat_masks.read_cvat_masks(source, _name_of(source))
  return UserData(
    "CVAT Segmentation mask",
    tuple(dataclasses.replace(video, name=_plain(video.name)) for video in videos),
    notes=(
      "this format of CVAT stores colours instead of tracks: see in "
      "contact_sheet.jpg that each object keeps its colour",
    ),
  )


def _find_folders(source: Path, extracted: Path) -> UserData | None:
  roots = user_folders.find_roots(source)
  if roots is None:
    return None
  frames_root, labels_root = roots
  layout, lists = "YouTube-VOS", {}
  if frames_root.name != "JPEGImages" or labels_root.name != "Annotations":
    layout = f"{frames_root.name} and {labels_root.name}"
  if sizes := resolutions(frames_root):
    size = "480p" if "480p" in sizes else sizes[0]
    layout, lists = "DAVIS", _lists(source / "ImageSets", size)
    frames_root, labels_root = frames_root / size, labels_root / size
  folders = user_folders.video_names(frames_root)
  names = list(dict.fromkeys(x for listed in lists.values() for x in listed)) or folders
  titles = {x: _plain(_name_of(source) if x == "." else x) for x in names}
  found = user_folders.find_videos(frames_root, labels_root, titles, extracted)
  categories = read_categories(source / META)
  return UserData(
    layout,
    tuple(sorted(found.videos, key=lambda video: video.name)),
    lists={key: [_plain(x) for x in listed] for key, listed in lists.items()},
    categories={_plain(name): categories[name] for name in names if name in categories},
    unlisted=tuple(x for x in folders if x not in names),
    problems=tuple(found.problems),
    parts=found.parts,
    notes=found.notes,
  )


def _find_sav(source: Path, extracted: Path) -> UserData | None:
  annotations = sav.find_annotations(source)
  return _from_sav(annotations, extracted) if annotations else None


def _from_sav(paths: Sequence[Path], extracted: Path) -> UserData:
  videos, parts = [], {}
  for path in paths:
    video, file, indices = sav.read_sav(path, extracted)
    name = _plain(video.name)
    videos.append(_at(dataclasses.replace(video, name=name), extracted, indices))
    parts[name] = VideoPart(file, indices)
  return _of_tracks("SA-V", videos, parts=parts)


def _at(video: CocoVideo, extracted: Path, indices: Sequence[int]) -> CocoVideo:
  """The video with the paths that its frames will have."""
  files = tuple(extracted / video.name / f"{index:05d}.jpg" for index in indices)
  return dataclasses.replace(video, frame_files=files)


def _find_mots(source: Path, _: Path) -> UserData | None:
  videos = [mots.read_mots(files) for files in mots.find_mots(source)]
  if not videos:
    return None
  return _of_tracks(
    "MOTS", [dataclasses.replace(video, name=_plain(video.name)) for video in videos]
  )


def _find_xml(source: Path, extracted: Path) -> UserData | None:
  path = source / "annotations.xml"
  return _from_xml(path, None, extracted) if path.is_file() else None


def _from_xml(path: Path, images: Path | None, extracted: Path) -> UserData:
  tracks = cvat_xml.read_cvat_xml(path)
  name = _plain(tracks.name)
  place = images or _frames_beside(path)
  if place.is_dir():
    files = image_files(place, SUFFIXES)
    named = numbers(files)
    if not named:
      raise ValueError(
        f"{place}: expected frames with numbers, such as frame_000000.png."
      )
    frames = {number: files[stem] for number, stem in named.items()}
    return _of_tracks("CVAT for video", [tracks.video(name, frames)])
  indices = tuple(sorted(tracks.shapes))
  frames = {index: extracted / name / f"{index:05d}.jpg" for index in indices}
  return _of_tracks(
    "CVAT for video",
    [tracks.video(name, frames)],
    parts={name: VideoPart(place, indices)},
  )


def _frames_beside(path: Path) -> Path:
  """The folder of images, or the video file, beside an XML file."""
  folders = [path.parent / name for name in subfolders(path.parent)]
  found = [folder for folder in folders if folder.name.lower() in ("images", "frames")]
  found += image_files(path.parent, user_folders.VIDEO_SUFFIXES).values()
  if len(found) != 1:
    raise ValueError(
      f"{path}: expected its frames in a folder images, or one video file, beside it, "
      f"but found {', '.join(p.name for p in found) or 'neither'}. Give the folder or "
      "the file with --images."
    )
  return found[0]


def _find_labelme(source: Path, _: Path) -> UserData | None:
  folders = sorted({path.parent for path in source.rglob("*.json")})
  folders = [f for f in folders if any(map(labelme.is_labelme, f.glob("*.json")))]
  if not folders:
    return None
  names = [_plain(_name_of(f) if f == source else f.name) for f in folders]
  videos = [labelme.read_labelme(f, name) for f, name in zip(folders, names)]
  return _of_tracks("labelme", videos)


def _find_json(source: Path, extracted: Path) -> UserData | None:
  """A folder with one COCO-style file, as CVAT exports it."""
  files = [*source.glob("*.json"), *source.glob("annotations/*.json")]
  files = [path for path in files if _is_coco(path)]
  return _from_file(files[0], None, extracted) if len(files) == 1 else None


def _is_coco(path: Path) -> bool:
  """Whether a JSON file may be of this kind, without parsing what may be large."""
  return b'"annotations"' in path.read_bytes()


# In this order; each returns None for another layout.
_DETECTORS: Sequence[Callable[[Path, Path], UserData | None]] = (
  _find_cvat_masks,
  _find_folders,
  _find_sav,
  _find_mots,
  _find_xml,
  _find_json,
  _find_labelme,
)


def _lists(sets: Path, size: str) -> dict[str, list[str]]:
  """Training and validation lists, joined over the years; empty if one is absent."""
  lists: dict[str, list[str]] = {}
  for name in LISTS:
    files = [
      folder / f"{name}.txt"
      for folder in (sets / "2017", sets / "2016", sets / size, sets)
    ]
    names = [x for path in files if path.is_file() for x in read_names(path)]
    lists[name] = list(dict.fromkeys(names))
  return lists if all(lists.values()) else {}


def _content(source: Path) -> str:
  """What a folder without videos contains, and which path was probably meant."""
  if not source.exists():
    return "no such file or folder."
  below = [
    name
    for name in subfolders(source)
    if (source / name / "JPEGImages").is_dir() or user_folders.find_roots(source / name)
  ]
  if below:
    return f"contains data in {', '.join(below)}: give {source / below[0]}."
  files = sorted(path.name for path in source.glob("*.json"))
  if files:
    return f"contains {', '.join(files[:5])}: give {source / files[0]}."
  inside = sorted(path.name for path in source.iterdir())[:5]
  return f"contains {', '.join(inside) or 'nothing'}."


def _name_of(folder: Path) -> str:
  return folder.resolve().name


def _plain(name: str) -> str:
  """The name as a single folder without spaces."""
  return re.sub(r"[^\w.-]+", "_", name).strip("._") or "video"
