"""COSNet's variants: what each changes, and the released program's numbers."""

import pathlib
import runpy

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GET_CONFIG = runpy.run_path(str(ROOT / "configs" / "cosnet.py"))["get_config"]


def flat(config, prefix=""):
  found = {}
  for key, value in config.items():
    name = f"{prefix}{key}"
    found |= flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
  return found


@pytest.mark.parametrize("prefix", ["", "paper_"])
@pytest.mark.parametrize(
  ("variant", "key", "value"),
  [
    ("vanilla", "model.fields.attention", "vanilla"),
    ("symmetric", "model.fields.attention", "symmetric"),
    ("channelwise", "model.fields.attention", "channelwise"),
    ("no_gate", "model.fields.gated", False),
    ("summary_fusion", "evaluation.fusion", "summary"),
    ("prediction_fusion", "evaluation.fusion", "prediction"),
    ("uniform", "evaluation.reference_policy", "uniform"),
    ("random", "evaluation.reference_policy", "random"),
    ("consecutive", "evaluation.reference_policy", "consecutive"),
    ("references_0", "evaluation.references", 0),
    ("references_1", "evaluation.references", 1),
    ("references_2", "evaluation.references", 2),
    ("references_5", "evaluation.references", 5),
    ("references_7", "evaluation.references", 7),
    ("references_all", "evaluation.references", "all"),
  ],
)
def test_a_row_of_the_tables_changes_one_key(prefix, variant, key, value):
  plain = flat(GET_CONFIG(prefix.rstrip("_")).to_dict())
  changed = flat(GET_CONFIG(prefix + variant).to_dict())
  assert changed[key] == value
  differing = {k for k in changed if changed[k] != plain.get(k)} - {"title"}
  assert differing <= {key}
  assert changed.keys() - plain.keys() <= {key}


@pytest.mark.parametrize("prefix", ["", "paper_"])
def test_without_co_attention_no_reference_is_read(prefix):
  config = GET_CONFIG(f"{prefix}none")
  assert config.model.fields.attention == "none"
  assert config.evaluation.references == 0


def test_the_paper_recipe_has_the_numbers_of_the_released_program():
  config = GET_CONFIG("paper")
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
  assert "size" not in config.model.fields  # the model's own default, 473
  group = GET_CONFIG("paper_group")
  assert (group.stages.main.size, group.stages.main.clip_length) == ((378, 378), 3)
  assert group.evaluation.references == 2


def test_the_official_variant_switches_all_accidents_on():
  plain = flat(GET_CONFIG("paper").to_dict())
  official = flat(GET_CONFIG("paper_official").to_dict())
  differing = {k: official[k] for k in official if official[k] != plain[k]}
  differing.pop("title")
  assert differing == {
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
def test_benchmarks_score_all_of_a_set_and_train_nothing(variant, dataset, subset):
  plain = flat(GET_CONFIG("paper").to_dict())
  benchmark = flat(GET_CONFIG(variant).to_dict())
  assert benchmark.keys() == plain.keys()
  differing = {k for k in benchmark if benchmark[k] != plain[k]} - {"title"}
  assert differing <= {"mode", *(k for k in plain if k.startswith("evaluation."))}
  assert benchmark["mode"] == "evaluate"
  assert benchmark["data.year"] == "2016"
  assert benchmark["evaluation.dataset"] == dataset
  assert benchmark["evaluation.subset"] == subset
  assert benchmark["evaluation.num_videos"] == 0
  assert benchmark["evaluation.references"] == 5
  assert not benchmark["evaluation.compare_references"]


@pytest.mark.parametrize("variant", ["", "smoke", "davis_folder"])
def test_small_networks_see_frames_at_the_size_of_training(variant):
  config = GET_CONFIG(variant)
  assert tuple(config.model.fields.size) == tuple(config.stages.main.size)
