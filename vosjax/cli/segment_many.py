"""`vosjax segment` on many videos: one folder of results for each.

Devices and processes share the videos without knowing of each other: each takes the
next video whose folder it can claim.
"""

import contextlib
import dataclasses
import pathlib
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from vosjax import files
from vosjax.cli import problems
from vosjax.data.codecs import images
from vosjax.data.formats.folders import by_number
from vosjax.train import interrupt
from vosjax.train.scoring import sharing

Worker = TypeVar("Worker")

VIDEO_SUFFIXES = (
  ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg",
  ".mts", ".ogv", ".ts", ".webm", ".wmv", ".y4m",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Task:
  """One of the videos.

  Attributes:
    name: of its folder of results.
    video: file, or folder of frames.
    masks: files or folders of masks; empty if the model needs none.
    fault: why it cannot be segmented; "" if it can.
  """

  name: str
  video: pathlib.Path
  masks: tuple[pathlib.Path, ...]
  fault: str = ""


def is_collection(path: pathlib.Path) -> bool:
  """Whether a path is a list of videos, or a folder that holds videos, not frames.

  Images beside video files are thumbnails or masks; beside folders, they are frames.
  """
  if path.is_file():
    return path.suffix.lower() == ".txt"
  if not path.is_dir():
    return False
  videos = _videos(path)
  return any(video.is_file() for video in videos) or (
    bool(videos) and not _holds(path, images.SUFFIXES)
  )


def find_tasks(path: pathlib.Path, masks: pathlib.Path | None) -> list[Task]:
  """Pairs videos with their masks.

  Args:
    path: folder of videos (files, or folders of frames); or a text file with a video
      in each line and, after a tab, its mask. Paths in it are relative to it.
    masks: folder with a mask file or a folder of masks for each video, of its name.

  Returns:
    One task for each video; one without a mask has a fault.

  Raises:
    ValueError: nothing is listed, or two videos have one name; names them.
  """
  if path.is_file():
    pairs = _read_list(path)
  else:
    pairs = [(video, None) for video in _videos(path)]
    if masks is not None:
      pairs = [pair for pair in pairs if pair[0].resolve() != masks.resolve()]
  tasks: list[Task] = []
  for video, mask in pairs:
    name, fault = video.name if video.is_dir() else video.stem, ""
    if mask is None and masks is not None:
      mask, fault = _find_mask(masks, name)
    tasks.append(Task(name, video, () if mask is None else (mask,), fault))
  if not tasks:
    raise ValueError(f"{path}: holds no video besides --masks {masks}.")
  names = [task.name for task in tasks]
  for task in tasks:
    if names.count(task.name) > 1:
      raise ValueError(
        f"{path}: several videos are named {task.name}, as their results would be. "
        "Rename one."
      )
  return tasks


def run_all(
  tasks: list[Task],
  out: pathlib.Path,
  make_segmenter: Callable[[], Worker],
  segment: Callable[[Worker, Task, pathlib.Path, interrupt.Interrupt | None], None],
) -> None:
  """Segments the videos, on all devices side by side; faults do not stop the others.

  Videos that other processes are working on are left to them, and tried again in the
  end, see `sharing.run_on_devices`.

  Args:
    tasks: the videos.
    out: folder that receives a folder for each.
    make_segmenter: makes what segments videos; called for each device.
    segment: segments a video into a folder that is claimed. It is given what records
      signals; None if it may do so itself, because there is one device.

  Raises:
    ValueError: some videos failed; all faults are listed on standard error before.
  """
  numbers = {task.name: number for number, task in enumerate(tasks, 1)}
  failures: dict[str, str] = {}
  left: set[str] = set()  # to other processes, which is said once
  stop = None

  def work(segmenter: Worker, task: Task, stopped: threading.Event) -> None:
    del stopped  # the video in progress is worth completing; signals end it, see `stop`
    if stop is not None and stop.signum is not None:
      raise KeyboardInterrupt
    title = f"[{numbers[task.name]}/{len(tasks)}] {task.name}"
    folder = out / task.name
    try:
      with files.claimed(folder, f"--out {folder}"):
        print(title)
        if task.fault:
          raise ValueError(task.fault)
        segment(segmenter, task, folder, stop)
    except files.FolderInUse:
      if task.name not in left:
        print(f"{title}: left to another process, which is working on it.")
      left.add(task.name)
      raise sharing.Postponed from None
    except BrokenPipeError:  # of standard output, which ends the command
      raise
    except Exception as error:
      text = problems.explain(error, "segment")
      if text is None:
        raise
      failures[task.name] = " ".join(text.split())
      print(f"warning: {task.name} failed: {failures[task.name]}", file=sys.stderr)

  try:
    with contextlib.ExitStack() as stack:
      if len(sharing.devices_for(tasks)) > 1:  # threads receive no signals
        stop = stack.enter_context(interrupt.Interrupt(of_threads=True))
      in_use = sharing.run_on_devices(make_segmenter, work, tasks)
  finally:  # also of what was done before a signal
    _list({name: failures[name] for name in numbers if name in failures})
  if in_use:
    print(_describe_in_use(len(in_use), len(tasks)))
  if failures:
    others = "complete, or in progress" if in_use else "complete"
    rest = f"; the results of the others are {others}"
    raise ValueError(
      f"{len(failures)} of {len(tasks)} videos failed, listed above"
      f"{rest if len(failures) < len(tasks) else ''}. Mend what failed and run the "
      "command again."
    )


def _describe_in_use(number: int, total: int) -> str:
  if number == 1:
    return (
      f"1 of {total} videos was left to another process. When that has ended, run the "
      "command again to see whether the video is complete."
    )
  return (
    f"{number} of {total} videos were left to other processes. When these have ended, "
    "run the command again to see whether the videos are complete."
  )


def _list(failures: Mapping[str, str]) -> None:
  for name, reason in failures.items():
    print(f"{name}: {reason}", file=sys.stderr)


def _videos(folder: pathlib.Path) -> list[pathlib.Path]:
  """Video files and folders of frames in a folder, sorted by name."""
  found = [
    path
    for path in folder.iterdir()
    if not path.name.startswith(".")
    and (
      _holds(path, images.SUFFIXES)
      if path.is_dir()
      else path.suffix.lower() in VIDEO_SUFFIXES
    )
  ]
  return sorted(found, key=lambda path: by_number(path.name))


def _holds(folder: pathlib.Path, suffixes: tuple[str, ...]) -> bool:
  return any(
    path.suffix.lower() in suffixes and not path.name.startswith(".")
    for path in folder.iterdir()
  )


def _find_mask(masks: pathlib.Path, name: str) -> tuple[pathlib.Path | None, str]:
  """The masks of a video of this name, or why there are none."""
  if (masks / name).is_dir():
    return masks / name, ""
  found = [path for path in masks.glob("*") if path.is_file() and path.stem == name]
  if len(found) == 1:
    return found[0], ""
  return None, (
    f"--masks {masks}: {len(found)} masks of video {name}; expected the folder "
    f"{masks / name} or one file {masks / name}.png."
  )


def _read_list(
  path: pathlib.Path,
) -> list[tuple[pathlib.Path, pathlib.Path | None]]:
  pairs: list[tuple[pathlib.Path, pathlib.Path | None]] = []
  try:
    text = path.read_text(encoding="utf-8-sig")  # as editors on Windows write it, too
  except UnicodeDecodeError:
    raise ValueError(f"{path}: is not UTF-8 text. Save the list as UTF-8.") from None
  for line in text.splitlines():
    if not line.strip() or line.startswith("#"):
      continue
    video, _, mask = line.partition("\t")
    paths = [path.parent / item.strip() for item in (video, mask) if item.strip()]
    pairs.append((paths[0], paths[1] if len(paths) > 1 else None))
  if not pairs:
    raise ValueError(f"{path}: lists no video; expected one path in each line.")
  return pairs
