"""Reads tensors from PyTorch's .pth files, without PyTorch and executing nothing.

A .pth file is a pickle that refers to raw storages: entries of a zip archive or,
before PyTorch 1.6, bytes after the pickle. A pickle names functions to call. Only
those that rebuild tensors are accepted here, as stand-ins that record their arguments,
and every number is checked against the bytes that are present.
"""

import collections
import dataclasses
import io
import math
import os
import pathlib
import pickle
import pickletools
import zipfile
from collections.abc import Callable
from typing import IO, Any, cast

import jax.numpy as jnp
import numpy as np

_DTYPES = {
  "BFloat16Storage": jnp.bfloat16,
  "BoolStorage": "?",
  "ByteStorage": "u1",
  "CharStorage": "i1",
  "DoubleStorage": "<f8",
  "FloatStorage": "<f4",
  "HalfStorage": "<f2",
  "IntStorage": "<i4",
  "LongStorage": "<i8",
  "ShortStorage": "<i2",
}
_WRAPPERS = ("net", "state_dict", "model")
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_OTHER_FILES = {  # first bytes of files that are often mistaken for checkpoints
  b"": "an empty file",
  b"<": "a web page, saved in place of the file",
  b"\x1f\x8b": "a gzip archive: unpack it first",
  b"\x89HDF": "an HDF5 file",
  b"version https://git-lfs": "a Git LFS pointer, not the file that it points to",
}


class _FaultError(ValueError):
  """The file is faulty; the message does not name it yet."""


@dataclasses.dataclass(frozen=True)
class _Storage:
  key: str
  kind: str
  size: int

  @property
  def dtype(self) -> np.dtype:
    return np.dtype(_DTYPES[self.kind])

  @property
  def num_bytes(self) -> int:
    return self.size * self.dtype.itemsize


# A pickle can modify objects after their creation, so they are checked at the end.
@dataclasses.dataclass(frozen=True)
class _Tensor:
  storage: Any
  offset: Any
  shape: Any
  strides: Any


_ReadStorage = Callable[[_Storage], bytes]


def read_torch(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """Reads the state dict in a checkpoint that PyTorch wrote.

  Args:
    path: zip or legacy file, with the tensors at its top level or under `net`,
      `state_dict` or `model`.

  Returns:
    Read-only arrays by official name; those that share a storage in the file share
    memory. bfloat16 is converted to float32.

  Raises:
    ValueError: the file is not a checkpoint, is damaged, or its pickle refers to
      anything that is not part of a tensor. Nothing in the file is ever executed.
    OSError: the file cannot be opened.
  """
  path = pathlib.Path(path)
  with path.open("rb") as file:
    try:
      value, read = _open(file)
      return _arrays(_state_dict(value), read)
    except _FaultError as fault:
      raise ValueError(f"{path}: {fault}") from None
    # Hostile bytes can make pickle and zipfile raise anything.
    except Exception as error:
      raise ValueError(
        f"{path}: a PyTorch checkpoint that is cut short or damaged "
        f"({type(error).__name__}: {str(error)[:200]}). Download it again."
      ) from error


def _open(file: io.BufferedIOBase) -> tuple[Any, _ReadStorage]:
  """Unpickles a file of either format; also returns a reader of its storages."""
  head = file.read(32)
  file.seek(0)
  if head.startswith(b"PK"):
    return _open_zip(file)
  if head.startswith(b"\x80"):
    return _open_legacy(file)
  for begin, what in _OTHER_FILES.items():
    if head.startswith(begin) if begin else not head:
      raise _FaultError(f"not a PyTorch checkpoint but {what}.")
  raise _FaultError(f"not a PyTorch checkpoint (it begins with {head[:8]!r}).")


def _open_zip(file: io.BufferedIOBase) -> tuple[Any, _ReadStorage]:
  total = file.seek(0, os.SEEK_END)
  try:
    archive = zipfile.ZipFile(file)
  except zipfile.BadZipFile as error:
    raise _FaultError(
      f"a zip archive that is cut short or damaged ({error}). Download it again."
    ) from None
  entries = {info.filename: info for info in archive.infolist()}
  roots = [name for name in entries if name.endswith("/data.pkl")]
  if len(roots) != 1:
    raise _FaultError(
      f"a zip archive, but not a PyTorch checkpoint: it has {len(roots)} entries "
      "'*/data.pkl', expected one."
    )
  root = roots[0].removesuffix("data.pkl")
  # PyTorch does not compress, so an archive that would grow is a zip bomb.
  claimed = sum(info.file_size for info in entries.values())
  if claimed > total:
    raise _FaultError(
      f"a zip archive of {total} bytes that would unpack to {claimed}; PyTorch "
      "does not compress. Refused."
    )
  order = f"{root}byteorder"
  if order in entries and archive.read(order) != b"little":
    raise _FaultError("written on a big-endian machine; only little-endian is read.")

  def read(storage: _Storage) -> bytes:
    name = f"{root}data/{storage.key}"
    if name not in entries:
      raise _FaultError(f"cut short or damaged: its entry {name!r} is missing.")
    return archive.read(name)

  return _unpickle(io.BytesIO(archive.read(roots[0])))[0], read


def _open_legacy(file: io.BufferedIOBase) -> tuple[Any, _ReadStorage]:
  total = file.seek(0, os.SEEK_END)
  file.seek(0)
  if _unpickle(file)[0] != _LEGACY_MAGIC or _unpickle(file)[0] != _LEGACY_PROTOCOL:
    raise _FaultError("a pickle, but not a PyTorch checkpoint of a known version.")
  _unpickle(file)  # byte order and type sizes of the writer; the data is little-endian
  value, storages = _unpickle(file)
  places = {}
  for key in _unpickle(file)[0]:
    size = int.from_bytes(file.read(8), "little")
    if key not in storages or size != storages[key].size:
      raise _FaultError(f"damaged: storage {key!r:.40} is not as its tensors say.")
    places[key] = file.tell()
    if file.seek(storages[key].num_bytes, os.SEEK_CUR) > total:
      raise _FaultError(
        f"a PyTorch checkpoint that is cut short, within storage {key!r:.40}. "
        "Download it again."
      )

  def read(storage: _Storage) -> bytes:
    file.seek(places[storage.key])
    return file.read(storage.num_bytes)

  return value, read


class _Unpickler(pickle.Unpickler):
  """Rebuilds tensors, and refuses everything else by name."""

  def __init__(self, data: bytes):
    super().__init__(io.BytesIO(data), encoding="utf-8")
    self.storages: dict[str, _Storage] = {}

  def find_class(self, module: str, name: str) -> Any:
    if module == "torch" and name in _DTYPES:
      return name
    accepted = {
      "collections.OrderedDict": collections.OrderedDict,
      "torch._utils._rebuild_tensor_v2": self._tensor,
      "torch._utils._rebuild_parameter": self._parameter,
    }
    if f"{module}.{name}" not in accepted:
      raise _FaultError(
        f"refused: its pickle refers to {module}.{name}, which is not part of a "
        "tensor. Nothing was executed. If you trust the file, load it with PyTorch and "
        "save only its state_dict()."
      )
    return accepted[f"{module}.{name}"]

  def persistent_load(self, pid: Any) -> _Storage:
    match pid:
      case ("storage", str(kind), str(key), _, int(size), *view) if (
        kind in _DTYPES and size >= 0 and all(part is None for part in view)
      ):
        storage = _Storage(key, kind, size)
        if self.storages.setdefault(key, storage) != storage:
          raise _FaultError(f"damaged: storage {key!r:.40} is described in two ways.")
        return storage
    raise _FaultError("its pickle describes a storage in a way unknown here.")

  def _tensor(
    self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any
  ) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)

  def _parameter(self, tensor: Any, *_: Any) -> Any:
    return tensor


def _unpickle(file: io.BufferedIOBase) -> tuple[Any, dict[str, _Storage]]:
  """The next pickle of a file, and the storages that it refers to."""
  start = file.tell()
  for opcode, argument, position in pickletools.genops(cast(IO[bytes], file)):
    # The memo is an array, so a single high index would exhaust the memory.
    if opcode.name not in ("PUT", "LONG_BINPUT"):
      continue
    assert argument is not None and position is not None
    if argument > position - start:
      raise _FaultError("damaged: its pickle's memo has gaps.")
  end = file.tell()
  file.seek(start)
  unpickler = _Unpickler(file.read(end - start))
  return unpickler.load(), unpickler.storages


def _state_dict(value: Any) -> dict[str, _Tensor]:
  """The tensors by name, at the top or under a wrapper key."""
  if not isinstance(value, dict):
    raise _FaultError(f"holds a {type(value).__name__}, expected a dict of tensors.")
  for candidate in (*(value.get(key) for key in _WRAPPERS), value):
    if isinstance(candidate, dict):
      tensors = {
        name: tensor
        for name, tensor in candidate.items()
        if isinstance(name, str) and isinstance(tensor, _Tensor)
      }
      if tensors:
        return tensors
  names = sorted(name[:40] for name in value if isinstance(name, str))[:8]
  raise _FaultError(
    f"holds no tensors, neither at its top (it has {names}) nor under {_WRAPPERS}."
  )


def _arrays(tensors: dict[str, _Tensor], read: _ReadStorage) -> dict[str, np.ndarray]:
  """Tensors as views of their storages, each of which is read once."""
  contents: dict[str, np.ndarray] = {}
  arrays = {}
  for name, tensor in tensors.items():
    storage = tensor.storage
    if not isinstance(storage, _Storage):
      raise _FaultError(f"tensor {name!r} has no storage.")
    if storage.key not in contents:
      contents[storage.key] = _content(storage, read)
    arrays[name] = _view(name, tensor, contents[storage.key])
  return arrays


def _content(storage: _Storage, read: _ReadStorage) -> np.ndarray:
  data = read(storage)
  if len(data) != storage.num_bytes:
    raise _FaultError(
      f"damaged: storage {storage.key!r:.40} has {len(data)} bytes, its tensors need "
      f"{storage.num_bytes}. Download it again."
    )
  array = np.frombuffer(data, storage.dtype)
  return array.astype(np.float32) if storage.kind == "BFloat16Storage" else array


def _view(name: str, tensor: _Tensor, content: np.ndarray) -> np.ndarray:
  shape, strides = tuple(tensor.shape), tuple(tensor.strides)
  numbers = (tensor.offset, *shape, *strides)
  if len(shape) != len(strides) or not all(
    isinstance(number, int) and 0 <= number < 2**62 for number in numbers
  ):
    raise _FaultError(f"damaged: shape and strides of {name!r} make no sense.")
  size = math.prod(shape)
  last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, strides))
  if size and (last >= content.size or size > content.size):
    raise _FaultError(f"damaged: {name!r} reaches beyond its storage.")
  return np.lib.stride_tricks.as_strided(
    content[tensor.offset :],
    shape,
    [step * content.itemsize for step in strides],
    writeable=False,
  )
