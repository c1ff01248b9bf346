"""Weights in the package: found by name, small, and nothing else is accepted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import vosjax
from vosjax import weights
from vosjax.data.synthvos import SynthVos
from vosjax.models import with_execution
from vosjax.train import run
from vosjax.train.configs.agame import get_config

FIELDS = {
  "backbone": "efficientnet_lite0",
  "width": 4,
  "output_stride": 8,
  "features": 8,
  "fusion_features": 4,
  "frozen_stages": ["stem", "stage1", "stage2", "stage3", "stage4"],
  "deep": "pyramid",
  "matching_lags": [1, 2],
}


@pytest.fixture(scope="module")
def drawn():
  """Variables that all differ."""
  model = vosjax.models.build(
    "agame", **{k: tuple(v) if isinstance(v, list) else v for k, v in FIELDS.items()}
  )
  frames, masks = jnp.zeros((1, 32, 48, 3)), jnp.zeros((1, 1, 32, 48))
  shapes = jax.eval_shape(model.init, jax.random.key(0), frames, masks)
  rng = np.random.default_rng(0)
  return model, jax.tree.map(
    lambda leaf: jnp.asarray(rng.uniform(0.5, 2, leaf.shape), leaf.dtype), shapes
  )


def test_what_is_written_is_read(drawn, tmp_path):
  model, variables = drawn
  path = tmp_path / "small.safetensors"
  weights.write(path, "agame", FIELDS, variables)
  found_model, found = vosjax.load(path)
  assert found_model == model
  assert jax.tree.structure(found) == jax.tree.structure(variables)
  for new, old in zip(jax.tree.leaves(found), jax.tree.leaves(variables)):
    assert new.dtype == jnp.float32
    np.testing.assert_allclose(new, old, rtol=2**-11)


def test_a_shared_part_is_kept_once(drawn, tmp_path, monkeypatch):
  _, variables = drawn
  monkeypatch.setattr(weights, "FOLDER", tmp_path)
  whole, rest = tmp_path / "whole.safetensors", tmp_path / "rest.safetensors"
  weights.write(whole, "agame", FIELDS, variables)
  part = weights.SharedPart("backbone", "whole", "backbone")
  weights.write(rest, "agame", FIELDS, variables, part)
  assert not [key for key in safetensors.numpy.load_file(rest) if "/backbone/" in key]
  jax.tree.map(
    np.testing.assert_array_equal, vosjax.load("rest")[1], vosjax.load("whole")[1]
  )
  other = jax.tree.map(lambda x: x + 1, variables)
  with pytest.raises(ValueError, match="backbone differs from backbone of whole"):
    weights.write(tmp_path / "other.safetensors", "agame", FIELDS, other, part)
  whole.write_bytes(whole.read_bytes()[:1000])
  with pytest.raises(ValueError, match=r"whole\.safetensors is damaged"):
    vosjax.load("rest")


def test_checkpoints_are_loaded_by_their_folder(drawn, tmp_path):
  model, variables = drawn
  vosjax.checkpoints.save(tmp_path / "model", "agame", FIELDS, variables)
  found_model, found = vosjax.load(tmp_path / "model")
  assert found_model == model
  jax.tree.map(np.testing.assert_array_equal, found, variables)


def test_a_name_in_the_package_is_not_taken_from_the_working_directory(
  tmp_path, monkeypatch
):
  (tmp_path / "agame-lite").mkdir()
  monkeypatch.chdir(tmp_path)
  assert weights.locate("agame-lite").parent == weights.FOLDER
  assert weights.locate(tmp_path / "agame-lite") == tmp_path / "agame-lite"


def test_an_unknown_name_lists_the_known_ones():
  with pytest.raises(ValueError, match="agame-heavy does not exist.*agame-lite"):
    vosjax.load("agame-heavy")


def test_values_beyond_float16_are_refused(drawn, tmp_path):
  _, variables = drawn
  large = jax.tree.map(lambda x: x, variables)
  large["params"]["cue_gains"] = jnp.full((2,), 1e5)
  with pytest.raises(ValueError, match="params/cue_gains.*float16 cannot"):
    weights.write(tmp_path / "large.safetensors", "agame", FIELDS, large)
  assert not list(tmp_path.iterdir())


def test_other_shapes_are_refused(drawn, tmp_path):
  _, variables = drawn
  with pytest.raises(ValueError, match="do not fit"):
    weights.write(
      tmp_path / "x.safetensors", "agame", FIELDS | {"features": 16}, variables
    )


@pytest.mark.parametrize("fault", ["cut", "foreign", "text"])
def test_damaged_files_are_named(drawn, tmp_path, fault):
  path = tmp_path / "bad.safetensors"
  if fault == "foreign":
    safetensors.numpy.save_file({"x": np.zeros(3, np.float32)}, path)
  else:
    weights.write(path, "agame", FIELDS, drawn[1])
    content = path.read_bytes()
    path.write_bytes(b"hello" if fault == "text" else content[: len(content) // 2])
  with pytest.raises(ValueError, match=r"bad\.safetensors is damaged"):
    weights.read(path)


@pytest.mark.parametrize("name", weights.names())
def test_weights_in_the_package(name):
  path = weights.locate(name)
  assert path.stat().st_size <= 12e6
  model, variables = vosjax.load(name)
  assert isinstance(model, tuple(vosjax.models.MODELS.values()))
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(variables))
  # Not checked on loading, to start sooner.
  shapes = vosjax.checkpoints.variable_shapes(model)
  vosjax.checkpoints.require_equal_shapes(variables, shapes, name)
  card = path.with_suffix(".md").read_text()
  for heading in ("## Data", "## Scores", "## Failures", "## Licence"):
    assert heading in card


def test_a_recipe_that_trains_the_one_shot_weights_further_has_their_network():
  model = run.build(get_config("davis_folder"))
  assert vosjax.load("agame-lite")[0] == with_execution(model, dtype=None)


@pytest.mark.parametrize("seed", [0, 3])
def test_the_one_shot_weights_follow_an_object(seed):
  """Copying the first mask has an overlap of 0.68 and 0.71 with these truths."""
  source = SynthVos(seed, 1, size=(96, 160), length=5, max_objects=1)
  frames, labels = source[0].clip(0, 5)
  segmenter = vosjax.VideoSegmenter(*vosjax.load("agame-lite"))
  results = list(segmenter.run(frames, prompts={0: labels[0]}))
  overlaps = [
    vosjax.metrics.region_similarity(result.labels == 1, truth == 1)
    for result, truth in zip(results, labels)
  ]
  assert np.mean(overlaps[1:]) > 0.8


def test_every_default_exists():
  assert set(weights.DEFAULTS.values()) <= set(weights.names())
  for model, name in weights.DEFAULTS.items():
    assert type(vosjax.load(name)[0]) is vosjax.models.MODELS[model]
