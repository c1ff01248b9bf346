"""RSIS's variants: the released program's numbers, and when losses are switched on."""

import pytest

from vosjax.train.config import ordered_stages
from vosjax.train.configs.rsis import get_config


def stages(variant):
  """In the order in which they run."""
  return list(ordered_stages(get_config(variant)).values())


def test_the_losses_of_the_paper_are_added_one_after_another():
  masks, classes, stops = stages("paper")
  assert dict(masks.losses) == {"mask": 1.0, "classes": 0.0, "box": 0.0, "stop": 0.0}
  assert dict(classes.losses) == {"mask": 1.0, "classes": 0.1, "box": 0.0, "stop": 0.0}
  assert dict(stops.losses) == {"mask": 1.0, "classes": 0.1, "box": 0.0, "stop": 0.5}
  for stage in (masks, classes, stops):
    assert (stage.size, stage.batch_size, stage.zoom) == ((256, 256), 28, (0.7, 1.4))
    assert (stage.learning_rate, stage.encoder_learning_rate) == (1e-3, 1e-6)
    assert (stage.weight_decay, stage.max_instances) == (1e-6, 20)
    assert stage.num_steps == 20 * stage.steps_per_epoch


def test_the_embedded_default_starts_with_two_objects_and_their_masks_alone():
  first, second = stages("")
  assert (first.num_objects, second.num_objects) == (2, 0)
  assert dict(first.losses) == {"mask": 1.0, "classes": 0.0, "box": 0.0, "stop": 0.0}
  assert dict(second.losses) == {"mask": 1.0, "classes": 1.0, "box": 0.0, "stop": 0.5}


def test_leaves_have_no_classes_and_one_object_more_after_every_30_epochs():
  found = stages("paper_leaves")
  assert [stage.num_objects for stage in found] == list(range(2, 21))
  assert not any(stage.losses.classes for stage in found)
  stops = [stage.losses.stop for stage in found]
  assert stops == [0.0] * 17 + [0.1] * 2  # from epoch 510 on
  assert {stage.num_steps // stage.steps_per_epoch for stage in found} == {30}
  assert {(stage.size, stage.batch_size) for stage in found} == {((400, 400), 20)}


def test_cityscapes_trains_its_encoder_from_epoch_20_on():
  first, *others = stages("paper_cityscapes")
  assert first.num_steps == 20 * first.steps_per_epoch
  assert first.encoder_learning_rate == 0
  assert {stage.encoder_learning_rate for stage in others} == {1e-6}
  begun = [0, *range(20, 500, 25)]
  for start, stage in zip(begun, (first, *others)):
    assert stage.losses.classes == (0.1 if start >= 60 else 0)
    assert stage.losses.stop == (0.5 if start >= 100 and stage.num_objects > 5 else 0)


@pytest.mark.parametrize("recipe", ["", "paper"])
def test_boxes_change_the_head_and_its_loss_alone(recipe, flatten):
  plain = flatten(get_config(recipe))
  changed = flatten(get_config(f"{recipe}_boxes".lstrip("_")))
  box_losses = {key: 0.1 for key in plain if key.endswith(".losses.box")}
  assert len(box_losses) == len(stages(recipe))
  assert changed == plain | box_losses | {"model.fields.box_head": True}


def test_quirks_of_the_release_are_off():
  for variant in ("", "paper", "paper_leaves", "paper_cityscapes"):
    assert not any(stage.official for stage in stages(variant))
