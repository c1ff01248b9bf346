"""RVOS's variants: the rows of the paper's tables, and the paper's numbers."""

import pytest

from vosjax import models
from vosjax.train import config_files
from vosjax.train.config import ordered_stages

SPATIAL_OFF = "--config.model.fields.spatial=False"
TEMPORAL_OFF = "--config.model.fields.temporal=False"
SINGLE_FRAMES = "--config.stages.main.clip_length=1"

# Row -> variants at either size, flags; one-shot, spatial, temporal, previous masks.
ROWS = {
  "S": (
    ("zero_shot", "paper"),
    (TEMPORAL_OFF, SINGLE_FRAMES),
    (False, True, False, ["truth"]),
  ),
  "T": (("zero_shot", "paper"), (SPATIAL_OFF,), (False, False, True, ["truth"])),
  "S-T": (("zero_shot", "paper"), (), (False, True, True, ["truth"])),
  "mask-S": (
    ("mask_st", "paper_mask_st"),
    (TEMPORAL_OFF,),
    (True, True, False, ["truth"]),
  ),
  "mask-T": (
    ("mask_st", "paper_mask_st"),
    (SPATIAL_OFF,),
    (True, False, True, ["truth"]),
  ),
  "mask-S-T": (("mask_st", "paper_mask_st"), (), (True, True, True, ["truth"])),
  "mask-S-T+": (("", "paper_one_shot"), (), (True, True, True, ["truth", "inferred"])),
}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("size", [0, 1])
def test_each_row_has_its_recurrence_and_masks(size, row):
  variants, flags, expected = ROWS[row]
  config = config_files.read(f"rvos:{variants[size]}", flags)
  model = models.build("rvos", **config.model.fields.to_dict())
  stages = ordered_stages(config).values()
  masks = [stage.previous for stage in stages]
  assert (model.one_shot, model.spatial, model.temporal, masks) == expected
  lengths = [stage.clip_length for stage in stages]
  if row == "S":
    assert lengths == [1]
  else:
    assert lengths == [5] * len(masks)


def test_the_paper_recipe_has_the_numbers_of_the_released_program():
  configs = [
    config_files.read(f"rvos:{variant}") for variant in ("paper", "paper_one_shot")
  ]
  stages = [stage for config in configs for stage in ordered_stages(config).values()]
  for stage, epochs in zip(stages, (50, 20, 20), strict=True):
    assert (stage.size, stage.batch_size, stage.clip_length) == ((256, 448), 4, 5)
    rates = (stage.learning_rate, stage.encoder_learning_rate, stage.weight_decay)
    assert rates == (1e-3, 1e-6, 1e-6)
    assert stage.lr_decay == 1 and stage.flip and stage.affine and not stage.official
    assert stage.num_steps == epochs * stage.steps_per_epoch
    assert stage.from_best == (stage.previous == "inferred")
    assert dict(stage.sources) == {"synthvos": 0, "davis": 0, "youtube_vos": 1}
  for config, released in zip(configs, (models.RVOS(), models.RVOS(one_shot=True))):
    model = models.build("rvos", **config.model.fields.to_dict())
    for field in ("backbone", "width", "features", "num_objects", "one_shot"):
      assert getattr(model, field) == getattr(released, field)


def test_fine_tuning_on_davis():
  for name, epochs in (("paper_davis", 10), ("paper_davis_one_shot", 20)):
    config = config_files.read(f"rvos:{name}")
    (stage,) = config.stages.values()
    assert (stage.size, stage.batch_size, stage.clip_length) == ((240, 427), 4, 5)
    assert stage.num_steps == epochs * stage.steps_per_epoch
    assert stage.previous == "inferred"
    assert dict(stage.sources) == {"synthvos": 0, "davis": 1, "youtube_vos": 0}
    assert config.model.fields.one_shot == ("one_shot" in name)
