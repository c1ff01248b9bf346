"""Checkpoints of finished models: a model's name, its fields and its variables.

A checkpoint is a folder with `checkpoint.json` (format, the model's name, its fields
and a checksum of each file) and `arrays/` (orbax). Names are those of `models.build`
and of BACKBONES. orbax takes 1 to 2 s to import, so only functions that read or write
import it.
"""

import json
import os
import pathlib
import re
import tempfile
from collections.abc import Mapping
from typing import Any

import flax.core
import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from vosjax import files, models
from vosjax.models import execution
from vosjax.models.backbones.deeplab import DeepLab
from vosjax.models.backbones.efficientnet import EfficientNet
from vosjax.models.backbones.fcn import VGG
from vosjax.models.backbones.resnet import ResNet
from vosjax.types import Variables

# Parts of models with checkpoints of their own, from which training can start.
BACKBONES: dict[str, type[nn.Module]] = {
  "deeplab": DeepLab,
  "efficientnet": EfficientNet,
  "resnet": ResNet,
  "vgg": VGG,
}
FORMAT = 1
_METADATA = "checkpoint.json"
_ARRAYS = "arrays"
_SHOWN = 5
_REPAIR = "copy, convert or train it again"
Path = str | os.PathLike


def build(name: str, fields: Mapping[str, Any]) -> nn.Module:
  """Builds a model, like `models.build`, or one of BACKBONES.

  Raises:
    ValueError: the name or a field is unknown.
  """
  if name not in BACKBONES:
    return models.build(name, **fields)
  try:
    return execution.construct(BACKBONES[name], dict(fields))
  except TypeError as error:
    raise ValueError(
      f"cannot build {name} from the fields {dict(fields)}: {error}."
    ) from None


def describe(name: str, fields: Mapping[str, Any]) -> str:
  """Name and fields in one line, such as "resnet (variant=resnet18)"."""
  listed = ", ".join(f"{key}={value}" for key, value in fields.items())
  return f"{name} ({listed})" if listed else name


def variable_shapes(model: nn.Module) -> dict:
  """Shapes and types of a model's variables, without computing anything."""
  frames = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  masks = jax.ShapeDtypeStruct((1, 1, 64, 64), jnp.float32)
  inputs = (frames,) if type(model) in BACKBONES.values() else (frames, masks)
  return flax.core.unfreeze(jax.eval_shape(model.init, jax.random.key(0), *inputs))


def save(
  directory: Path, name: str, fields: Mapping[str, Any], variables: Variables
) -> None:
  """Writes a checkpoint atomically, replacing one that exists.

  Args:
    directory: new, empty, or a checkpoint.
    name: of the model, or one of BACKBONES.
    fields: of the model; values must fit into JSON, except that a dtype is stored by
      its name.
    variables: of that model.

  Raises:
    ValueError: the variables do not fit the model, or the directory holds something
      other than a checkpoint.
    OSError: the directory cannot be written; its content is unchanged.
  """
  directory = pathlib.Path(directory).absolute()
  check_target(directory)
  fields = json.loads(json.dumps(dict(fields), default=_type_name))
  # A model without BatchNorm has no statistics, and orbax cannot restore an empty tree.
  variables = {name: x for name, x in flax.core.unfreeze(dict(variables)).items() if x}
  shapes = variable_shapes(build(name, hashable(fields)))
  unfit = f"the variables to save do not fit {describe(name, fields)}"
  require_equal_shapes(variables, shapes, unfit)
  directory.parent.mkdir(parents=True, exist_ok=True)
  size = sum(leaf.nbytes for leaf in jax.tree.leaves(variables))
  files.require_space(directory.parent, size)
  # Beside the target: a rename is atomic only within one file system.
  with tempfile.TemporaryDirectory(
    prefix=f".{directory.name}-", dir=directory.parent, ignore_cleanup_errors=True
  ) as temporary:
    fresh = pathlib.Path(temporary, "new")
    try:
      with _open_checkpointer() as checkpointer:
        checkpointer.save(fresh / _ARRAYS, variables)
    except ValueError as error:  # orbax reports a full disk so, with its errno
      code = re.search(r"os_error_code='(\d+)'", str(error))
      if code is None:
        raise
      raise OSError(int(code[1]), os.strerror(int(code[1])), str(directory)) from error
    metadata = {
      "format": FORMAT,
      "name": name,
      "fields": fields,
      "files": _checksums(fresh),
    }
    (fresh / _METADATA).write_text(json.dumps(metadata, indent=2) + "\n")
    _swap(directory, fresh, pathlib.Path(temporary, "old"))


def check_target(directory: Path) -> None:
  """Refuses a directory that holds something other than a checkpoint.

  Raises:
    ValueError: it exists, is not empty and is not a checkpoint.
  """
  directory = pathlib.Path(directory)
  if not directory.exists():
    return
  if not directory.is_dir():
    raise ValueError(f"{directory} is a file; choose a new folder for the checkpoint.")
  if any(directory.iterdir()) and not (directory / _METADATA).is_file():
    raise ValueError(
      f"{directory} holds other files and is not a checkpoint; choose a new folder."
    )


def load(directory: Path) -> tuple[nn.Module, dict]:
  """Reads a checkpoint.

  Returns:
    The model, built as it was saved, and its variables on the default device.

  Raises:
    ValueError: there is no checkpoint, it is damaged, or its variables do not fit its
      model; the message names the directory and the variables that differ.
  """
  directory = pathlib.Path(directory).absolute()
  metadata = _read_metadata(directory)
  try:
    model = build(metadata["name"], hashable(metadata["fields"]))
    shapes = variable_shapes(model)
  except Exception as error:  # networks of impossible fields raise anything
    raise ValueError(f"{directory} holds an unknown model: {error}") from error
  _check_files(directory, metadata["files"])
  with _open_checkpointer() as checkpointer:
    held = checkpointer.metadata(directory / _ARRAYS).item_metadata.tree
    unfit = f"{directory} does not fit its model {metadata['name']}"
    require_equal_shapes(held, shapes, unfit)
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device),
      shapes,
    )
    return model, checkpointer.restore(directory / _ARRAYS, target)


def title(directory: Path) -> str:
  """Name and fields of the model in a checkpoint; see `load` for errors."""
  metadata = _read_metadata(pathlib.Path(directory))
  return describe(metadata["name"], metadata["fields"])


def _swap(directory: pathlib.Path, fresh: pathlib.Path, old: pathlib.Path) -> None:
  """Replaces the directory by `fresh`; if that fails, restores it."""
  try:
    if directory.exists():
      directory.rename(old)
    fresh.rename(directory)
  finally:
    if old.exists() and not directory.exists():
      old.rename(directory)


def _open_checkpointer() -> Any:
  """For this process alone: the other processes of a run need not take part."""
  import orbax.checkpoint as ocp

  me = jax.process_index()
  alone = ocp.options.MultiprocessingOptions(
    primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"process{me}"
  )
  if jax.process_count() == 1:
    alone = ocp.options.MultiprocessingOptions()
  return ocp.StandardCheckpointer(multiprocessing_options=alone)


def hashable(fields: Mapping[str, Any]) -> dict[str, Any]:
  """Lists as tuples: JSON has no tuples, and modules must be hashable."""

  def freeze(value: Any) -> Any:
    return tuple(map(freeze, value)) if isinstance(value, list) else value

  return {name: freeze(value) for name, value in fields.items()}


def _read_metadata(directory: pathlib.Path) -> dict[str, Any]:
  path = directory / _METADATA
  if not path.is_file():
    what = "does not exist" if not directory.exists() else f"has no {_METADATA}"
    if (directory / "model" / _METADATA).is_file():
      raise ValueError(
        f"{directory} is the folder of a training run; its checkpoint is "
        f"{directory / 'model'}."
      )
    raise ValueError(
      f"{directory} is not a checkpoint: it {what}. Train a model, or convert an "
      "official file with `vosjax convert`."
    )
  try:
    metadata = json.loads(path.read_text())
    found = metadata["format"]
    missing = {"name", "fields", "files"} - set(metadata)
  except (ValueError, KeyError, TypeError) as error:
    raise ValueError(f"{path} is damaged ({error}); {_REPAIR}.") from error
  if found != FORMAT:
    raise ValueError(f"{path} has format {found!r}; this version reads {FORMAT}.")
  if missing:
    raise ValueError(f"{path} is damaged (no {sorted(missing)}); {_REPAIR}.")
  wrong = [key for key in ("fields", "files") if not isinstance(metadata[key], dict)]
  if wrong:
    raise ValueError(f"{path} is damaged ({wrong} are no objects); {_REPAIR}.")
  if not all(isinstance(checksum, int) for checksum in metadata["files"].values()):
    raise ValueError(f"{path} is damaged (a checksum is no number); {_REPAIR}.")
  return metadata


def require_equal_shapes(found: Variables, expected: Variables, what: str) -> None:
  """Raises a ValueError if two trees differ in their paths or shapes."""
  flat = [flax.traverse_util.flatten_dict(dict(t), sep="/") for t in (found, expected)]
  shapes = [{path: tuple(leaf.shape) for path, leaf in tree.items()} for tree in flat]
  differing = [
    f"{path} is {shapes[0].get(path, 'missing')}, expected "
    f"{shapes[1].get(path, 'nothing')}"
    for path in sorted(shapes[0].keys() | shapes[1].keys(), key=_params_first)
    if shapes[0].get(path) != shapes[1].get(path)
  ]
  if differing:
    rest = f"; and {len(differing) - _SHOWN} more" if differing[_SHOWN:] else ""
    raise ValueError(f"{what}: {'; '.join(differing[:_SHOWN])}{rest}.")


def _params_first(path: str) -> tuple[bool, str]:
  return not path.startswith("params/"), path


def _checksums(folder: pathlib.Path) -> dict[str, int]:
  """CRC-32 of each file of arrays, by its path within the checkpoint."""
  found = files.checksums(folder / _ARRAYS)
  return {f"{_ARRAYS}/{path}": checksum for path, checksum in found.items()}


def _check_files(directory: pathlib.Path, expected: Mapping[str, int]) -> None:
  """Raises if a file has changed: orbax would read missing blocks as zeros."""
  found = _checksums(directory)
  wrong = [path for path in expected if found.get(path) != expected[path]]
  if wrong or not expected:
    raise ValueError(
      f"{directory} is damaged: {wrong[:_SHOWN]} are missing or changed; {_REPAIR}."
    )


def _type_name(value: Any) -> str:
  """Name of a NumPy or JAX dtype, which JSON cannot hold otherwise."""
  return np.dtype(value).name
