"""Many videos that several processes share, which start the same command."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import jax
import pytest

from vosjax import __main__ as command_line
from vosjax import files
from vosjax.cli import segment, segment_many
from vosjax.train import interrupt

pytestmark = [
  pytest.mark.usefixtures("copying"),
  pytest.mark.skipif(files.fcntl is None, reason="this system has no locks"),
]

NAMES = ("a", "b", "c")


@pytest.fixture
def videos(tmp_path, frames, save_mask):
  """A folder of three videos of four frames, beside their masks."""
  for name in NAMES:
    shutil.copytree(frames, tmp_path / "videos" / name)
    (tmp_path / "masks").mkdir(exist_ok=True)
    save_mask(tmp_path / "masks" / f"{name}.png", 2)
  return tmp_path / "videos"


@pytest.fixture
def run(videos):
  """Segments the videos into a folder."""

  def segment_all(out):
    masks = videos.parent / "masks"
    arguments = (videos, "--masks", masks, "--out", out, "--save", "results")
    return command_line.main(["segment", *map(str, arguments)])

  return segment_all


@pytest.fixture
def use_devices(monkeypatch):
  """Lets the command use so many devices."""

  def use(count):
    if count > jax.local_device_count():
      pytest.skip(f"needs {count} devices")
    devices = jax.local_devices()[:count]
    monkeypatch.setattr(jax, "local_devices", lambda: devices)

  return use


def contents(folder):
  return {
    path.relative_to(folder): path.read_bytes()
    for path in folder.rglob("*")
    if path.is_file()
  }


@pytest.mark.parametrize("num_devices", [1, 2])
def test_a_video_of_another_process_is_left_to_it(
  run, tmp_path, capsys, copying, use_devices, num_devices
):
  use_devices(num_devices)
  out = tmp_path / "out"
  with files.claimed(out / "b", "theirs"):
    assert run(out) == 0
    assert not os.listdir(out / "b")
  said = capsys.readouterr()
  assert said.out.count("[2/3] b: left to another process") == 1
  assert said.out.splitlines()[-1] == (
    "1 of 3 videos was left to another process. When that has ended, run the command "
    "again to see whether the video is complete."
  )
  assert "failed" not in said.err
  assert sorted(path.name for path in out.iterdir()) == ["a", "c"]
  assert run(out) == 0
  said = capsys.readouterr().out
  assert said.count("already finished") == 2 and "another process" not in said
  assert copying.calls == 3 * 4
  assert run(tmp_path / "alone") == 0
  assert contents(out) == contents(tmp_path / "alone")


def test_videos_of_several_processes_are_counted(run, tmp_path, capsys, copying):
  out = tmp_path / "out"
  with (
    files.claimed(out / "a", "theirs"),
    files.claimed(out / "c", "theirs"),
  ):
    assert run(out) == 0
  last = capsys.readouterr().out.splitlines()[-1]
  assert last.startswith("2 of 3 videos were left to other processes. ")
  assert copying.calls == 4


def test_a_video_that_another_process_gives_up_is_segmented_in_the_end(
  run, tmp_path, capsys, copying, monkeypatch, use_devices
):
  use_devices(1)
  out, complete = tmp_path / "out", copying.run
  theirs = files.claimed(out / "a", "theirs")

  def give_up(self, *args, **options):
    theirs.__exit__(None, None, None)
    monkeypatch.setattr(copying, "run", complete)
    return complete(self, *args, **options)

  monkeypatch.setattr(copying, "run", give_up)
  theirs.__enter__()
  assert run(out) == 0
  said = capsys.readouterr().out
  titles = [line for line in said.splitlines() if line.startswith("[")]
  assert [title[:7] for title in titles] == [
    *("[1/3] a", "[2/3] b", "[3/3] c", "[1/3] a")
  ]
  assert "videos was left" not in said
  assert sorted(path.name for path in out.iterdir()) == [*NAMES]


def test_faults_are_listed_beside_videos_of_other_processes(
  run, videos, tmp_path, capsys
):
  out = tmp_path / "out"
  (videos / "c/00001.jpg").unlink()
  with files.claimed(out / "b", "theirs"):
    assert run(out) == 2
  said = capsys.readouterr()
  assert "1 of 3 videos was left to another process" in said.out
  assert "1 of 3 videos failed" in said.err.splitlines()[-1]
  assert "complete, or in progress. Mend what failed" in said.err.splitlines()[-1]


def test_finished_videos_are_not_decoded_again(run, tmp_path, capsys, monkeypatch):
  out = tmp_path / "out"
  assert run(out) == 0
  monkeypatch.setattr(segment, "read_inputs", None)
  monkeypatch.setattr(segment, "load_segmenter", None)
  assert run(out) == 0
  assert capsys.readouterr().out.count("already finished") == 3


@pytest.mark.parametrize("num_devices", [1, 2])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_last_frames_of_a_video_keeps_the_next_from_beginning(
  run, tmp_path, capsys, copying, monkeypatch, use_devices, num_devices, signum
):
  use_devices(num_devices)
  out, complete, record = tmp_path / "out", copying.run, interrupt.Interrupt._record
  together, heard = threading.Barrier(num_devices), threading.Event()

  def listen(self, *args):
    record(self, *args)
    heard.set()

  def signalled(self, *args, **options):
    yield from complete(self, *args, **options)
    if together.wait(60) == 0:
      signal.pthread_kill(threading.main_thread().ident, signum)
    assert heard.wait(60)

  monkeypatch.setattr(interrupt.Interrupt, "_record", listen)

  monkeypatch.setattr(copying, "run", signalled)
  assert run(out) == 130
  said = capsys.readouterr()
  lines = [line for line in said.out.splitlines() if line.startswith("stopped: ")]
  completed = NAMES[:num_devices]
  assert sorted(lines) == [f"stopped: {out / name} is complete." for name in completed]
  assert ("stopping soon" in said.err) == (num_devices > 1)
  assert sorted(path.name for path in out.iterdir()) == [*NAMES[:num_devices]]
  monkeypatch.setattr(copying, "run", complete)
  assert run(out) == 0
  assert capsys.readouterr().out.count("already finished") == num_devices


def test_no_video_begins_after_a_signal(videos, tmp_path, use_devices):
  """Not even if those in progress end without hearing it."""
  use_devices(2)
  begun, together = [], threading.Barrier(2)

  def segment_one(segmenter, task, folder, stop):
    begun.append(task.name)
    if together.wait(60) == 0:
      signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
    for _ in range(6000):
      if stop.signum is not None:
        return
      time.sleep(0.01)

  tasks = segment_many.find_tasks(videos, videos.parent / "masks")
  with pytest.raises(KeyboardInterrupt):
    segment_many.run_all(tasks, tmp_path / "out", lambda: None, segment_one)
  assert sorted(begun) == ["a", "b"]


def test_faults_are_listed_before_a_signal_ends_the_command(
  run, videos, tmp_path, capsys, copying, monkeypatch, use_devices
):
  use_devices(1)

  def interrupted(self, *args, **options):
    raise KeyboardInterrupt

  (videos / "a/00001.jpg").unlink()
  monkeypatch.setattr(copying, "run", interrupted)
  assert run(tmp_path / "out") == 130
  last = capsys.readouterr().err.splitlines()[-2:]
  assert last[0].startswith("a: ") and last[1] == "vosjax: stopped."


@pytest.mark.parametrize(
  ("raised", "said"),
  [
    (
      jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory: 9 GiB\nmore"),
      "b: not enough memory (RESOURCE_EXHAUSTED: Out of memory: 9 GiB). --max-size",
    ),
    (
      jax.errors.JaxRuntimeError(
        "INTERNAL: Error dispatching computation: Out of memory allocating 9 bytes."
      ),
      "computation: Out of memory allocating 9 bytes). --max-size makes",
    ),
    (MemoryError(), "b: not enough memory (MemoryError). --max-size"),
    (PermissionError(13, "Permission denied", "b"), "Permission denied. Choose a fold"),
  ],
)
def test_a_lack_of_memory_or_permission_is_the_fault_of_one_video(
  run, tmp_path, capsys, copying, monkeypatch, use_devices, raised, said
):
  use_devices(1)
  out, complete = tmp_path / "out", copying.run

  def failing(self, frames, **options):
    if (out / "b").exists() and not (out / "c").exists():
      raise raised
    return complete(self, frames, **options)

  monkeypatch.setattr(copying, "run", failing)
  assert run(out) == 2
  printed = capsys.readouterr()
  assert said in printed.err
  assert "1 of 3 videos failed" in printed.err.splitlines()[-1]
  assert copying.calls == 2 * 4


def test_a_closed_standard_output_ends_the_command_and_fails_no_video(
  videos, tmp_path, capsys, use_devices
):
  use_devices(1)
  begun = []

  def segment_one(segmenter, task, folder, stop):
    begun.append(task.name)
    raise BrokenPipeError(32, "Broken pipe")

  tasks = segment_many.find_tasks(videos, videos.parent / "masks")
  with pytest.raises(BrokenPipeError):
    segment_many.run_all(tasks, tmp_path / "out", lambda: None, segment_one)
  assert begun == ["a"]
  assert not capsys.readouterr().err


def test_a_second_ctrl_c_ends_threads_at_once():
  code = (
    "import signal, threading\n"
    "from vosjax.train.interrupt import Interrupt\n"
    "with Interrupt(of_threads=True):\n"
    "  threading.Thread(target=threading.Event().wait).start()\n"
    "  signal.raise_signal(signal.SIGINT)\n"
    "  print('goes on')\n"
    "  signal.raise_signal(signal.SIGINT)\n"
  )
  ended = subprocess.run(
    [sys.executable, "-c", code],
    capture_output=True,
    text=True,
    timeout=120,
    env={key: os.environ[key] for key in os.environ if key != "PYTHONUNBUFFERED"},
  )
  assert ended.returncode == 130
  assert ended.stdout == "goes on\n"
  assert ended.stderr == "stopping soon; Ctrl-C stops at once.\n"
