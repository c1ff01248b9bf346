"""Writes what a project holds as `vosjax segment --save` would."""

import dataclasses
import pathlib
import threading
import zipfile
from typing import Any

from vosjax import files, viz
from vosjax.app import videos
from vosjax.app.live import Hub
from vosjax.app.projects import Project
from vosjax.media.write import video_writer, write_labels

KINDS = {
  "masks": "label maps, palette PNG",
  "overlay": "video with objects tinted, MP4",
}


def describe_kinds() -> list[dict[str, str]]:
  return [{"kind": kind, "text": text} for kind, text in KINDS.items()]


@dataclasses.dataclass(frozen=True)
class ExportStatus:
  """How far an export is.

  Attributes:
    state: "running", "done" or "failed".
    done: frames written.
    total: frames to write.
    message: what failed.
    files: names to download, see `download`.
    folder: where they lie.
  """

  state: str
  done: int
  total: int
  message: str = ""
  files: tuple[str, ...] = ()
  folder: str = ""


class Exports:
  """Exports in progress, at most one a project."""

  def __init__(self, hub: Hub):
    self._hub = hub
    self._lock = threading.Lock()
    self._status: dict[str, ExportStatus] = {}

  def status(self, project_id: str) -> dict[str, Any] | None:
    found = self._status.get(project_id)
    return None if found is None else dataclasses.asdict(found)

  def start(self, project: Project, kinds: Any) -> None:
    if (
      not isinstance(kinds, list)
      or not kinds
      or not all(isinstance(kind, str) and kind in KINDS for kind in kinds)
    ):
      raise ValueError(f"kinds are {kinds!r}; expected some of {', '.join(KINDS)}.")
    with self._lock:
      now = self._status.get(project.id)
      if now is not None and now.state == "running":
        raise ValueError("an export is running already; wait until it has ended.")
      self._set(project, ExportStatus("running", 0, len(project.video)))
    thread = threading.Thread(target=self._run, args=(project, kinds), daemon=True)
    thread.start()

  def _set(self, project: Project, status: ExportStatus) -> None:
    self._status[project.id] = status
    self._hub.announce(project.id, None)

  def _run(self, project: Project, kinds: list[str]) -> None:
    folder = project.folder / "export"
    total = len(project.video)
    try:
      folder.mkdir(exist_ok=True)
      video = videos.another_reader(project.video)
      (folder / "masks").mkdir(exist_ok=True)
      with video_writer(
        folder / "overlay.mp4", video.size, video.frames_per_second
      ) as write:
        for index, name in enumerate(video.frame_names):
          labels = project.labels(index)
          write_labels(folder / "masks" / f"{name}.png", labels)
          write(viz.overlay(video[index], labels))
          self._set(project, ExportStatus("running", index + 1, total))
      names = ("masks", "overlay.mp4")
      self._set(
        project, ExportStatus("done", total, total, files=names, folder=str(folder))
      )
    except (ValueError, OSError) as error:
      self._set(project, ExportStatus("failed", 0, total, str(error)))


def download(project: Project, name: str) -> pathlib.Path:
  """The file to send for an exported file or folder.

  Raises:
    KeyError: nothing of this name was exported.
  """
  folder = project.folder / "export"
  if not folder.is_dir() or name not in {path.name for path in folder.iterdir()}:
    raise KeyError(name)
  path = folder / name
  if path.is_file():
    return path
  archive = folder / f".{name}.zip"
  with files.replacing(archive) as draft, zipfile.ZipFile(draft, "w") as target:
    for item in sorted(path.rglob("*")):
      if item.is_file():
        target.write(item, item.relative_to(folder))
  return archive
