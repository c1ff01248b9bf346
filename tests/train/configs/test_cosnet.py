"""COSNet's variants: the rows of the tables, and the released program's numbers."""

import pytest

from vosjax import models
from vosjax.models.backbones.stages import STAGES
from vosjax.train import config_files
from vosjax.train.configs.cosnet import get_config


@pytest.mark.parametrize(
  ("key", "value"),
  [
    ("model.fields.attention", "none"),
    ("model.fields.attention", "symmetric"),
    ("model.fields.attention", "channelwise"),
    ("model.fields.gated", False),
    ("evaluation.fusion", "summary"),
    ("evaluation.fusion", "prediction"),
    ("evaluation.reference_policy", "random"),
    ("evaluation.reference_policy", "consecutive"),
    ("evaluation.references", 0),
    ("evaluation.references", 7),
    ("evaluation.references", "all"),
  ],
)
def test_a_row_of_the_tables_is_one_flag(key, value, flatten):
  text = "'all'" if value == "all" else value
  changed = config_files.read("cosnet:paper", [f"--config.{key}={text}"])
  models.build(changed.model.name, **changed.model.fields.to_dict())
  plain = flatten(get_config("paper"))
  assert flatten(changed) == plain | {key: value}
  assert plain[key] != value


def test_the_paper_recipe_has_the_numbers_of_the_released_program():
  config = get_config("paper")
  stage = config.stages.main
  assert (stage.size, stage.batch_size, stage.clip_length) == ((473, 473), 16, 2)
  assert stage.steps_per_epoch == -(-2079 // 16)
  assert stage.num_steps == 60 * stage.steps_per_epoch
  assert (stage.learning_rate, stage.momentum) == (2.5e-4, 0.9)
  assert stage.weight_decay == 5e-4
  assert stage.pair_rates == (0.01, 10.0)
  assert dict(stage.losses) == {"absolute": 0.8, "still": 0.1, "orthogonality": 1e-3}
  assert (stage.bce, stage.augment, stage.official) == ("scaled", True, False)
  sources = {name: weight for name, weight in stage.sources.items() if weight}
  assert sources == {"davis": 1, "msra10k": 10_000, "dut_omron": 5168}
  assert config.model.fields.size == (473, 473)
  assert config.model.fields.attention == "vanilla"
  group = get_config("paper_group")
  assert (group.stages.main.size, group.stages.main.clip_length) == ((378, 378), 3)
  assert group.evaluation.references == 2


def test_the_official_variant_switches_all_quirks_on(flatten):
  plain, official = flatten(get_config("paper")), flatten(get_config("paper_official"))
  assert official == plain | {
    "stages.main.official": True,
    "evaluation.fusion": "prediction",
    "evaluation.reference_policy": "random",
  }


@pytest.mark.parametrize(
  ("variant", "dataset", "subset"),
  [
    ("davis2016", "davis", "val"),
    ("fbms", "fbms", "test"),
    ("segtrack_v2", "segtrack_v2", "test"),
    ("youtube_objects", "youtube_objects", "test"),
  ],
)
def test_datasets_are_scored_completely_and_nothing_is_trained(
  variant, dataset, subset, flatten
):
  plain, changed = flatten(get_config("paper")), flatten(get_config(variant))
  assert changed == plain | {
    "mode": "evaluate",
    "evaluation.dataset": dataset,
    "evaluation.subset": subset,
    "evaluation.compare_references": (),
  }
  assert changed["data.year"] == "2016"
  assert changed["evaluation.num_videos"] == 0
  assert changed["evaluation.references"] == 5


@pytest.mark.parametrize("variant", ["", "davis_folder"])
def test_small_networks_freeze_the_encoder_and_train_on_pairs(variant):
  config = get_config(variant)
  model = models.build(config.model.name, **config.model.fields.to_dict())
  assert model.frozen == tuple(f"encoder/efficientnet/{stage}" for stage in STAGES)
  assert model.attention == "symmetric" and config.stages.main.clip_length == 2
  assert config.backbone_checkpoint == "agame-lite"
  assert model.framing((480, 854)).framed_size == (240, 424)
