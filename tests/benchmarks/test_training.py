"""The benchmark of a configuration's training."""

import json

import pytest

from vosjax.benchmarks import training
from vosjax.train import config as base
from vosjax.train import run
from vosjax.train.configs.ris import get_config


def test_every_stage_is_measured_on_procedural_clips_and_nothing_is_trained(
  tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr(training, "FEED_SECONDS", 0.05)
  config = get_config("smoke")
  base.set_stages(config, two=config.stages.two)
  config.model.fields.update(channels=2, num_convolutions=2, num_objects=1)
  stage = config.stages.two
  stage.update(batch_size=1, num_objects=1)
  stage.sources.update(synthvos=0.0, leaves=1.0)  # which is not needed
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
  feed = result["feed"]
  assert feed["num_workers"] == 0 < feed["ms_per_batch_per_core"]
  assert feed["batches_per_second"] > 0
  assert 0 <= feed["waiting_share"] < 1
  assert 0 <= feed["transfer_share"] < 1
  printed = capsys.readouterr().out
  assert all(part in printed for part in training.PARTS)
  assert "the device waits for data" in printed


def test_a_recipe_is_measured_by_its_name():
  result = training.measure_recipe("ris:smoke", "bfloat16")
  assert result["ms_per_step"] > 0
  assert set(result["part_ms"]) == set(training.PARTS)
