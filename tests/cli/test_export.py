"""`vosjax export`: what it writes and says, and what it refuses."""

import json

import pytest

from vosjax import checkpoints
from vosjax.__main__ import main


@pytest.fixture
def checkpoint(small, small_fields, tmp_path):
  _, variables = small("ris")
  checkpoints.save(tmp_path / "model", "ris", small_fields["ris"], variables)
  return str(tmp_path / "model")


def test_a_checkpoint_is_exported(checkpoint, tmp_path, capsys):
  out = tmp_path / "exported"
  options = ["--size", "32x48", "--platforms", "cpu, tpu", "--dtype", "bfloat16"]
  assert main(["export", checkpoint, *options, "--out", str(out)]) == 0
  said = capsys.readouterr().out
  assert said.endswith("begin, step for frames of 32x48 and 4 slot(s), on cpu, tpu\n")
  manifest = json.loads((out / "manifest.json").read_text())
  assert manifest["model"].startswith("ris (")
  assert manifest["size"] == [32, 48]
  for file in ("run.py", manifest["weights"], "begin.stablehlo", "step.stablehlo"):
    assert (out / file).stat().st_size > 0
    assert f"{out / file}  " in said


@pytest.mark.parametrize(
  ("options", "text"),
  [
    (["--platforms", "gpu"], "platforms are ['gpu']; known: ['cpu', 'cuda'"),
    (["--objects", "5"], "objects is 5; expected 1 to 4, as this model finds objects"),
  ],
)
def test_unusable_options_are_named(checkpoint, tmp_path, capsys, options, text):
  out = tmp_path / "exported"
  command = ["export", checkpoint, "--size", "32x48", "--out", str(out), *options]
  assert main(command) == 2
  said = capsys.readouterr().err
  assert text in said
  assert said.count("\n") == 1
  assert not out.exists()


def test_unknown_weights_are_named(tmp_path, capsys):
  assert main(["export", "nope", "--size", "32x48", "--out", str(tmp_path / "x")]) == 2
  assert "not the name of weights in the package: agame-lite" in capsys.readouterr().err
