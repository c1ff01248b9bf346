"""Official files become a model and its variables, as `vosjax convert` does it."""

import numpy as np
import pytest

from vosjax import checkpoints, convert
from vosjax.models.backbones.deeplab import DeepLab
from vosjax.models.rvos import RVOS


def test_two_files_are_joined_under_their_prefixes(monkeypatch):
  """With the fields that the shapes imply; `convert` itself is tested elsewhere."""
  gates = np.zeros((4, 385, 3, 3), np.float32)  # a skip, two hidden maps and a mask
  files = {
    "e": {"module.x": np.zeros(1)},
    "d": {"clstm_list.0.Gates.weight": gates, "x": np.ones(1)},
  }
  given = {}

  def stub(name, state_dict, **fields):
    given.update(state_dict)
    return {"params": fields}

  monkeypatch.setattr(convert, "read_torch", files.__getitem__)
  monkeypatch.setattr(convert, "convert", stub)
  model, variables = convert.load("rvos", "e", "d")
  assert model == RVOS(one_shot=True, size=(256, 448))
  assert variables == {"params": {"one_shot": True, "size": (256, 448)}}
  assert set(given) == {"encoder.x", "decoder.clstm_list.0.Gates.weight", "decoder.x"}
  assert given["encoder.x"] == 0 and given["decoder.x"] == 1


def test_a_backbone_is_loaded_with_its_variables(monkeypatch):
  """Every variable of a DeepLab of the found size is filled from the file."""
  shapes = checkpoints.variable_shapes(DeepLab("resnet18"))
  names = {f"layer{i}.{j}.conv1.weight" for i in range(1, 5) for j in range(2)}
  monkeypatch.setattr(
    convert, "read_torch", lambda path: dict.fromkeys(names, np.zeros(1))
  )
  monkeypatch.setattr(
    convert, "apply_rules", lambda title, *rest: {"title": title, "target": rest[-1]}
  )
  model, found = convert.load("deeplab", "any.pth")
  assert model == DeepLab("resnet18")
  assert found == {"title": "deeplab (backbone=resnet18)", "target": shapes}


@pytest.mark.parametrize(
  ("name", "paths", "message"),
  [
    ("rvos", ["e"], "rvos comes in two files, encoder and decoder; 1 given"),
    ("agame", ["a", "b"], "agame comes in one file; 2 given"),
    ("ris", ["a"], "no official checkpoint of 'ris'; known: .*'agame'"),
  ],
)
def test_wrong_arguments_are_named(name, paths, message):
  with pytest.raises(ValueError, match=message):
    convert.load(name, *paths)


def test_an_error_names_the_files(monkeypatch):
  monkeypatch.setattr(convert, "read_torch", lambda path: {"x": np.zeros(1)})
  with pytest.raises(ValueError, match=r"a\.pth: .*no rule for \['x'\]"):
    convert.load("agame", "a.pth")
