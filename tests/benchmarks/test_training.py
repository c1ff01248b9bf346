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


def test_an_interrupted_one_leaves_the_stages_that_are_measured(
  tmp_path, capsys, monkeypatch
):
  measured = {
    "ms_per_step": 20.0,
    "frames_per_second": 100.0,
    "compile_seconds": 3.0,
    "temporary_bytes": None,
    "part_ms": {"encoder": 5.0},
  }
  outcomes = iter([measured])

  def measure(*_, **__):
    try:
      return next(outcomes)
    except StopIteration:
      raise KeyboardInterrupt from None

  monkeypatch.setattr(training, "measure_stage", measure)
  config = get_config("smoke")
  first, *_ = base.ordered_stages(config)
  config.mode = "benchmark"
  with pytest.raises(KeyboardInterrupt):
    run.run(config, str(tmp_path), {"benchmark": training.benchmark})
  assert json.loads((tmp_path / "speed.json").read_text()) == {first: measured}
  assert f"{first}: 20 ms per step" in capsys.readouterr().out


def test_a_recipe_is_measured_by_its_name():
  result = training.measure_recipe("ris:smoke", "bfloat16")
  assert result["ms_per_step"] > 0
  assert set(result["part_ms"]) == set(training.PARTS)
