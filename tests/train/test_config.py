"""Configurations that somebody writes: models with all their fields, ordered stages."""

import dataclasses
import json

import numpy as np
import pytest

from vosjax import models
from vosjax.data.synthvos import Settings
from vosjax.train import config as base
from vosjax.train import config_files, run
from vosjax.train.recipe import scale_rates
from vosjax.train.recipes import RECIPES
from vosjax.train.workdir import open_workdir, plain


@pytest.fixture
def config():
  """Three tiny stages whose names are not in alphabetical order."""
  config = base.get_config()
  base.set_model(config, "agame", backbone="resnet18", width=4)
  stages = {
    name: base.agame_stage(size=(32, 48), batch_size=1, num_steps=steps)
    for name, steps in {"warmup": 3, "main": 5, "finetune": 2}.items()
  }
  base.set_stages(config, **stages)
  for stage in config.stages.values():
    stage.sources.synthvos = 1.0
  return config


def test_keys_that_do_not_exist_cannot_be_set(config):
  for section, key in (
    (config, "sede"),
    (config.data, "rooot"),
    (config.data.synthvos, "lenght"),
    (config.evaluation, "sise"),
    (config.model.fields, "widht"),
    (config.stages, "mian"),
    (config.stages.main, "num_step"),
    (config.stages.main.sources, "synthvod"),
  ):
    with pytest.raises((AttributeError, KeyError), match=key):
      section[key] = 1


def test_stages_run_in_the_order_in_which_they_are_written(config):
  assert list(base.ordered_stages(config)) == ["warmup", "main", "finetune"]
  stages, sources = run.make_stages(config, run.build(config))
  assert [stage.name for stage in stages] == ["warmup", "main", "finetune"]
  assert [(stage.start, stage.stop) for stage in stages] == [(0, 3), (3, 8), (8, 10)]
  assert list(sources) == ["warmup", "main", "finetune"]


def test_the_order_survives_copies_and_files(config):
  copy = config.copy_and_resolve_references()
  assert list(base.ordered_stages(copy)) == ["warmup", "main", "finetune"]
  assert plain(config)["stage_order"] == ["warmup", "main", "finetune"]
  json.dumps(plain(config))


def test_a_run_is_not_resumed_in_another_order(config, tmp_path):
  workdir = str(tmp_path / "run")
  assert open_workdir(config, workdir)[1] is False
  assert open_workdir(config, workdir)[1] is True
  config.stage_order = ("main", "warmup", "finetune")
  with pytest.raises(ValueError, match=r"stage_order is \['warmup', 'main', 'finet"):
    open_workdir(config, workdir)


@pytest.mark.parametrize(
  "order",
  [
    (),
    ("warmup", "main"),
    ("warmup", "main", "tune"),
    ("main",) * 3,
    ("warmup", "main", "finetune", "main"),
    ("warmup", "main", 1),
    ("warmup", "main", ["finetune"]),
  ],
)
def test_an_order_that_does_not_name_each_stage_once_is_refused(config, order):
  config.stage_order = order
  with pytest.raises(ValueError, match=r"stage_order is .* are \['finetune', 'm"):
    run.make_stages(config, run.build(config))


def test_all_fields_of_the_model_are_there_and_those_that_differ_are_changed(config):
  fields = config.model.fields
  assert (fields.backbone, fields.width) == ("resnet18", 4)
  default = models.build("agame")
  for name in ("features", "update_rate", "residual", "frozen_stages"):
    assert fields[name] == getattr(default, name)
  assert (fields.dtype, fields.remat) == ("float32", False)


def test_the_looks_of_procedural_videos_are_stated_once():
  shared = {field.name: field.default for field in dataclasses.fields(Settings)}
  options = base.get_config().data.synthvos
  assert {key: options[key] for key in shared} == shared | {"max_objects": 3}


def test_a_configuration_of_ones_own_is_a_file_anywhere(tmp_path):
  (tmp_path / "mine.py").write_text(
    "from vosjax.train import config as base\n\n\n"
    "def get_config(variant=''):\n"
    "  config = base.get_config()\n"
    "  base.set_model(config, 'ris', channels=4)\n"
    "  stage = base.ris_stage(size=(32, 32), num_steps=int(variant or 7))\n"
    "  base.set_stages(config, only=stage)\n"
    "  return config\n"
  )
  config = config_files.read(f"{tmp_path}/mine.py", ["--config.seed=5"])
  assert (config.seed, config.stages.only.num_steps) == (5, 7)
  config = config_files.read(f"{tmp_path}/mine.py:9")
  assert config.stages.only.num_steps == 9


@pytest.mark.parametrize(
  "key",
  [
    "log.every_steps",
    "log.curves_every_steps",
    "validation.every_steps",
    "checkpoint.every_steps",
  ],
)
def test_a_period_below_one_step_is_refused_before_training(key, tmp_path):
  config = config_files.read("agame:smoke", [f"--config.{key}=0"])
  with pytest.raises(ValueError, match=f"{key} is 0; expected at least 1"):
    run.run(config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  ("key", "value", "said"),
  [
    ("time_limit", "-3", "is -3.0; expected minutes, or 0"),
    ("time_limit", "nan", "is nan; expected minutes, or 0"),
    ("seed", "-1", "is -1; expected a number from 0"),
    ("seed", str(2**32), r"is 4294967296; expected a number from 0"),
    ("checkpoint.keep", "0", "is 0; expected at least 1"),
    ("validation.num_videos", "-1", "is -1; expected at least 0"),
    ("evaluation.num_videos", "-1", "is -1; expected at least 0"),
    ("evaluation.num_previews", "-1", "is -1; expected at least 0"),
    ("evaluation.length", "2", "is 2; davis2017 needs more frames"),
    ("data.num_workers", "100000", "is 100000; expected at most"),
    ("stages.main.unroll_steps", "-1", "is -1; expected a finite number, 0 or more"),
    ("stages.main.max_grad_norm", "-1", "is -1.0; expected a finite number, 0 or more"),
    ("stages.main.learning_rate", "nan", "is nan; expected a finite number, 0 or more"),
    ("stages.main.weight_decay", "inf", "is inf; expected a finite number, 0 or more"),
    ("stages.main.losses.final", "-1", "is -1.0; expected a finite number, 0 or more"),
  ],
)
def test_a_number_out_of_range_is_refused_before_training(key, value, said, tmp_path):
  config = config_files.read("agame:smoke", [f"--config.{key}={value}"])
  with pytest.raises(ValueError, match=f"{key} {said}"):
    run.run(config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("size", ["(32,)", "(0, 32)", "('a', 'b')", "(1.5, 32)"])
@pytest.mark.parametrize(
  "key", ["stages.main.size", "evaluation.size", "data.youtube_vos_size"]
)
def test_an_unusable_size_is_named(key, size, tmp_path):
  config = config_files.read("agame:smoke", [f"--config.{key}={size}"])
  with pytest.raises(ValueError, match=rf"{key} is \(.*; expected rows and"):
    run.run(config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


def test_unusable_fields_of_a_model_are_named(tmp_path):
  for name, key, value, said in (
    ("cosnet", "size", "(32,)", "expected rows and columns"),
    ("cosnet", "rates", "(1, 'a')", "expected whole numbers"),
    ("agame", "dilations", "(0, 3)", "expected whole numbers"),
  ):
    change = f"--config.model.fields.{key}={value}"
    config = config_files.read(f"{name}:smoke", [change])
    with pytest.raises(ValueError, match=rf"model.fields.{key} is \(.*; {said}"):
      run.run(config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  "pair", ["()", "(1.0,)", "(1.0, 'a')", "(-1.0, 2.0)", "(1.0, 1e999)"]
)
@pytest.mark.parametrize(
  ("name", "key"), [("ris", "stages.two.zoom"), ("cosnet", "stages.main.pair_rates")]
)
def test_what_is_not_two_numbers_is_named(name, key, pair):
  config = config_files.read(f"{name}:smoke", [f"--config.{key}={pair}"])
  with pytest.raises(ValueError, match=rf"{key} is \(.*; expected two numbers"):
    base.ordered_stages(config)


@pytest.mark.parametrize("sizes", ["(240,432)", "((240,),)", "('240',)"])
def test_further_sizes_are_pairs(sizes):
  config = config_files.read(
    "agame:smoke", [f"--config.stages.main.more_sizes={sizes}"]
  )
  with pytest.raises(
    ValueError, match=r"main\.more_sizes is .*; expected rows and col"
  ):
    base.ordered_stages(config)


def test_clips_from_which_nothing_is_learnt_are_refused(tmp_path):
  changes = ["--config.stages.main.clip_length=1"]
  config = config_files.read("agame:smoke", changes)
  with pytest.raises(
    ValueError, match="stage main: clip_length is 1; expected at least"
  ):
    run.run(config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  "key", ["batch_size", "accumulate", "clip_length", "num_steps", "steps_per_epoch"]
)
@pytest.mark.parametrize("value", [0, -1])
def test_a_count_below_one_is_named(key, value):
  config = config_files.read("agame:smoke", [f"--config.stages.main.{key}={value}"])
  said = f"stages.main.{key} is {value}; expected at least 1"
  with pytest.raises(ValueError, match=said):
    base.ordered_stages(config)


def test_parts_must_divide_the_batch():
  config = config_files.read("agame:smoke", ["--config.stages.main.accumulate=4"])
  said = "stages.main.accumulate is 4, which does not divide batch_size, 2"
  with pytest.raises(ValueError, match=said):
    base.ordered_stages(config)


@pytest.mark.parametrize("name", ["agame", "cosnet", "ris", "rsis", "rvos"])
def test_learning_rates_scale_with_the_batch(name):
  stage = next(
    iter(base.ordered_stages(config_files.read(f"{name}:smoke", [])).values())
  )
  stage.reference_batch_size = 8
  before = stage.to_dict()
  scaled = scale_rates(stage)
  assert stage.to_dict() == before
  changed = {key for key, value in before.items() if scaled.to_dict()[key] != value}
  assert changed == {key for key in before if key.endswith("learning_rate")}
  for key in changed:
    assert scaled[key] == before[key] * stage.batch_size / 8


def test_a_scaled_rate_reaches_the_optimizer():
  """The first step of Adam is as long as the rate."""
  moved = []
  for size in (0, 2, 1):
    stage = base.ris_stage(batch_size=2, reference_batch_size=size)
    tx = RECIPES["ris"].clipped_optimizer(models.build("ris"), stage)
    params = {"head": {"kernel": np.ones(3, np.float32)}}
    updates, _ = tx.update(params, tx.init(params), params)
    moved.append(float(updates["head"]["kernel"][0]))
  assert moved[0] == moved[1]
  assert moved[2] == pytest.approx(2 * moved[0])
