"""`python -m vosjax.main` from outside."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

import vosjax.cli.train  # noqa: F401  what the processes need

ROOT = pathlib.Path(__file__).resolve().parents[1]
AGAME = f"--config={ROOT}/configs/agame.py"


def vosjax_main(*arguments, folder, **environment):
  return subprocess.run(
    [sys.executable, "-m", "vosjax.main", *arguments],
    cwd=folder,
    text=True,
    env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    capture_output=True,
  )


def test_a_mistake_is_reported_in_one_line_with_exit_code_2(tmp_path):
  """One stands for all; tests/cli/test_train.py has the others, in this process."""
  done = vosjax_main(AGAME, "--config.data.rooot=x", folder=tmp_path)
  assert (done.returncode, done.stdout) == (2, "")
  assert "no key 'rooot'" in done.stderr
  assert done.stderr.count("\n") == 1
  assert not list(tmp_path.iterdir())


def test_all_missing_data_are_named_at_once_with_their_origin(tmp_path):
  any_device = {"JAX_PLATFORMS": ""}  # those that are not there are not complained of
  done = vosjax_main(AGAME + ":paper", folder=tmp_path, **any_device)
  assert done.returncode == 2
  for word in (
    "DAVIS 2017",
    "davischallenge.org",
    "--config.data.root=",
    "YouTube-VOS",
    "youtube-vos.org",
    "--config.data.youtube_vos=",
  ):
    assert word in done.stderr
  assert done.stderr.count("\n") == 1
  assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_smoke_run_writes_what_it_promises_and_is_not_repeated(tmp_path):
  run = (AGAME + ":smoke", "--workdir=run")
  done = vosjax_main(*run, folder=tmp_path)
  assert done.returncode == 0, done.stderr
  for line in ("smoke test", "devices", "this model", "copy the first mask"):
    assert line in done.stdout
  workdir = tmp_path / "run"
  for name in (
    "config.json",
    "checkpoints/20",
    "metrics.jsonl",
    "curves.png",
    "eval/global_results.csv",
    "eval/per-sequence_results.csv",
    "model/checkpoint.json",
  ):
    assert (workdir / name).exists(), name
  assert list(workdir.glob("preview/*.mp4"))
  assert list(workdir.glob("preview/*.png"))
  assert list(workdir.glob("tensorboard/events*"))
  lines = [json.loads(x) for x in (workdir / "metrics.jsonl").read_text().splitlines()]
  losses = [line["loss"] for line in lines if "loss" in line]
  assert len(losses) == 4
  assert losses[-1] < losses[0]

  other = vosjax_main(*run, "--config.seed=1", folder=tmp_path)
  assert other.returncode == 2
  assert "seed is 0 there and 1 here" in other.stderr
  scored = vosjax_main(*run, "--config.mode=evaluate", folder=tmp_path)
  assert scored.returncode == 0, scored.stderr
  assert "this model" in scored.stdout
