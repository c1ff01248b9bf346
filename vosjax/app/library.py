"""The projects of a server, and the files that they may be made from."""

import contextlib
import dataclasses
import hashlib
import pathlib
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from vosjax.app import projects, videos
from vosjax.app.follow import Follower
from vosjax.app.frames import FrameImages
from vosjax.app.projects import Project
from vosjax.app.uploads import UPLOADED, Uploads
from vosjax.inference.engine import VideoSegmenter
from vosjax.media.video_frames import VideoFrames

_MOST_ENTRIES = 2000  # of a folder that the page lists
_CLOSE_SECONDS = 5.0  # for the frame in progress; compiling its programs takes longer


class MissingVideoError(ValueError):
  """The video of a project is not where it was."""


@dataclasses.dataclass(eq=False)
class OpenProject:
  """A project that windows look at.

  Attributes:
    project: its files.
    images: its frames, for the page.
    follower: segments its video.
  """

  project: Project
  images: FrameImages
  follower: Follower

  def close(self) -> None:
    """Stops following, after the frame in progress if it ends soon; closes files."""
    self.follower.request_pause()
    self.follower.wait(_CLOSE_SECONDS)
    self.project.close()


class Library:
  """Opens videos as projects. Threads may share it.

  Args:
    folder: that holds the projects, a folder each.
    roots: videos, and folders below which videos may be opened.
    segmenter: shared by all projects.
    model: digest of the model and its options.
    announce: called with a project's id and the number of a frame that has a new
      result, or None if only the status has changed.
    upload_limit: bytes of all files of an upload.
    allow_damaged: leave damaged frames out, see `read_video`.

  Attributes:
    folder: that holds the projects.
    roots: without links.
    uploads: videos that are being sent.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    roots: Sequence[pathlib.Path],
    segmenter: VideoSegmenter,
    model: str,
    announce: Callable[[str, int | None], None],
    upload_limit: int,
    allow_damaged: bool = False,
  ):
    self.folder, self.roots = folder, [root.resolve() for root in roots]
    self._segmenter, self._model, self._announce = segmenter, model, announce
    self._allow_damaged = allow_damaged
    self._lock = threading.Lock()  # of the dictionaries; nothing is read under it
    self._turns: dict[str, threading.Lock] = {}
    self._open: dict[str, OpenProject] = {}
    folder.mkdir(parents=True, exist_ok=True)
    self.uploads = Uploads(folder, upload_limit)

  def names(self) -> list[dict[str, str]]:
    """The projects of videos that may be opened, the latest first: id and name.

    Entries whose names are not UTF-8 are left out here and in `browse`.
    """
    found = sorted(self._project_files(), key=lambda path: -path.stat().st_mtime_ns)
    listed = []
    for path in found:
      try:
        video = projects.read_json(path.parent)["video"]
        self._source(path.parent, video)
        videos.require_unicode(path.parent)
      except ValueError:
        continue  # opening it says what is wrong
      listed.append({"id": path.parent.name, "name": title(video)})
    return listed

  def get(self, project_id: str) -> OpenProject:
    """A project by its id; opens it if that has not been done.

    Raises:
      KeyError: there is none.
      MissingVideoError: its video is not there.
      ValueError: its file or its video is damaged, or not below a root.
    """
    if (opened := self._opened(project_id)) is not None:
      return opened
    folder = self.folder / project_id
    if folder not in {path.parent for path in self._project_files()}:
      raise KeyError(project_id)
    with self._turn(project_id):
      if (opened := self._opened(project_id)) is not None:
        return opened
      source = self._source(folder, projects.read_json(folder)["video"])
      if not source.exists():
        raise MissingVideoError(f"{source}: no such video; put it back.")
      return self._add(folder, self._read(folder, source))

  def request_pause(self, project_id: str) -> None:
    """Stops following a project after the frame in progress. Waits for nothing.

    Raises:
      KeyError: the project is not open, so that nothing is followed.
    """
    with self._lock:
      opened = self._open[project_id]
    opened.follower.request_pause()

  def _project_files(self) -> list[pathlib.Path]:
    """The files of all projects that are complete."""
    found = self.folder.glob(f"*/{projects.PROJECT_FILE}")
    return [path for path in found if not path.parent.name.startswith(".")]

  def _opened(self, project_id: str) -> OpenProject | None:
    """A project that is open; closes it if somebody has deleted its folder."""
    with self._lock:
      opened = self._open.get(project_id)
      if opened is None or (opened.project.folder / projects.PROJECT_FILE).exists():
        return opened
      del self._open[project_id]
    opened.close()
    return None

  @contextlib.contextmanager
  def _turn(self, project_id: str) -> Iterator[None]:
    """Waits for other threads that open this project; those of others go on."""
    with self._lock:
      turn = self._turns.setdefault(project_id, threading.Lock())
    with turn:
      yield

  def _source(self, folder: pathlib.Path, video: str) -> pathlib.Path:
    """Where the video of a project is.

    Raises:
      ValueError: it is an uploaded one outside of the folder of the project, or
        another one outside of the roots.
    """
    if pathlib.PurePath(video).is_absolute():
      return videos.resolve(pathlib.Path(video), self.roots)
    return videos.resolve(folder / video, [folder.resolve()])

  def _read(self, folder: pathlib.Path, source: pathlib.Path) -> VideoFrames:
    """The video of a project.

    Raises:
      ValueError: it is not one, or leads outside of the roots and the folder.
    """
    videos.require_inside(source, [*self.roots, folder.resolve() / UPLOADED])
    return videos.read(source, self._allow_damaged)

  def _add(self, folder: pathlib.Path, video: VideoFrames) -> OpenProject:
    project = Project(folder, video)

    def announce(frame: int | None) -> None:
      self._announce(project.id, frame)

    # Results of other weights, or of a video that has changed since, are stale.
    key = f"{self._model} {project.version}"
    reader = videos.another_reader(video)
    follower = Follower(self._segmenter, key, project, reader, announce)
    opened = OpenProject(project, FrameImages(video), follower)
    with self._lock:
      self._open[project.id] = opened
    return opened

  def open(self, path: pathlib.Path) -> OpenProject:
    """The project of a video; makes it if there is none.

    Raises:
      ValueError: the path is not below a root, or is not a video.
    """
    path = videos.resolve(path, self.roots)
    if not path.exists():
      raise ValueError(f"{path}: no such video file or folder of frames.")
    digest = hashlib.sha1(str(path).encode()).hexdigest()[:8]
    folder = self.folder / f"{_slug(title(str(path)))}-{digest}"
    with self._turn(folder.name):
      if (opened := self._opened(folder.name)) is not None:
        return opened
      video = self._read(folder, path)  # a folder is made only for what can be read
      if not (folder / projects.PROJECT_FILE).exists():
        folder.mkdir(exist_ok=True)
        projects.write_json(folder, {"format": projects.FORMAT, "video": str(path)})
      return self._add(folder, video)

  def browse(self, path: str | None) -> list[dict[str, Any]]:
    """What can be opened in a folder, or all roots if there is no path.

    Raises:
      ValueError: the path is not below a root, or is not a folder.
    """
    if path is None:
      return [_entry(root) | {"name": str(root)} for root in self.roots]
    folder = videos.resolve(pathlib.Path(path), self.roots)
    if not folder.is_dir():
      raise ValueError(f"{path}: is not a folder.")
    inside = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    entries = []
    for item in inside[:_MOST_ENTRIES]:
      if not videos.is_unicode(item.name) or self._leads_outside(item):
        continue
      is_video = item.suffix.lower() in videos.VIDEO_SUFFIXES and item.is_file()
      if is_video or item.is_dir():
        entries.append(_entry(item))
    return entries

  def _leads_outside(self, item: pathlib.Path) -> bool:
    """Whether an entry of a folder is a link to something that cannot be opened."""
    if not item.is_symlink():
      return False
    try:
      videos.resolve(item, self.roots)
    except ValueError:
      return True
    return False

  def finish_upload(self, upload_id: str) -> OpenProject:
    """Makes a project of what was sent.

    Raises:
      KeyError: there is no such upload.
      ValueError: it is not a video; what was sent is deleted.
    """
    sent, video = self.uploads.finish(upload_id)
    try:
      if not any((sent / UPLOADED).iterdir()):
        raise ValueError("nothing was sent.")
      self._read(sent, sent / video)
    except (ValueError, OSError) as error:
      shutil.rmtree(sent, ignore_errors=True)
      message = str(error).replace(f"{sent / UPLOADED}", "").lstrip("/: ")
      raise ValueError(message) from None
    stem = video.stem if video != pathlib.Path(UPLOADED) else "frames"
    folder = self.folder / f"{_slug(stem)}-{upload_id[:8]}"
    value = {"format": projects.FORMAT, "video": video.as_posix()}
    projects.write_json(sent, value)
    sent.rename(folder)
    return self.get(folder.name)

  def close(self) -> None:
    """Stops all following and closes all projects, see `OpenProject.close`."""
    with self._lock:
      closing = list(self._open.values())
      self._open.clear()
    for opened in closing:
      opened.follower.request_pause()  # of all, before the first is waited for
    for opened in closing:
      opened.close()


def _entry(path: pathlib.Path) -> dict[str, Any]:
  kind = "video"
  if path.is_dir():
    kind = "frames" if videos.holds_frames(path) else "folder"
  return {"name": path.name or str(path), "path": str(path), "kind": kind}


def title(path: str) -> str:
  """What to call a video: its name, and that of its folder if it is a folder."""
  pure = pathlib.PurePath(path)
  return pure.name if pure.suffix else "/".join(pure.parts[-2:])


def _slug(text: str) -> str:
  """Letters and digits of a name, for folders and addresses."""
  return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "video"
