"""Checkpoints: written completely or not at all; everything that differs is named."""

import errno
import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from vosjax import checkpoints, models

SMALL = {"backbone": "resnet18", "width": 4, "features": 8, "fusion_features": 8}
RESNET = {"variant": "resnet18", "width": 4}


def random_variables(name, fields, seed=0):
  rng = np.random.default_rng(seed)
  shapes = checkpoints.variable_shapes(checkpoints.build(name, fields))
  return jax.tree.map(
    lambda leaf: jnp.asarray(rng.random(leaf.shape), leaf.dtype), shapes
  )


def assert_equal(found, expected):
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
    np.testing.assert_array_equal(a, b, strict=True)


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
  """A small A-GAME and a small ResNet; tests copy what they change."""
  root = tmp_path_factory.mktemp("checkpoints")
  checkpoints.save(root / "agame", "agame", SMALL, random_variables("agame", SMALL))
  backbone = random_variables("resnet", RESNET)
  checkpoints.save(root / "resnet", "resnet", RESNET, backbone)
  return root


@pytest.fixture
def copy(saved, tmp_path):
  shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
  return tmp_path


def test_a_model_is_restored_as_it_was_saved(tmp_path):
  fields = SMALL | {"dilations": (1, 2, 3), "dtype": jnp.bfloat16}
  variables = random_variables("agame", fields)
  checkpoints.save(tmp_path / "deep" / "new", "agame", fields, variables)
  model, loaded = checkpoints.load(tmp_path / "deep" / "new")
  assert isinstance(model, models.AGame)
  assert (model.width, model.dilations) == (4, (1, 2, 3))
  assert jnp.dtype(model.execution.dtype) == jnp.bfloat16
  hash(model)  # jit takes it as a static argument
  assert_equal(loaded, variables)
  assert [path.name for path in tmp_path.rglob("*") if path.name.startswith(".")] == []


def test_a_trained_model_without_batch_statistics_is_restored(tmp_path):
  """Training has a collection for statistics, which RIS leaves empty."""
  fields = {"channels": 2}
  variables = random_variables("ris", fields)
  assert set(variables) == {"params"}
  checkpoints.save(tmp_path / "new", "ris", fields, variables | {"batch_stats": {}})
  assert_equal(checkpoints.load(tmp_path / "new")[1], variables)


def test_a_checkpoint_is_replaced_as_a_whole(copy):
  fields = SMALL | {"width": 8}
  variables = random_variables("agame", fields, seed=1)
  checkpoints.save(copy / "agame", "agame", fields, variables)
  assert_equal(checkpoints.load(copy / "agame")[1], variables)
  assert sorted(path.name for path in copy.iterdir()) == ["agame", "resnet"]


@pytest.mark.parametrize("when", ["arrays", "metadata", "swap"])
def test_a_failure_while_writing_keeps_the_old_checkpoint(copy, monkeypatch, when):
  before = checkpoints.load(copy / "agame")[1]

  def fail(*args, **kwargs):
    raise OSError(errno.EIO, "broken")

  def fail_for_the_new(path, target):
    return fail() if path.name == "new" else rename(path, target)

  rename = pathlib.Path.rename
  if when == "arrays":
    monkeypatch.setattr(ocp.StandardCheckpointer, "save", fail)
  elif when == "metadata":
    monkeypatch.setattr(pathlib.Path, "write_text", fail)
  else:
    monkeypatch.setattr(pathlib.Path, "rename", fail_for_the_new)
  with pytest.raises(OSError, match="broken"):
    variables = random_variables("agame", SMALL, seed=2)
    checkpoints.save(copy / "agame", "agame", SMALL, variables)
  monkeypatch.undo()
  assert_equal(checkpoints.load(copy / "agame")[1], before)
  assert sorted(path.name for path in copy.iterdir()) == ["agame", "resnet"]


def test_a_full_disk_is_an_os_error(tmp_path, monkeypatch):
  variables = random_variables("resnet", RESNET)
  message = "RESOURCE_EXHAUSTED: Failed to write 9 bytes [os_error_code='28']"

  def fail(*args, **kwargs):
    raise ValueError(message)

  monkeypatch.setattr(ocp.StandardCheckpointer, "save", fail)
  with pytest.raises(OSError, match="No space left") as caught:
    checkpoints.save(tmp_path / "new", "resnet", RESNET, variables)
  assert caught.value.errno == errno.ENOSPC
  monkeypatch.undo()
  usage = shutil.disk_usage(tmp_path)._replace(free=1000)
  monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
  with pytest.raises(OSError, match="No space left"):
    checkpoints.save(tmp_path / "new", "resnet", RESNET, variables)
  assert list(tmp_path.iterdir()) == []


def test_foreign_files_are_never_replaced(tmp_path):
  variables = random_variables("resnet", RESNET)
  (tmp_path / "thesis.txt").write_text("years of work")
  with pytest.raises(ValueError, match="holds other files"):
    checkpoints.save(tmp_path, "resnet", RESNET, variables)
  with pytest.raises(ValueError, match="is a file"):
    checkpoints.save(tmp_path / "thesis.txt", "resnet", RESNET, variables)
  assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_variables_of_other_fields_are_not_saved(tmp_path):
  variables = random_variables("agame", SMALL)
  with pytest.raises(ValueError, match=r"params/backbone.* is \(.*expected"):
    checkpoints.save(tmp_path / "new", "agame", SMALL | {"width": 8}, variables)
  assert list(tmp_path.iterdir()) == []


def test_variables_that_do_not_fit_the_fields_are_named(copy):
  path = copy / "agame" / "checkpoint.json"
  metadata = json.loads(path.read_text())
  metadata["fields"]["width"] = 8
  path.write_text(json.dumps(metadata))
  with pytest.raises(ValueError, match="(?s)agame.*params/backbone.*expected"):
    checkpoints.load(copy / "agame")


@pytest.mark.parametrize(
  ("change", "text"),
  [
    ({"name": "nonet"}, "'nonet' is unknown"),
    ({"format": 99}, "format 99"),
    ({"fields": {"colour": 1}}, "colour"),
    ({"fields": SMALL | {"features": 0}}, "holds an unknown model"),
    ({"files": None}, "damaged"),
    ({"files": {}}, "is damaged"),
    ({"files": {"arrays/x": []}}, "a checksum is no number"),
  ],
)
def test_metadata_of_another_format_is_an_error(copy, change, text):
  path = copy / "agame" / "checkpoint.json"
  metadata = json.loads(path.read_text()) | change
  path.write_text(json.dumps({k: v for k, v in metadata.items() if v is not None}))
  with pytest.raises(ValueError, match=text) as caught:
    checkpoints.load(copy / "agame")
  assert str(copy / "agame") in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"'])
def test_damaged_metadata_names_its_file(copy, content):
  (copy / "agame" / "checkpoint.json").write_text(content)
  with pytest.raises(ValueError, match="checkpoint.json is damaged"):
    checkpoints.load(copy / "agame")


@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_damaged_arrays_name_the_file(copy, damage):
  files = [path for path in (copy / "agame" / "arrays").rglob("*") if path.is_file()]
  biggest = max(files, key=lambda path: path.stat().st_size)
  data = bytearray(biggest.read_bytes())
  if damage == "remove":
    biggest.unlink()
  else:
    data[len(data) // 2] ^= 1
    biggest.write_bytes(data if damage == "flip" else data[: len(data) // 2])
  with pytest.raises(ValueError, match=f"agame is damaged.*{biggest.name}"):
    checkpoints.load(copy / "agame")


def test_the_error_of_a_missing_checkpoint_says_how_to_get_one(tmp_path):
  with pytest.raises(ValueError, match="does not exist.*vosjax convert"):
    checkpoints.load(tmp_path / "none")
  with pytest.raises(ValueError, match="has no checkpoint.json"):
    checkpoints.load(tmp_path)


@pytest.mark.parametrize("key", ["fields", "files"])
@pytest.mark.parametrize("value", [None, 3, [1]])
def test_metadata_of_another_type_are_damaged(tmp_path, key, value):
  metadata = {"format": 1, "name": "agame", "fields": {}, "files": {}} | {key: value}
  (tmp_path / "checkpoint.json").write_text(json.dumps(metadata))
  with pytest.raises(ValueError, match=rf"checkpoint.json is damaged \(.'{key}'"):
    checkpoints.load(tmp_path)
