"""Pictures with instances by configuration: what is missing, and what is held out."""

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from vosjax.train import feeds, pictures, run


@pytest.fixture
def config(tmp_path):
  keys = ("voc", "sbd", "leaves", "cityscapes")
  return ConfigDict({"data": {key: str(tmp_path / key) for key in keys}})


@pytest.mark.parametrize(("name", "key"), [
    ("voc", "voc"), ("leaves", "leaves"), ("cityscapes", "cityscapes"),
])  # fmt: skip
def test_a_missing_folder_is_named_with_how_to_get_it(config, name, key):
  with pytest.raises(ValueError, match=rf"datasets/.*README.*--config.data.{key}="):
    pictures.SETS[name](config, "train")


@pytest.fixture
def folder(tmp_path):
  """Eleven plants."""
  folder = tmp_path / "leaves"
  folder.mkdir()
  for i in range(1, 12):
    leaf = Image.fromarray(np.full((4, 4), i % 3, np.uint8))
    leaf.convert("RGB").save(folder / f"plant{i:03d}_rgb.png")
    leaf.save(folder / f"plant{i:03d}_label.png")
  return folder


def test_plants_that_are_scored_are_not_trained_on(config, folder):
  train, val = (pictures.leaves(config, subset) for subset in ("train", "val"))
  names = [{source[i].name for i in range(len(source))} for source in (train, val)]
  assert (len(train), len(val)) == (8, 3)
  assert not names[0] & names[1]
  assert feeds.origin(val) == f"from {folder}"


def test_stages_on_plants_share_them(get_config, folder):
  config = get_config("ris:smoke")
  config.data.leaves = str(folder)
  for stage in config.stages.values():
    stage.sources.update(synthvos=0.0, leaves=1.0)
  first, second = run.make_stages(config, run.build(config))[1].values()
  assert len(first["leaves"]) == 8
  assert first["leaves"] is second["leaves"]
