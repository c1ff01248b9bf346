"""Writes what a project holds, in all kinds that `vosjax segment --save` offers."""

import dataclasses
import functools
import pathlib
import shutil
import threading
import zipfile
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from vosjax import files
from vosjax.app import videos
from vosjax.app.objects import ObjectInfo
from vosjax.app.projects import Labels, Project
from vosjax.media.outputs import KINDS, final_files, open_outputs

# Kinds whose files are packed for downloading, with the files below the folder
_MANY_FILES = {
  "masks": "*.png",
  "alpha": "alpha/*.png",
  "objects": "objects/*/*.png",
  "probs": "probs/*/*.png",
}

# Kind -> its name on the page, and what it is for
_WORDS = {
  "masks": ("Masks", "an image per frame whose colours number the objects"),
  "overlay": ("Video with coloured objects", "to look at: overlay.mp4"),
  "alpha": (
    "Transparent video for browsers",
    "web pages, OBS: alpha.webm, and a transparent PNG per frame",
  ),
  "alpha-prores": (
    "Transparent video for editors",
    "Premiere, Resolve, Final Cut, After Effects: alpha.mov (ProRes 4444)",
  ),
  "green": ("Green screen", "for editors that know no transparency: green.mp4"),
  "objects": ("Masks of each object", "a black and white PNG per object and frame"),
  "coco": (
    "COCO",
    "for training and labelling tools: coco.json with masks, names and scores",
  ),
  "youtube-vos": ("YouTube-VOS", "masks as the servers of benchmarks ask for them"),
  "probs": (
    "Probabilities",
    "for programs: how likely each pixel belongs to each object, PNG of 16 bits",
  ),
  "results": ("Table", "for programs: times, scores and areas, results.json"),
  "report": ("Report", "a page with curves and the frames to look at: report.html"),
}

_packing = threading.Lock()  # held while an archive is written or deleted


@dataclasses.dataclass(frozen=True)
class ExportStatus:
  """How far an export is.

  Attributes:
    state: "running", "done" or "failed".
    done: frames written.
    total: frames to write.
    message: what failed.
    files: names to download, see `download`.
    folder: where the files are.
  """

  state: str
  done: int
  total: int
  message: str = ""
  files: tuple[str, ...] = ()
  folder: str = ""


def choices() -> list[dict[str, str]]:
  """The kinds of results, with words for the page, as JSON."""
  return [
    {"kind": kind, "name": _WORDS[kind][0], "text": _WORDS[kind][1]} for kind in KINDS
  ]


class Exports:
  """Exports, at most one at a time for each project.

  Args:
    announce: called with a project's id when the status of its export has changed.
  """

  def __init__(self, announce: Callable[[str], None]):
    self._announce = announce
    self._lock = threading.Lock()
    self._status: dict[str, ExportStatus] = {}
    self._threads: dict[str, threading.Thread] = {}

  def status(self, project_id: str) -> dict[str, Any] | None:
    """How far the latest export is, as JSON; None if there was none."""
    found = self._status.get(project_id)
    return None if found is None else dataclasses.asdict(found)

  def start(self, project: Project, kinds: Any, hidden: Any = True) -> None:
    """Begins to export a project, in a thread.

    Args:
      project: what to export.
      kinds: some of `KINDS`.
      hidden: whether objects that the page hides are exported too.

    Raises:
      ValueError: the kinds are none or unknown, nothing is left to export, or an
        export is running.
    """
    names = isinstance(kinds, list) and all(isinstance(kind, str) for kind in kinds)
    if not names or not kinds or not set(kinds) <= set(KINDS):
      raise ValueError(
        f"kinds are {kinds!r}; choose at least one of {', '.join(KINDS)}."
      )
    if not isinstance(hidden, bool):
      raise ValueError(f"hidden is {hidden!r}; expected true or false.")
    left_out = set() if hidden else {i for i, o in project.objects.items() if o.hidden}
    if left_out and left_out == set(project.objects):
      raise ValueError("all objects are hidden: show one, or export hidden ones too.")
    with self._lock:
      now = self._status.get(project.id)
      if now is not None and now.state == "running":
        raise ValueError("an export is running already; wait until it has ended.")
      self._set(project, ExportStatus("running", 0, len(project.video)))
      thread = threading.Thread(
        target=self._run, args=(project, kinds, left_out), daemon=True
      )
      self._threads[project.id] = thread
    thread.start()

  def wait(self, project_id: str) -> None:
    """Returns when a project's export has ended."""
    self._threads[project_id].join()

  def _set(self, project: Project, status: ExportStatus) -> None:
    self._status[project.id] = status
    self._announce(project.id)

  def _run(self, project: Project, kinds: list[str], left_out: Collection[int]) -> None:
    total = len(project.video)
    folder, draft = project.folder / "export", project.folder / ".export"
    try:
      with _packing:
        for old in (folder, draft):
          shutil.rmtree(old, ignore_errors=True)
      draft.mkdir()

      def progress(done: int) -> None:
        self._set(project, ExportStatus("running", done, total))

      try:
        export(project, kinds, draft, progress, left_out)
        draft.rename(folder)  # nothing is downloaded of one that is not complete
      finally:
        shutil.rmtree(draft, ignore_errors=True)  # of one that failed
      names = tuple(f"{kind}.zip" for kind in _MANY_FILES if kind in kinds)
      names += final_files(kinds)
      done = ExportStatus(
        "done", total, total, files=names, folder=str(folder.resolve())
      )
      self._set(project, done)
    except (ValueError, OSError) as error:
      self._set(project, ExportStatus("failed", 0, total, str(error)))
    except BaseException:  # a fault of ours: it must not look as if it still ran
      self._set(project, ExportStatus("failed", 0, total, "an unexpected error"))
      raise


def export(
  project: Project,
  kinds: list[str],
  folder: pathlib.Path,
  progress: Callable[[int], None],
  left_out: Collection[int] = (),
) -> None:
  """Writes what a project shows, of all frames.

  Args:
    project: what to write.
    kinds: some of `KINDS`.
    folder: for the files; it is empty.
    progress: called with the number of frames that are done.
    left_out: ids of objects that are not written.

  Raises:
    OSError: a file cannot be written.
    ValueError: a frame is damaged.
  """
  video = videos.another_reader(project.video)
  with open_outputs(
    kinds,
    folder,
    video_name=video.stem,
    size=video.size,
    frames_per_second=video.frames_per_second,
    prompts={k: one.objects for k, one in dict(project.given).items()},
    names={i: s for i, s in _names(project).items() if i not in left_out},
    suffix=video.frame_suffix or ".png",
  ) as outputs:
    for index, (name, time) in enumerate(zip(video.frame_names, video.times)):
      ids, scores, lost = _objects(project, index, left_out)
      outputs.write(
        index,
        name,
        video[index],
        functools.partial(_labels, project, index, left_out),
        ids,
        functools.partial(_probabilities, project, index, ids),
        scores,
        lost,
        float(time),
      )
      progress(index + 1)


def _names(project: Project) -> dict[int, str]:
  """Names that the user has given."""
  return {
    i: one.name
    for i, one in dict(project.objects).items()
    if one.name != ObjectInfo.new(i).name
  }


def _objects(
  project: Project, index: int, left_out: Collection[int]
) -> tuple[tuple[int, ...], Float[np.ndarray, " o"], Bool[np.ndarray, " o"]]:
  """Ids, scores and doubts of the objects in a frame; what was painted is certain."""
  result, given = project.results.final.get(index), project.given.get(index)
  found = {}
  if result is not None:
    found = dict(zip(result.objects, zip(result.scores, result.lost)))
  if given is not None:
    found |= dict.fromkeys(given.objects, (1.0, False))
    found = {i: value for i, value in found.items() if i not in given.absent}
  found = {
    i: found[i] for i in sorted(found) if i in project.objects and i not in left_out
  }
  scores = np.array([score for score, _ in found.values()], np.float32)
  lost = np.array([lost for _, lost in found.values()], bool)
  return tuple(found), scores, lost


def _labels(project: Project, index: int, left_out: Collection[int]) -> Labels:
  """Labels of a frame, without some objects."""
  labels = project.labels(index)
  labels[np.isin(labels, list(left_out))] = 0
  return labels


def _probabilities(
  project: Project, index: int, ids: tuple[int, ...]
) -> Float[np.ndarray, "o h w"]:
  """Probabilities of a frame; what was painted is 0 or 1."""
  found, given = project.results.probabilities(index), project.given.get(index)
  painted = project.given_labels(index)
  shown = () if given is None else given.objects
  planes = []
  for i in ids:
    if i in shown or i not in found:
      planes.append((painted == i).astype(np.float32))
    else:
      planes.append(np.where(painted > 0, np.float32(0), found[i]))
  return np.stack(planes) if planes else np.zeros((0, *project.video.size), np.float32)


def download(project: Project, name: str) -> pathlib.Path:
  """The file to send for a name in `ExportStatus.files`; many are packed, once.

  Raises:
    KeyError: nothing of this name was exported.
  """
  folder = project.folder / "export"
  if name in final_files(KINDS) and (folder / name).is_file():
    return folder / name
  kind, archive = name.removesuffix(".zip"), folder / name
  if kind == name or kind not in _MANY_FILES:
    raise KeyError(name)
  with _packing:
    inside = sorted(folder.glob(_MANY_FILES[kind]))
    if not inside:
      raise KeyError(name)
    if not archive.exists():
      with files.replacing(archive) as draft, zipfile.ZipFile(draft, "w") as target:
        for item in inside:
          target.write(item, item.relative_to(folder))
  return archive
