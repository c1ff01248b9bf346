"""Commands that are killed at random instants, and started again until they end."""

import random

import pytest

CHAIN = 4  # at most so many kills before a command may finish
ANYWHERE = 0.2  # share of the kills that may come before there is a file


@pytest.mark.slow
@pytest.mark.parametrize(
  "name", ["train", "loop", "predict", "segment", "import-data", "build"]
)
def test_a_killed_command_ends_with_the_same_bits(
  name, commands, undisturbed, kill, same, count, tell, tmp_path
):
  command, whole = commands[name], undisturbed(name)
  rng = random.Random(name)
  kills = runs = 0
  while kills < count("kills"):
    out = tmp_path / f"out{runs}"
    for _ in range(rng.randint(1, CHAIN)):
      first = 0.0 if rng.random() < ANYWHERE else whole.began
      was_killed = kill(command.start(out), rng.uniform(first, whole.ended))
      kills += was_killed
      if not was_killed or kills == count("kills"):
        break
    command.finish(out)
    same(command.results(out), whole.results)
    runs += 1
  tell(f"{name}: {kills} kills in {runs} runs, all of them bit-identical in the end")
