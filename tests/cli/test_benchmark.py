"""`vosjax benchmark` measures a model, prints a table and writes a file."""

import json

import pytest

from vosjax.__main__ import main


def test_a_model_is_measured(tmp_path, capsys, monkeypatch):
  # The peak takes seconds on a CPU.
  monkeypatch.setattr("vosjax.benchmarks.model.matrix_peak", lambda dtype: 1e12)
  file = tmp_path / "ris.json"
  options = "--size 32x48 --objects 2 --frames 1 --no-plain --field unroll_objects=2"
  assert main(["benchmark", "ris", *options.split(), "--json", str(file)]) == 0
  result = json.loads(file.read_text())
  assert (result["size"], result["objects"]) == ([32, 48], 2)
  for key in (
    "ms_per_frame",
    "frames_per_second",
    "compile_seconds",
    "gflop_per_frame",
    "fraction_of_peak",
    "peak_memory_bytes",
  ):
    assert result[key] > 0, key
  assert result["device"]
  printed = capsys.readouterr().out
  assert printed.startswith("ris, 32x48, 2 object(s), batch 1, float32, on cpu")
  assert f"{result['ms_per_frame']:.1f} ms" in printed


@pytest.mark.parametrize(
  ("arguments", "text"),
  [
    (["--size", "480"], "'480' is not a size; expected HEIGHTxWIDTH"),
    (["--size", "8x480"], "each 16 or more"),
    (["--objects", "0"], "'0' is not a whole number of 1 or more"),
    (["--dtype", "float16"], "float32"),
  ],
)
def test_unusable_options_are_named(arguments, text, capsys):
  with pytest.raises(SystemExit) as stop:
    main(["benchmark", "agame", *arguments])
  assert stop.value.code == 2
  assert text in capsys.readouterr().err


def test_the_folder_of_the_file_must_exist(tmp_path, capsys):
  file = tmp_path / "absent" / "agame.json"
  assert main(["benchmark", "agame", "--json", str(file)]) == 2
  assert f"there is no folder {file.parent}" in capsys.readouterr().err
