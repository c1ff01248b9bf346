"""`vosjax segment` with real models, very small and untrained, and their options."""

import functools

import jax
import numpy as np
import pytest
from PIL import Image

from vosjax import checkpoints, models
from vosjax.__main__ import main
from vosjax.cli import segment
from vosjax.inference.engine import VideoSegmenter

SIZE = (24, 34)
NAMES = [f"{index:05d}" for index in range(3)]
SMALL = {"backbone": "resnet18", "width": 4}
FIELDS = {
  "cosnet": SMALL
  | {
    "features": 8,
    "branch_features": 4,
    "rates": (1,),
    "size": None,
    "num_references": 1,
  },
  "ris": {"channels": 4, "num_convolutions": 2, "num_objects": 3},
  "rsis": SMALL | {"features": 16, "num_objects": 3, "num_classes": 3},
  "rvos": SMALL | {"features": 16, "num_objects": 3},
}
IMAGES = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
  """Makes the folder of an untrained model."""

  @functools.cache
  def make(name, **fields):
    fields |= FIELDS[name]
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
      lambda leaf: np.abs(rng.normal(0, 0.1, leaf.shape)).astype(leaf.dtype),
      checkpoints.variable_shapes(models.build(name, **fields)),
    )
    folder = tmp_path_factory.mktemp(name) / "model"
    checkpoints.save(folder, name, fields, variables)
    return folder

  return make


@pytest.fixture
def frames(tmp_path):
  folder = tmp_path / "video"
  folder.mkdir()
  for name, pixels in zip(NAMES, IMAGES):
    Image.fromarray(pixels).save(folder / f"{name}.png")
  return folder


def vosjax(*arguments):
  return main(["segment", *map(str, arguments)])


@pytest.mark.parametrize(("name", "num_ids"), [("cosnet", 1), ("ris", 3)])
def test_zero_shot_models_need_no_mask(name, num_ids, checkpoint, frames, tmp_path):
  out = tmp_path / "out"
  weights = ("--model", name, "--checkpoint", checkpoint(name))
  assert vosjax(frames, *weights, "--out", out) == 0
  labels = [np.asarray(Image.open(out / f"{name}.png")) for name in NAMES]
  assert np.shape(labels) == (3, *SIZE)
  assert set(np.unique(labels)) <= set(range(num_ids + 1))
  assert (out / "overlay.mp4").exists()


@pytest.mark.parametrize("name", FIELDS)
def test_every_model_is_loaded_from_its_checkpoint(name, checkpoint):
  segmenter, found = segment.load_segmenter(checkpoint(name), name)
  assert found == name
  assert not segmenter.one_shot


def test_the_crf_refines_the_mask_of_a_video_of_one_frame(checkpoint, frames, tmp_path):
  out = tmp_path / "out"
  for name in NAMES[1:]:
    (frames / f"{name}.png").unlink()
  weights = checkpoint("cosnet")
  assert vosjax(frames, "--checkpoint", weights, "--out", out, "--crf") == 0
  assert [path.name for path in out.glob("*.png")] == ["00000.png"]
  assert set(np.unique(Image.open(out / "00000.png"))) <= {0, 1}


def test_options_of_cosnet_reach_the_segmenter(
  checkpoint, frames, tmp_path, monkeypatch
):
  seen = []

  class Watched(VideoSegmenter):
    one_shot = True  # so that the command asks for a mask and ends

    def __init__(self, model, variables, **options):
      seen.append({"fusion": model.fusion, **options})

  monkeypatch.setattr(segment, "VideoSegmenter", Watched)
  command = (frames, "--checkpoint", checkpoint("cosnet"), "--out", tmp_path / "out")
  options = "--references all --reference-policy random --fusion joint --seed 3"
  assert vosjax(*command, *options.split()) == 2
  assert vosjax(*command, "--references", 7) == 2
  chosen, default = seen
  assert chosen == {
    "references": "all",
    "reference_policy": "random",
    "fusion": "joint",
    "seed": 3,
  }
  assert default == {
    "references": 7,
    "reference_policy": "uniform",
    "fusion": "summary",  # the checkpoint's own
    "seed": 0,
  }


def error_line(capsys, *arguments):
  """The one line that a failing command prints."""
  assert vosjax(*arguments) == 2
  lines = capsys.readouterr().err.strip().splitlines()
  assert len(lines) == 1, lines
  return lines[0]


def test_options_that_a_model_does_not_have(checkpoint, frames, tmp_path, capsys):
  mask = tmp_path / "mask.png"
  Image.fromarray(np.eye(*SIZE, dtype=np.uint8)).save(mask)
  out = ("--out", tmp_path / "out")
  rvos = (frames, *out, "--checkpoint", checkpoint("rvos"))
  for options, message in [
    (("--references", "3"), "references is 3, but RVOS takes none"),
    (("--crf",), "not for those of rvos. Leave it out."),
    (("--fusion", "joint"), "--fusion is for cosnet's references; rvos takes none"),
    (("--mask", mask), "--mask is given, but this rvos is zero-shot"),
  ]:
    assert message in error_line(capsys, *rvos, *options)
  one_shot = checkpoint("rvos", one_shot=True)
  assert "--mask is missing: rvos" in error_line(
    capsys, frames, *out, "--checkpoint", one_shot
  )
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("count", ["8", "-1", "many"])
def test_references_out_of_range_are_refused(count, frames, tmp_path, capsys):
  with pytest.raises(SystemExit) as stop:
    vosjax(frames, "--out", tmp_path / "out", f"--references={count}")
  assert stop.value.code == 2
  assert f"{count!r} is neither 0 to 7 nor all" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("name", "official"),
  [
    ("cosnet", "vosjax convert cosnet FILE.pth --out DIR"),
    ("rvos", "vosjax convert rvos ENCODER.pth DECODER.pth --out DIR"),
    ("rsis", "vosjax convert rsis ENCODER.pth DECODER.pth --out DIR"),
    ("ris", None),
  ],
)
def test_without_checkpoint_it_says_how_to_get_one(
  name, official, frames, tmp_path, capsys
):
  text = error_line(capsys, frames, "--out", tmp_path / "out", "--model", name)
  assert f"--config=configs/{name}.py" in text
  assert ("vosjax convert" in text) == (official is not None)
  assert (official or "") in text
