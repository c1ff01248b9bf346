"""Measuring how fast a configuration trains."""

import json
import pathlib
import runpy

import pytest

from vosjax.benchmarks import training
from vosjax.train import run

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"


def test_every_stage_is_measured_on_drawn_clips_and_nothing_is_trained(
  tmp_path, capsys
):
  config = runpy.run_path(str(CONFIGS / "ris.py"))["get_config"]("smoke")
  with config.unlocked():
    del config.stages.stage2_all
  stage = config.stages.stage1_two
  stage.sources.update(synthvos=0.0, leaves=1.0)  # which nobody has here
  config.mode = "benchmark"
  run.run(config, str(tmp_path), {"benchmark": training.benchmark})
  (result,) = json.loads((tmp_path / "speed.json").read_text()).values()
  assert sum(result["part_ms"].values()) == pytest.approx(result["ms_per_step"])
  frames = stage.batch_size * stage.clip_length
  assert result["frames_per_second"] == pytest.approx(
    1e3 * frames / result["ms_per_step"]
  )
  assert result["temporary_bytes"] > 0
  assert {path.name for path in tmp_path.iterdir()} == {"config.json", "speed.json"}
  shown = capsys.readouterr().out
  assert all(part in shown for part in training.PARTS)
