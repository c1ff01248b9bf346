"""Reading PyTorch files: exact values, and clean errors for everything else."""

import collections
import io
import os
import pathlib
import pickle
import struct
import zipfile

import numpy as np
import pytest

from vosjax.convert import read_torch

FILES = pathlib.Path(__file__).resolve().parents[1] / "golden" / "torch_files"


class Global:
  """Pickles as a call of any function, which need not exist."""

  def __init__(self, name, *args):
    self.name, self.args = name, args


class Pid:
  def __init__(self, *parts):
    self.parts = parts


class Pickler(pickle._Pickler):  # the Python one, which lets its opcodes be written
  def persistent_id(self, obj):
    return obj.parts if isinstance(obj, Pid) else None

  def save(self, obj, save_persistent_id=True):
    if not isinstance(obj, Global):
      return super().save(obj, save_persistent_id)
    module, _, name = obj.name.rpartition(".")
    self.write(b"c" + f"{module}\n{name}\n".encode())
    if obj.args:
      super().save(obj.args)
      self.write(b"R")
    return None


def dumps(value):
  buffer = io.BytesIO()
  Pickler(buffer, 2).dump(value)
  return buffer.getvalue()


def tensor(size=4, offset=0, shape=(4,), stride=(1,), kind="FloatStorage", key="0"):
  pid = Pid("storage", Global(f"torch.{kind}"), key, "cpu", size)
  return Global(
    "torch._utils._rebuild_tensor_v2",
    pid,
    offset,
    shape,
    stride,
    False,
    collections.OrderedDict(),
  )


def write_zip(path, content, storages=(), compression=zipfile.ZIP_STORED):
  data = content if isinstance(content, bytes) else dumps(content)
  with zipfile.ZipFile(path, "w", compression) as archive:
    archive.writestr("archive/data.pkl", data)
    for i, storage in enumerate(storages):
      archive.writestr(f"archive/data/{i}", storage)
  return path


def fault(path):
  with pytest.raises(ValueError, match="(?s).") as caught:
    read_torch(path)
  assert str(path) in str(caught.value)
  return str(caught.value)


@pytest.mark.parametrize(
  "file",
  [
    "plain_zip.pth",
    "plain_legacy.pth",
    "wrapped_zip.pth.tar",
    "wrapped_legacy.pth.tar",
  ],
)
def test_values_equal_those_that_pytorch_wrote(golden, file):
  expected = golden("torch_files/expected.json")
  arrays = read_torch(FILES / file)
  assert list(arrays) == list(expected)
  for name, entry in expected.items():
    dtype = "float32" if entry["dtype"] == "bfloat16" else entry["dtype"]
    values = np.array(entry["values"], dtype).reshape(entry["shape"])
    assert arrays[name].dtype == values.dtype
    np.testing.assert_array_equal(arrays[name], values, strict=True)


@pytest.mark.parametrize("wrapper", ["net", "state_dict", "model"])
def test_every_wrapper_key_takes_precedence_over_other_tensors(tmp_path, wrapper):
  numbers = np.arange(4, dtype=np.float32)
  content = {"optimizer": {"momentum": tensor()}, wrapper: {"w": tensor()}, "epoch": 3}
  arrays = read_torch(write_zip(tmp_path / "a.pth", content, [numbers.tobytes()]))
  assert list(arrays) == ["w"]
  np.testing.assert_array_equal(arrays["w"], numbers)


@pytest.mark.parametrize("file", ["hostile_zip.pth", "hostile_legacy.pth"])
def test_a_hostile_pickle_is_refused_by_name_and_not_executed(
  tmp_path, monkeypatch, file
):
  monkeypatch.chdir(tmp_path)
  assert "posix.system" in fault(FILES / file)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  "name",
  [
    "builtins.eval",
    "os.system",
    "torch.storage._load_from_bytes",
    "torch._utils.__builtins__",
    "numpy.core.multiarray._reconstruct",
    "collections.Counter",
    "vosjax.convert.torch_file.os.system",
  ],
)
def test_any_other_global_is_refused_by_name(tmp_path, name):
  content = {"w": tensor(), "x": Global(name, "1")}
  assert name in fault(write_zip(tmp_path / "a.pth", content, [bytes(16)]))


def test_every_truncation_of_a_file_is_an_error_that_names_it(tmp_path):
  for file in ("plain_zip.pth", "plain_legacy.pth"):
    whole = (FILES / file).read_bytes()
    for length in range(0, len(whole), 37):
      path = tmp_path / file
      path.write_bytes(whole[:length])
      fault(path)


@pytest.mark.parametrize(
  ("file", "word"),
  [
    ("truncated_zip.pth", "cut short"),
    ("truncated_legacy.pth", "cut short"),
    ("not_a_checkpoint.pth", "web page"),
  ],
)
def test_the_error_says_what_other_files_are(file, word):
  assert word in fault(FILES / file)


@pytest.mark.parametrize(
  ("content", "word"),
  [
    (b"", "empty"),
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x89HDF\r\n", "HDF5"),
    (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    (b"\x00" * 600, "not a PyTorch checkpoint"),
  ],
)
def test_other_kinds_of_files_are_recognised(tmp_path, content, word):
  path = tmp_path / "a.pth"
  path.write_bytes(content)
  assert word in fault(path)


@pytest.mark.parametrize(
  "wrong",
  [
    {"size": 5},
    {"size": 3},
    {"size": -1},
    {"size": 2**62},
    {"size": "4"},
    {"offset": 1},
    {"offset": -1},
    {"shape": (5,)},
    {"shape": (-1,)},
    {"shape": (2**40,), "stride": (0,)},
    {"shape": (2, 2), "stride": (2, 2)},
    {"stride": (-1,)},
    {"stride": (2**70,)},
    {"shape": (4, 1)},
    {"shape": "4"},
    {"shape": (1.5,)},
    {"kind": "DoubleStorage"},
    {"key": "7"},
    {"key": "../0"},
    {"key": b"0"},
  ],
  ids=str,
)
def test_a_view_must_fit_its_storage(tmp_path, wrong):
  storage = np.arange(4, dtype=np.float32).tobytes()
  fault(write_zip(tmp_path / "a.pth", {"w": tensor(**wrong)}, [storage]))


def test_a_zip_bomb_is_refused(tmp_path):
  size = 2**24
  content = {"w": tensor(size=size, shape=(size,))}
  path = tmp_path / "a.pth"
  write_zip(path, content, [bytes(4 * size)], zipfile.ZIP_DEFLATED)
  assert "does not compress" in fault(path)


def test_a_huge_memo_index_is_refused(tmp_path):
  hostile = b"\x80\x02}r" + struct.pack("<I", 2**32 - 1) + b"."
  assert "memo has gaps" in fault(write_zip(tmp_path / "a.pth", hostile))


def test_a_big_endian_file_is_refused(tmp_path):
  path = write_zip(tmp_path / "a.pth", {"w": tensor()}, [bytes(16)])
  with zipfile.ZipFile(path, "a") as archive:
    archive.writestr("archive/byteorder", "big")
  assert "big-endian" in fault(path)


def test_a_legacy_storage_must_have_the_size_that_its_tensors_state(tmp_path):
  data = (FILES / "plain_legacy.pth").read_bytes()
  sizes = struct.pack("<Q", 216)  # of the first storage, right before its numbers
  assert data.count(sizes) == 1
  path = tmp_path / "a.pth"
  path.write_bytes(data.replace(sizes, struct.pack("<Q", 215)))
  assert "not as its tensors say" in fault(path)


@pytest.mark.parametrize(
  "content",
  [[1, 2], {"epoch": 3}, {}, {"net": {"state_dict": {}}}, "text", None],
  ids=str,
)
def test_a_pickle_without_tensors_is_an_error(tmp_path, content):
  fault(write_zip(tmp_path / "a.pth", content))


def test_other_archives_and_encrypted_ones_are_errors(tmp_path):
  path = tmp_path / "a.zip"
  with zipfile.ZipFile(path, "w") as archive:
    archive.write(FILES / "plain_zip.pth", "plain_zip.pth")
  assert "not a PyTorch checkpoint" in fault(path)
  write_zip(path, {"w": tensor()}, [bytes(16)])
  data = bytearray(path.read_bytes())
  directory = data.index(b"PK\x01\x02")
  data[6] |= 1  # the flag of encryption, in both headers of the first member
  data[directory + 8] |= 1
  path.write_bytes(data)
  assert "encrypted" in fault(path)


def test_a_missing_file_is_a_file_not_found_error(tmp_path):
  with pytest.raises(FileNotFoundError):
    read_torch(tmp_path / "none.pth")


def test_tensors_of_one_storage_share_memory(tmp_path):
  content = {str(i): tensor(size=2**18, shape=(2**18,)) for i in range(200)}
  arrays = read_torch(write_zip(tmp_path / "a.pth", content, [bytes(2**20)]))
  assert os.path.getsize(tmp_path / "a.pth") < 2**21
  assert len({array.ctypes.data for array in arrays.values()}) == 1
