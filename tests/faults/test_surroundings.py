"""Full disks, disks that cannot be written to, clocks that are wrong, second runs."""

import contextlib
import mmap
import os
import random
import shutil
import subprocess

import pytest

NAMES = ["train", "predict", "segment", "import-data", "build"]
FUTURE = 4_000_000_000  # seconds since 1970: the year 2096


@pytest.fixture
def small_disk(tmp_path):
  """Mounts a disk of some bytes at a folder, or changes the one that is there."""
  with contextlib.ExitStack() as stack:

    def mount(options):
      folder = tmp_path / "disk"
      folder.mkdir(exist_ok=True)
      again = "remount," if os.path.ismount(folder) else ""
      command = ["mount", "-t", "tmpfs", "-o", f"{again}{options}", "tmpfs"]
      try:
        subprocess.run([*command, str(folder)], check=True, capture_output=True)
      except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"cannot mount a tmpfs: {error}")
      if not again:
        stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
      return folder

    yield mount


def fails(command, out, reason):
  """Requires that a command ends with one line that names the reason."""
  process = command.start(out)
  said, _ = process.communicate()
  assert process.returncode == 2, said
  assert "Traceback" not in said and "Exception ignored" not in said, said
  assert reason in said.splitlines()[-1], said


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_said_and_more_space_helps(
  name, commands, undisturbed, same, small_disk, count, tell
):
  command, whole = commands[name], undisturbed(name)
  full = small_disk("size=1g")
  command.finish(full / "out")
  needed = sum(
    path.stat().st_blocks * 512 for path in full.rglob("*") if path.is_file()
  )
  rng = random.Random(name)
  failed = 0
  for _ in range(count("full-disks")):
    subprocess.run(["rm", "-r", *map(str, full.iterdir())], check=True)
    # In whole pages, to which tmpfs rounds up.
    small_disk(f"size={mmap.PAGESIZE * rng.randrange(1, needed // mmap.PAGESIZE)}")
    fails(command, full / "out", "No space left on device")
    small_disk("size=1g")
    command.finish(full / "out")
    same(command.results(full / "out"), whole.results)
    failed += 1
  tell(f"{name}: {failed} full disks, all said in one line and finished afterwards")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_cannot_be_written_to_is_said(name, commands, small_disk):
  folder = small_disk("size=1m")
  small_disk("ro")
  fails(commands[name], folder / "out", "Read-only file system")


@pytest.mark.slow
@pytest.mark.parametrize(
  ("name", "source", "own"),
  [
    ("segment", "frames", "segment.json"),
    ("import-data", "davis", "import.json"),
    ("train", None, None),
  ],
)
def test_clocks_do_not_matter(
  name, source, own, commands, command_type, undisturbed, same, kill, request, tmp_path
):
  """Inputs of the future, if there are any, and results of 1970 to go on with."""
  whole, command = undisturbed(name), commands[name]
  if source is not None:
    original = request.getfixturevalue(source).parent
    shutil.copytree(original, tmp_path / "in")
    set_times(tmp_path / "in", FUTURE)
    arguments = [
      text.replace(str(original), str(tmp_path / "in")) for text in command.arguments
    ]
    command = command_type(tuple(arguments), {})
  out = tmp_path / "out"
  for _ in range(2):
    kill(command.start(out), (whole.began + whole.ended) / 2)
    for path in tmp_path.glob("out*"):
      set_times(path, 0)
  command.finish(out)
  about_inputs = {own, "report.txt"}  # their times and paths
  found, expected = (
    {name: value for name, value in results.items() if name not in about_inputs}
    for results in (command.results(out), whole.results)
  )
  same(found, expected)


def set_times(folder, seconds):
  """Of all files but hard links, whose other names belong to the inputs."""
  for path in (folder, *folder.rglob("*")):
    if path.is_dir() or path.stat().st_nlink == 1:
      os.utime(path, (seconds, seconds))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_of_two_runs_at_once_one_is_refused(
  name, commands, undisturbed, same, tmp_path, tell
):
  command, whole, out = commands[name], undisturbed(name), tmp_path / "out"
  processes = [command.start(out) for _ in range(2)]
  said = [process.communicate()[0] for process in processes]
  codes = sorted(process.returncode for process in processes)
  assert codes in ([0, 0], [0, 2]), said  # both are well if the other was over by then
  if codes == [0, 2]:
    [refused] = [
      text for text, p in zip(said, processes, strict=True) if p.returncode == 2
    ]
    assert "another process is working in it" in refused.splitlines()[-1], refused
    assert "Traceback" not in refused
  same(command.results(out), whole.results)
  tell(f"{name}: two at once ended with codes {codes}")
