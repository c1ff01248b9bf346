"""Checkpoints of finished models: what to build, and its variables.

A checkpoint is a folder of `checkpoint.json` (format, the model's name, its fields,
a checksum for each file) and `arrays/` (orbax). Names are those of `models.build` and
of BACKBONES. orbax takes 1 to 2 s to import and only reading and writing need it, so
it is imported there.
"""

import errno
import json
import os
import pathlib
import re
import shutil
import tempfile
import zlib
from collections.abc import Mapping
from typing import Any

import flax.core
import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from vosjax import models
from vosjax.models.backbones.deeplab import DeepLab
from vosjax.models.backbones.fcn import VGG
from vosjax.models.backbones.resnet import ResNet
from vosjax.types import Variables

# Parts of models that have checkpoints of their own, for training to start from.
BACKBONES: dict[str, type[nn.Module]] = {
  "deeplab": DeepLab,
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
  """`models.build`, and BACKBONES by themselves."""
  if name not in BACKBONES:
    return models.build(name, **fields)
  try:
    return BACKBONES[name](**fields)
  except TypeError as error:
    raise ValueError(f"no {name} can be built of {dict(fields)}: {error}.") from None


def describe(name: str, fields: Mapping[str, Any]) -> str:
  """What `build` is given, in words."""
  given = ", ".join(f"{key}={value}" for key, value in fields.items())
  return f"{name} ({given})" if given else name


def variable_shapes(model: nn.Module) -> dict:
  """Shapes and types of a model's variables; nothing is computed."""
  frames = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
  masks = jax.ShapeDtypeStruct((1, 1, 64, 64), jnp.float32)
  inputs = (frames,) if type(model) in BACKBONES.values() else (frames, masks)
  return flax.core.unfreeze(jax.eval_shape(model.init, jax.random.key(0), *inputs))


def save(
  directory: Path, name: str, fields: Mapping[str, Any], variables: Variables
) -> None:
  """Writes a checkpoint, whole or not at all; one that is there is replaced.

  Args:
    directory: new or empty, or a checkpoint.
    name: of the model, or one of BACKBONES.
    fields: of the model; JSON must be able to hold them (types by their name).
    variables: of that model.

  Raises:
    ValueError: the variables are not those of the model, or the directory holds
      something else than a checkpoint.
    OSError: the directory cannot be written; what was there is kept.
  """
  directory = pathlib.Path(directory).absolute()
  check_target(directory)
  fields = json.loads(json.dumps(dict(fields), default=_type_name))
  # A model without BatchNorm has no statistics; orbax restores no empty collection.
  variables = {name: x for name, x in flax.core.unfreeze(variables).items() if x}
  shapes = variable_shapes(build(name, _hashable(fields)))
  unfit = f"the variables to save do not fit {describe(name, fields)}"
  require_equal_shapes(variables, shapes, unfit)
  directory.parent.mkdir(parents=True, exist_ok=True)
  _check_space(directory, sum(leaf.nbytes for leaf in jax.tree.leaves(variables)))
  # Beside the target: a rename is atomic only within one file system.
  with tempfile.TemporaryDirectory(
    prefix=f".{directory.name}-", dir=directory.parent, ignore_cleanup_errors=True
  ) as temporary:
    fresh = pathlib.Path(temporary, "new")
    try:
      with _open_checkpointer() as checkpointer:
        checkpointer.save(fresh / _ARRAYS, variables)
    except ValueError as error:  # how orbax tells of a full disk, with its number
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
  """Refuses a directory whose content is not a checkpoint's.

  Raises:
    ValueError: it exists, is not empty and is no checkpoint.
  """
  directory = pathlib.Path(directory)
  if not directory.exists():
    return
  if not directory.is_dir():
    raise ValueError(f"{directory} is a file; name a new folder for the checkpoint.")
  if any(directory.iterdir()) and not (directory / _METADATA).is_file():
    raise ValueError(
      f"{directory} holds other files and is no checkpoint; name a new folder."
    )


def load(directory: Path) -> tuple[nn.Module, dict]:
  """Reads a checkpoint.

  Returns:
    The model, built as it was saved, and its variables on the default device.

  Raises:
    ValueError: there is no checkpoint, it is damaged, or it does not fit its model; the
      directory and, where variables differ, their paths are named.
  """
  directory = pathlib.Path(directory).absolute()
  metadata = _read_metadata(directory)
  try:
    model = build(metadata["name"], _hashable(metadata["fields"]))
    shapes = variable_shapes(model)
  except (TypeError, ValueError) as error:
    raise ValueError(f"{directory} holds a model that is not known: {error}") from error
  _check_files(directory, metadata["files"])
  with _open_checkpointer() as checkpointer:
    held = checkpointer.metadata(directory / _ARRAYS).item_metadata.tree
    unfit = f"{directory} does not fit its model {metadata['name']}"
    require_equal_shapes(held, shapes, unfit)
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    target = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device),
      shapes,
    )
    return model, checkpointer.restore(directory / _ARRAYS, target)


def title(directory: Path) -> str:
  """What a checkpoint holds, in words; see `load` for what it raises."""
  metadata = _read_metadata(pathlib.Path(directory))
  return describe(metadata["name"], metadata["fields"])


def _swap(directory: pathlib.Path, fresh: pathlib.Path, old: pathlib.Path) -> None:
  """Puts `fresh` in the directory's place; where that fails, it is as it was."""
  try:
    if directory.exists():
      directory.rename(old)
    fresh.rename(directory)
  finally:
    if old.exists() and not directory.exists():
      old.rename(directory)


def _open_checkpointer() -> Any:
  """Of this process alone: the others of its run need not save or load with it."""
  import orbax.checkpoint as ocp

  me = jax.process_index()
  alone = ocp.options.MultiprocessingOptions(
    primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"process{me}"
  )
  if jax.process_count() == 1:
    alone = ocp.options.MultiprocessingOptions()
  return ocp.StandardCheckpointer(multiprocessing_options=alone)


def _hashable(fields: Mapping[str, Any]) -> dict[str, Any]:
  """JSON knows no tuples, and modules must be hashable."""

  def freeze(value):
    return tuple(map(freeze, value)) if isinstance(value, list) else value

  return {name: freeze(value) for name, value in fields.items()}


def _read_metadata(directory: pathlib.Path) -> dict[str, Any]:
  path = directory / _METADATA
  if not path.is_file():
    what = "does not exist" if not directory.exists() else f"has no {_METADATA}"
    if (directory / "model" / _METADATA).is_file():
      raise ValueError(f"{directory} is a run; give {directory / 'model'}.")
    raise ValueError(
      f"{directory} is no checkpoint: it {what}. Train one, or turn an official file "
      "into one with `vosjax convert`."
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
  return metadata


def require_equal_shapes(found: Variables, expected: Variables, what: str) -> None:
  """Raises if two trees differ in their paths or shapes."""
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


def _check_space(directory: pathlib.Path, needed: int) -> None:
  """Raises if the disk is too full; orbax would let threads print tracebacks."""
  if shutil.disk_usage(directory.parent).free < needed:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory))


def _checksums(folder: pathlib.Path) -> dict[str, int]:
  """CRC-32 of every file of arrays, by its path within the checkpoint."""
  checksums = {}
  for path in sorted((folder / _ARRAYS).rglob("*")):
    if path.is_file():
      checksums[path.relative_to(folder).as_posix()] = zlib.crc32(path.read_bytes())
  return checksums


def _check_files(directory: pathlib.Path, expected: Mapping[str, int]) -> None:
  """Raises if a file is not as it was saved: orbax reads missing blocks as zeros."""
  found = _checksums(directory)
  wrong = [path for path in expected if found.get(path) != expected[path]]
  if wrong:
    raise ValueError(
      f"{directory} is damaged: {wrong[:_SHOWN]} missing or changed; {_REPAIR}."
    )


def _type_name(value: Any) -> str:
  """JSON has no types: those of NumPy and JAX go by their name."""
  return np.dtype(value).name
