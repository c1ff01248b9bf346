"""RVOS's variants: a row of the paper's tables each, and the paper's numbers."""

import pathlib
import runpy

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GET_CONFIG = runpy.run_path(str(ROOT / "configs" / "rvos.py"))["get_config"]

ROWS = {  # one-shot, spatial, temporal, what previous masks are, stage by stage
  "s": (False, True, False, ["truth"]),
  "t": (False, False, True, ["truth"]),
  "st": (False, True, True, ["truth"]),
  "mask_s": (True, True, False, ["truth"]),
  "mask_t": (True, False, True, ["truth"]),
  "mask_st": (True, True, True, ["truth"]),
  "mask_st_plus": (True, True, True, ["truth", "inferred"]),
}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("recipe", ["", "paper_"])
def test_each_row_has_its_recurrence_and_masks(recipe, row):
  config = GET_CONFIG(f"{recipe}{row}")
  fields = config.model.fields
  found = (
    fields.get("one_shot", False),
    fields.get("spatial", True),
    fields.get("temporal", True),
    [stage.previous for stage in config.stages.values()],
  )
  assert found == ROWS[row]
  lengths = {stage.clip_length for stage in config.stages.values()}
  longer = {6} if row == "mask_st_plus" else set()
  assert lengths == ({1} if row == "s" else {5} if recipe else {4} | longer)


def test_names_of_rows_mean_what_they_say():
  for name, row in (
    ("", "mask_st_plus"),
    ("zero_shot", "st"),
    ("paper", "paper_st"),
    ("paper_one_shot", "paper_mask_st_plus"),
  ):
    assert GET_CONFIG(name).to_dict() == GET_CONFIG(row).to_dict()


def test_the_paper_recipe_has_the_numbers_of_the_released_program():
  zero_shot, one_shot = GET_CONFIG("paper"), GET_CONFIG("paper_one_shot")
  stages = (*zero_shot.stages.values(), *one_shot.stages.values())
  for stage, epochs in zip(stages, (50, 20, 20), strict=True):
    assert (stage.size, stage.batch_size, stage.clip_length) == ((256, 448), 4, 5)
    rates = (stage.learning_rate, stage.encoder_learning_rate, stage.weight_decay)
    assert rates == (1e-3, 1e-6, 1e-6)
    assert stage.lr_decay == 1 and stage.flip and stage.affine and not stage.official
    assert stage.num_steps == epochs * stage.steps_per_epoch
    assert stage.from_best == (stage.previous == "inferred")
    assert dict(stage.sources) == {"synthvos": 0, "davis": 0, "youtube_vos": 1}
  # Fields that the class gives the released values are not set.
  assert set(zero_shot.model.fields) == {"dtype", "remat"}
  assert set(one_shot.model.fields) == {"dtype", "remat", "one_shot"}


def test_fine_tuning_on_davis():
  for name, epochs in (("paper_davis", 10), ("paper_davis_one_shot", 20)):
    config = GET_CONFIG(name)
    (stage,) = config.stages.values()
    assert stage.size == (240, 427)
    assert stage.num_steps == epochs * stage.steps_per_epoch
    assert stage.previous == "inferred"
    assert dict(stage.sources) == {"synthvos": 0, "davis": 1, "youtube_vos": 0}
    assert config.model.fields.get("one_shot", False) == ("one_shot" in name)
