"""Fields of the model that official weights belong to, found from their shapes."""

import numpy as np
import pytest

from vosjax import convert, models

GATES = "decoder.clstm_list.0.Gates.weight"
CLASSES = "decoder.fc_class.weight"


@pytest.mark.parametrize(("inputs", "one_shot"), [(384, False), (385, True)])
def test_a_mask_channel_distinguishes_one_shot_from_zero_shot(inputs, one_shot):
  fields = convert.find_fields("rvos", {GATES: np.zeros((512, inputs, 3, 3))})
  assert fields == {"one_shot": one_shot, "size": (256, 448)}
  assert models.build("rvos", **fields).readout.one_shot == one_shot


@pytest.mark.parametrize(
  ("classes", "size", "number"),
  [(21, (256, 256), 10), (9, (256, 512), 20), (2, (400, 400), 20)],
)
def test_the_number_of_classes_identifies_the_dataset(classes, size, number):
  fields = convert.find_fields("rsis", {CLASSES: np.zeros((classes, 248))})
  assert fields == {"num_classes": classes, "size": size, "num_objects": number}
  assert models.build("rsis", **fields).num_classes == classes


def test_other_models_have_their_default_fields():
  assert convert.find_fields("agame", {}) == convert.find_fields("cosnet", {}) == {}
