"""Memory and open files do not grow with the length of a video or of a run."""

import contextlib
import os
import pathlib
import subprocess
import threading
import time

import numpy as np
import pytest

from vosjax.media.write import video_writer

ROOT = pathlib.Path(__file__).resolve().parents[2]
MIB = 2**20
GROWTH = 48 * MIB  # allowed from the second measurement on; an allocator's own
HEIGHT, WIDTH = 32, 48


def measure(process):
  """(resident bytes, number of open files, number of threads) of a process.

  The least of a few readings: while a checkpoint is written there are more.
  """
  folder, readings = pathlib.Path(f"/proc/{process.pid}"), []
  while len(readings) < 10 and process.poll() is None:
    lines = (folder / "status").read_text().splitlines()
    resident = [line.split()[1] for line in lines if line.startswith("VmRSS")]
    if readings and not resident:  # it has ended meanwhile
      break
    counts = (len(os.listdir(folder / name)) for name in ("fd", "task"))
    readings.append((int(resident[0]) * 1024, *counts))
    time.sleep(0.1)
  return tuple(map(min, zip(*readings)))


def stages(last):
  """100, 1,000 and so on up to the last number."""
  return [n for n in (100, 1000, 10_000, 100_000) if n < last] + [last]


def watch(process, progress, numbers):
  """Measures a process whenever its progress reaches a number, until it ends."""
  found, said = {}, []
  reader = threading.Thread(target=lambda: said.extend(process.stdout))
  reader.start()
  for number in numbers:
    while process.poll() is None and progress() < number:
      time.sleep(0.1)
    if process.poll() is None:
      found[number] = measure(process)
  reader.join()
  process.stdout.close()
  assert process.wait() == 0, said[-20:]
  return found


def require_constant(found, name, unit, tell):
  """Compares the last measurement with an early one, when all is compiled."""
  text = ", ".join(
    f"{memory / MIB:.0f} MiB, {opened} files and {threads} threads at {number:,}"
    for number, (memory, opened, threads) in found.items()
  )
  tell(f"{name}: {text} {unit}")
  *earlier, after = found.values()
  before = earlier[:2][-1]
  assert after[0] - before[0] < GROWTH
  assert after[1] <= before[1] + 4 and after[2] <= before[2] + 4


@pytest.fixture
def segment(commands):
  """The arguments of `vosjax segment` for another video."""

  def arguments(video):
    command = commands["segment"].arguments
    at = command.index("segment") + 1
    return (*command[:at], str(video), *command[at + 1 : -1], "masks,results")

  return arguments


def count_masks(out):
  return sum(name.endswith(".png") for name in os.listdir(out)) if out.exists() else 0


def seen(last):
  """Numbers a little before the stages: the very end may be over before it is seen."""
  return [number - number // 50 for number in stages(last)]


@pytest.mark.slow
def test_a_stream_takes_constant_memory(segment, command_type, count, tell, tmp_path):
  last, out = count("frames"), tmp_path / "out"
  process = command_type(segment("-"), {}).start(out, stdin=subprocess.PIPE, text=False)
  pipe, process.stdin = process.stdin, None
  rng = np.random.default_rng(0)

  def feed():
    header = f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F25:1 Ip A1:1 C420jpeg\n"
    with contextlib.suppress(BrokenPipeError), pipe:
      pipe.write(header.encode())
      for _ in range(last):
        pixels = rng.integers(0, 256, HEIGHT * WIDTH * 3 // 2, np.uint8)
        pipe.write(b"FRAME\n" + pixels.tobytes())

  thread = threading.Thread(target=feed)
  thread.start()
  found = watch(process, lambda: count_masks(out), seen(last))
  thread.join()
  assert count_masks(out) == last
  require_constant(found, "segment -", "frames", tell)


@pytest.mark.slow
def test_a_long_file_takes_constant_memory(
  segment, command_type, count, tell, tmp_path
):
  last, out = count("frames"), tmp_path / "out"
  rng = np.random.default_rng(0)
  with video_writer(tmp_path / "long.mp4", (HEIGHT, WIDTH), 25.0) as write:
    for _ in range(last):
      write(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
  process = command_type(segment(tmp_path / "long.mp4"), {}).start(out)
  found = watch(process, lambda: count_masks(out), seen(last))
  require_constant(found, "segment long.mp4", "frames", tell)


TOY = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("toy", "tests/train/toy.py")
toy = importlib.util.module_from_spec(spec)
spec.loader.exec_module(toy)
toy.STEPS = ({steps},)
toy.run(pathlib.Path("{{out}}"), schedule=toy.Schedule({steps}, 100, {steps}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["toy", "train"])
def test_a_long_run_takes_constant_memory(
  name, commands, command_type, count, tell, tmp_path
):
  """Many steps of the loop on a toy model, and a twentieth of them of a whole run."""
  last, out = count("steps"), tmp_path / "out"
  out.mkdir()
  if name == "toy":
    arguments = ("-c", TOY.format(steps=last))
  else:
    last //= 20
    arguments = (
      *(*commands["train"].arguments[:-2], "--config.log.every_steps=1"),
      *(f"--config.stages.main.num_steps={last}", "--config.checkpoint.every_steps=50"),
      f"--config.validation.every_steps={last}",
      f"--config.log.curves_every_steps={last}",
    )
  process = command_type(arguments, {}).start(out, cwd=ROOT)

  def progress():
    path = out / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0

  found = watch(process, progress, seen(last))
  require_constant(found, name, "steps", tell)
