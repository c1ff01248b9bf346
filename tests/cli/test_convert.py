"""`vosjax convert`: an official file becomes a checkpoint, or one line of error."""

import pathlib

import numpy as np
import pytest

from vosjax import checkpoints
from vosjax.__main__ import main
from vosjax.cli import convert as command
from vosjax.models.backbones.deeplab import DeepLab
from vosjax.models.backbones.resnet import ResNet

FILES = pathlib.Path(__file__).resolve().parents[1] / "golden" / "torch_files"


@pytest.fixture
def official(monkeypatch):
  """A torchvision ResNet-18 as if it had been read from any file."""
  state_dict = {}

  def unit(conv, norm, *shape):
    state_dict[f"{conv}.weight"] = np.full(shape, 0.5, np.float32)
    for leaf in ("weight", "bias", "running_mean", "running_var"):
      state_dict[f"{norm}.{leaf}"] = np.ones(shape[0], np.float32)

  unit("conv1", "bn1", 64, 3, 7, 7)
  for stage in range(1, 5):
    out = 32 * 2**stage
    for i in range(2):
      inputs = out // 2 if i == 0 and stage > 1 else out
      block = f"layer{stage}.{i}"
      unit(f"{block}.conv1", f"{block}.bn1", out, inputs, 3, 3)
      unit(f"{block}.conv2", f"{block}.bn2", out, out, 3, 3)
      if inputs != out:
        unit(f"{block}.downsample.0", f"{block}.downsample.1", out, inputs, 1, 1)
  monkeypatch.setattr(command.convert, "read_torch", lambda path: state_dict)
  return state_dict


def complaint(capsys, *arguments):
  """The one line that a failing command prints."""
  assert main(["convert", *map(str, arguments)]) == 2
  lines = capsys.readouterr().err.strip().splitlines()
  assert len(lines) == 1, lines
  return lines[0]


def test_a_resnet_is_recognised_and_saved(official, tmp_path, capsys):
  out = tmp_path / "out"
  assert main(["convert", "resnet", "any.pth", "--out", str(out)]) == 0
  assert "resnet (variant=resnet18), 11,176,512 parameters" in capsys.readouterr().out
  model, variables = checkpoints.load(out)
  assert (type(model), model.variant) == (ResNet, "resnet18")
  assert variables["params"]["stem"]["conv"]["kernel"].shape == (7, 7, 3, 64)


def test_a_deeplab_is_recognised_and_saved(official, tmp_path, capsys):
  for name in list(official):
    official[f"Scale.{name}"] = official.pop(name)
  units = {"conv": "bn_x", "bottleneck": "bn"}
  units |= {f"conv2d_{i}": f"bn_{i}" for i in range(4)}
  for conv, norm in units.items():
    size = 3 if conv in ("bottleneck", "conv2d_1", "conv2d_2", "conv2d_3") else 1
    shape = (512, 512, size, size) if conv != "bottleneck" else (256, 2560, 3, 3)
    official[f"Scale.layer5.{conv}.weight"] = np.zeros(shape, np.float32)
    official[f"Scale.layer5.{conv}.bias"] = np.ones(shape[0], np.float32)
    for leaf in ("weight", "bias", "running_mean", "running_var"):
      official[f"Scale.layer5.{norm}.{leaf}"] = np.ones(shape[0], np.float32)
  official["Scale.layer5.prelu.weight"] = np.float32([0.3])
  official["Scale.main_classifier.weight"] = np.ones((1, 256, 1, 1), np.float32)
  official["Scale.main_classifier.bias"] = np.float32([0.7])
  out = tmp_path / "out"
  assert main(["convert", "deeplab", "any.pth", "--out", str(out)]) == 0
  assert "deeplab (backbone=resnet18), 24," in capsys.readouterr().out
  model, variables = checkpoints.load(out)
  assert (type(model), model.backbone) == (DeepLab, "resnet18")
  params = variables["params"]
  assert params["resnet"]["stem"]["conv"]["kernel"][0, 0, 0, 0] == 0.5
  assert params["pyramid"]["activation"]["negative_slope"] == np.float32(0.3)
  assert params["saliency_head"]["bias"] == np.float32(0.7)


def test_an_existing_output_folder_is_refused(official, tmp_path, capsys):
  assert f"--out {tmp_path} exists" in complaint(
    capsys, "resnet", "any.pth", "--out", tmp_path
  )
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
  ("model", "file", "text"),
  [
    ("agame", "plain_zip.pth", "no rule for"),
    ("resnet", "plain_legacy.pth", "no ResNet"),
    ("deeplab", "plain_legacy.pth", "no ResNet"),
    ("agame", "hostile_zip.pth", "posix.system"),
    ("agame", "truncated_legacy.pth", "cut short"),
    ("agame", "not_a_checkpoint.pth", "web page"),
    ("agame", "none.pth", "No such file"),
  ],
)
def test_a_wrong_file_is_reported_in_one_line_and_nothing_is_written(
  tmp_path, capsys, monkeypatch, model, file, text
):
  monkeypatch.chdir(tmp_path)
  line = complaint(capsys, model, FILES / file, "--out", tmp_path / "out")
  assert text in line and file in line
  assert list(tmp_path.iterdir()) == []


def test_the_number_of_files_is_checked(tmp_path, capsys):
  line = complaint(capsys, "agame", "a.pth", "b.pth", "--out", tmp_path / "out")
  assert "agame comes in one file; 2 given" in line


def test_help_shows_an_example(capsys):
  with pytest.raises(SystemExit) as caught:
    main(["convert", "--help"])
  assert caught.value.code == 0
  assert "vosjax convert resnet resnet101" in capsys.readouterr().out
