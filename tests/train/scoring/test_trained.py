"""Models to score: checkpoints, and weights in one file as the package has them."""

import jax
import numpy as np
import pytest

from vosjax import weights
from vosjax.train import run
from vosjax.train.scoring import predict

FIELDS = {"backbone": "resnet18", "width": 4, "features": 8, "fusion_features": 8}


@pytest.fixture
def file(trained, tmp_path, monkeypatch):
  """A file of weights in a folder that stands for the package's."""
  folder = tmp_path / "weights"
  folder.mkdir()
  monkeypatch.setattr(weights, "FOLDER", folder)
  path = folder / "small.safetensors"
  weights.write(path, "agame", FIELDS, trained("agame").variables)
  return path


@pytest.mark.parametrize("by_name", [True, False])
def test_weights_in_one_file_are_scored(
  get_config, trained, file, tmp_path, monkeypatch, by_name
):
  scored = []
  monkeypatch.setattr(run, "score_model", lambda *arguments: scored.append(arguments))
  config = get_config("agame:smoke")
  config.mode = "evaluate"
  config.evaluation.checkpoint = "small" if by_name else str(file)
  run.run(config, str(tmp_path / "run"))
  [(_, _, model, variables, *_)] = scored
  assert model == trained("agame").model
  jax.tree.map(
    lambda new, old: np.testing.assert_allclose(new, old, rtol=2**-11, atol=1e-7),
    variables,
    trained("agame").variables,
  )


def test_fields_that_the_configuration_would_change_are_named(
  get_config, trained, file, tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(run, "score_model", lambda *_: None)
  config = get_config("agame:smoke")
  config.mode = "evaluate"
  config.evaluation.checkpoint = str(file)
  run.run(config, str(tmp_path / "as_trained"))
  before = capsys.readouterr().out
  config.model.fields.update_rate = 0.25
  run.run(config, str(tmp_path / "other"))
  said = capsys.readouterr().out
  assert "update_rate=0.1" in said and "the configuration has others" in said
  assert "update_rate" not in before


def test_predictions_are_resumed_with_the_same_file_only(
  get_config, trained, davis, file, tmp_path, monkeypatch
):
  monkeypatch.setattr(predict, "_write", lambda *_: None)
  config = get_config("agame:paper")
  config.mode = "predict"
  config.data.root = str(davis)
  config.evaluation.update(subset="test-dev", checkpoint="small")
  for _ in range(2):
    run.run(config, str(tmp_path / "run"))
  others = jax.tree.map(lambda leaf: leaf + 1, trained("agame").variables)
  weights.write(file, "agame", FIELDS, others)
  with pytest.raises(ValueError, match=r"predictions of something else: model \(chec"):
    run.run(config, str(tmp_path / "run"))


@pytest.mark.parametrize("mode", ["evaluate", "predict"])
def test_a_misspelt_name_lists_the_known_ones(get_config, file, tmp_path, mode):
  config = get_config("agame:smoke")
  config.mode = mode
  config.evaluation.checkpoint = "smal"
  with pytest.raises(ValueError, match=r"smal does not exist.*package: small\."):
    run.run(config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()
