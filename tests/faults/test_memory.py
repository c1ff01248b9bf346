"""Memory and open files do not grow with the length of a video or of a run."""

import os
import pathlib
import subprocess
import time

import numpy as np
import pytest

from vosjax.media.write import video_writer

ROOT = pathlib.Path(__file__).resolve().parents[2]
MIB = 2**20
GROWTH = 48 * MIB  # allowed from the second measurement on; an allocator's own
HEIGHT, WIDTH = 32, 48


def measure(process):
  """(resident bytes, number of open files) of a process."""
  status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
  [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
  return int(line.split()[1]) * 1024, len(os.listdir(f"/proc/{process.pid}/fd"))


def stages(last):
  """100, 1,000 and so on up to the last number."""
  return [n for n in (100, 1000, 10_000, 100_000) if n < last] + [last]


def watch(process, progress, numbers):
  """Measures a process whenever its progress reaches a number, until it ends."""
  found = {}
  for number in numbers:
    while process.poll() is None and progress() < number:
      time.sleep(0.02)
    if process.poll() is None:
      found[number] = measure(process)
  said, _ = process.communicate()
  assert process.returncode == 0, said
  return found


def require_constant(found, name, unit, tell):
  """Compares the last measurement with the second one, when all is compiled."""
  text = ", ".join(
    f"{memory / MIB:.0f} MiB and {opened} files at {number:,}"
    for number, (memory, opened) in found.items()
  )
  tell(f"{name}: {text} {unit}")
  _, (before, files_before), *_, (after, files_after) = [*found.values()]
  assert after - before < GROWTH
  assert files_after <= files_before + 4


@pytest.fixture
def segment(commands):
  """The arguments of `vosjax segment` for another video."""

  def arguments(video):
    command = commands["segment"].arguments
    at = command.index("segment") + 1
    return (*command[:at], str(video), *command[at + 1 : -1], "masks,results")

  return arguments


@pytest.mark.slow
def test_a_stream_takes_constant_memory(segment, command_type, count, tell, tmp_path):
  last = count("frames")
  process = command_type(segment("-"), {}).start(
    tmp_path / "out", stdin=subprocess.PIPE, text=False
  )
  rng = np.random.default_rng(0)
  header = f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F25:1 Ip A1:1 C420jpeg\n"
  process.stdin.write(header.encode())
  found = {}
  for number in range(last):
    pixels = rng.integers(0, 256, HEIGHT * WIDTH * 3 // 2, np.uint8)
    process.stdin.write(b"FRAME\n" + pixels.tobytes())
    if number + 1 in stages(last):
      process.stdin.flush()
      time.sleep(0.5)
      found[number + 1] = measure(process)
  process.stdin.close()
  said = process.stdout.read()
  assert process.wait() == 0, said
  assert len(list((tmp_path / "out").glob("*.png"))) == last
  require_constant(found, "segment -", "frames", tell)


@pytest.mark.slow
def test_a_long_file_takes_constant_memory(
  segment, command_type, count, tell, tmp_path
):
  last = count("frames")
  rng = np.random.default_rng(0)
  with video_writer(tmp_path / "long.mp4", (HEIGHT, WIDTH), 25.0) as write:
    for _ in range(last):
      write(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
  out = tmp_path / "out"
  process = command_type(segment(tmp_path / "long.mp4"), {}).start(out)

  def progress():
    return sum(name.endswith(".png") for name in os.listdir(out)) if out.exists() else 0

  # Not at the very end, when it may be over before it is seen.
  found = watch(process, progress, [n - n // 50 for n in stages(last)])
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
    time.sleep(0.1)
    return path.read_bytes().count(b"\n") if path.exists() else 0

  found = watch(process, progress, [n - n // 50 for n in stages(last)])
  require_constant(found, name, "steps", tell)
