"""Checkpoints that are cut off at random places."""

import random
import shutil

import pytest

from vosjax import checkpoints


def cut(folder, rng):
  """Cuts off a file at a random place, and returns it."""
  path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
  with path.open("r+b") as file:
    file.truncate(rng.randrange(max(path.stat().st_size, 1)))
  return path


def steps_in(workdir):
  """Steps of the checkpoints of a run, ascending."""
  names = [path.name for path in workdir.glob("checkpoints/*")]
  return sorted(int(name) for name in names if name.isdigit())


@pytest.mark.slow
def test_a_run_goes_on_from_the_checkpoint_before(
  commands, undisturbed, same, kill, count, tell, tmp_path
):
  command, whole = commands["train"], undisturbed("train")
  rng, seconds = random.Random(0), whole.ended - 4
  stopped = tmp_path / "stopped"
  while len(steps_in(stopped)) < 2:
    kill(command.start(stopped), seconds)
    seconds += 2
  earlier = 0
  for number in range(count("truncations")):
    out = shutil.copytree(stopped, tmp_path / f"out{number}")
    latest = steps_in(out)[-1]
    cut(out / "checkpoints" / str(latest), rng)
    said = command.finish(out)
    assert "Traceback" not in said, said
    if f"resuming  at step {latest}" not in said:
      assert "warning:" in said, said
      earlier += 1
    for path in (out / "checkpoints").glob("damaged-*"):
      shutil.rmtree(path)
    same(command.results(out), whole.results)
  tell(
    f"train: {count('truncations')} checkpoints cut off, {earlier} of which were said "
    "and the one before taken; all bit-identical in the end"
  )


@pytest.mark.slow
def test_a_model_is_whole_or_refused(checkpoint, count, tell, tmp_path):
  rng, refused = random.Random(0), 0
  for number in range(count("truncations")):
    folder = shutil.copytree(checkpoint, tmp_path / f"model{number}")
    path = cut(folder, rng)
    content = path.read_bytes() == (checkpoint / path.relative_to(folder)).read_bytes()
    if content:
      continue
    with pytest.raises(ValueError, match="is damaged") as error:
      checkpoints.load(folder)
    assert str(folder) in str(error.value) and "\n" not in str(error.value)
    refused += 1
  tell(f"model: {refused} of {count('truncations')} cut off, all refused in one line")
