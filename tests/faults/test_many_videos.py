"""Many videos on many devices and hosts, one of which dies, against a single device.

Four processes of two fake devices each stand for four hosts. Those of `vosjax segment`
know nothing of each other.
"""

import collections
import re
import time

import pytest

HOSTS = 4
# Mode -> what shows how much of the work is done.
MODES = {"predict": "predictions/*/*.png", "evaluate": "eval/unfinished/*.json"}


@pytest.fixture(scope="module")
def many(count, make_davis, tmp_path_factory):
  """Root of many videos of three frames, all of them in the list `val`."""
  names = [f"video{number:04}" for number in range(count("videos"))]
  return make_davis(tmp_path_factory.mktemp("many"), names, 3, {"val": names})


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_many_videos_give_the_same_files_on_any_devices_and_hosts(
  mode, many, checkpoint, start_together, end_together, count, tell, tmp_path
):
  def start(folder, num_hosts, num_devices):
    command = [
      *("-m", "vosjax", "train", "agame:smoke", f"--workdir={folder}"),
      *(f"--config.mode={mode}", "--config.evaluation.dataset=davis"),
      *(f"--config.data.root={many}", "--config.data.year=2017"),
      *("--config.evaluation.subset=val", "--config.evaluation.num_videos=0"),
      f"--config.evaluation.checkpoint={checkpoint}",
    ]
    return start_together(command, num_hosts, num_devices)

  def finish(folder, num_hosts, num_devices):
    began = time.monotonic()
    codes, _, errors = end_together(start(folder, num_hosts, num_devices), timeout=3000)
    assert not any(codes), errors
    seconds = time.monotonic() - began
    return files(folder), f"{seconds:.0f} s"

  together = tmp_path / "together"
  expected, on_one = finish(tmp_path / "one", 1, 1)
  found, on_eight = finish(tmp_path / "eight", 1, 8)
  assert found == expected
  hosts, began = start(together, HOSTS, 2), time.monotonic()
  total = count("videos") * {"predict": 3, "evaluate": 1}[mode]
  while all(host.poll() is None for host in hosts):
    if len(list(together.glob(MODES[mode]))) > total // 4:
      break
    time.sleep(0.02)
  hosts[2].kill()
  codes, _, errors = end_together(hosts)
  assert all(codes), errors
  until_dead = time.monotonic() - began
  done = len(list(together.glob(MODES[mode])))
  assert 0 < done < total
  found, restarted = finish(together, HOSTS, 2)
  assert found == expected
  tell(
    f"{mode}: {count('videos')} videos: 1 device {on_one}, 8 devices {on_eight}; 4 "
    f"processes x 2 devices, one killed: {until_dead:.0f} s until all had ended with "
    f"{done} of {total} done, restarted {restarted}; {len(expected)} equal files"
  )


@pytest.mark.slow
def test_many_videos_are_shared_by_processes_of_one_command(
  many, checkpoint, command_type, count, same, tell, tmp_path, monkeypatch
):
  monkeypatch.setenv("PYTHONUNBUFFERED", "1")
  command = command_type(
    (
      *("-m", "vosjax", "segment", str(many / "JPEGImages/480p")),
      *("--masks", str(many / "Annotations/480p"), "--checkpoint", str(checkpoint)),
      *("--out", "{out}", "--save", "overlay,coco,results,report"),
    ),
    {},
  )
  began, out = time.monotonic(), tmp_path / "together"
  command.finish(tmp_path / "one")
  alone = time.monotonic() - began
  began = time.monotonic()
  processes = [command.start(out) for _ in range(3)]
  killed, heard = processes[0], ""
  while not completed(heard):  # it goes on with another video
    line = killed.stdout.readline()
    assert line, heard
    heard += line
  killed.kill()
  heard += killed.communicate()[0]
  processes[0] = command.start(out)
  said = [process.communicate()[0] for process in processes]
  together = time.monotonic() - began
  assert not any(process.returncode for process in processes), said
  same(command.results(out), command.results(tmp_path / "one"))
  times = collections.Counter(completed("".join((heard, *said))))
  assert set(times.values()) == {1}
  # Each device of the process may have been killed before it said that it was over.
  assert count("videos") - len(times) <= 2, said
  assert command.finish(out).count("already finished") == count("videos")
  tell(
    f"segment: {count('videos')} videos: 1 process {alone:.0f} s; 3 processes, one "
    f"killed after {len(completed(heard))} and started again, {together:.0f} s: "
    f"{[len(completed(text)) for text in said]} videos"
  )


def completed(said):
  """Names of the videos that a process says to have completed."""
  return re.findall(r"(video[0-9]+): 3 masks, ", said)


def files(folder):
  """Contents of all files by path."""
  return {
    path.relative_to(folder).as_posix(): path.read_bytes()
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }
