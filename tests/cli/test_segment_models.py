"""`vosjax segment` with real models, very small and untrained, and their options."""

import functools

import av  # noqa: F401  the command writes overlays with it
import numpy as np
import pytest
from PIL import Image

from vosjax import checkpoints
from vosjax.__main__ import main
from vosjax.cli import segment
from vosjax.inference.engine import VideoSegmenter

SIZE = (32, 48)
NAMES = [f"{index:05d}" for index in range(5)]
IMAGES = np.random.default_rng(0).integers(0, 256, (5, *SIZE, 3), np.uint8)
ZERO_SHOT = ("cosnet", "ris", "rsis", "rvos")


@pytest.fixture(scope="module")
def checkpoint(small, small_fields, tiny, tmp_path_factory):
  """Makes the folder of an untrained model."""

  @functools.cache
  def make(name):
    _, variables = tiny if name == "agame" else small(name)
    folder = tmp_path_factory.mktemp(name) / "model"
    checkpoints.save(folder, name, small_fields[name], variables)
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


def read_labels(out):
  return np.stack([np.asarray(Image.open(out / f"{name}.png")) for name in NAMES])


def save_mask(path, **rows):
  """A mask in which each object is a band of rows, named `id_...`."""
  labels = np.zeros(SIZE, np.uint8)
  for name, (begin, end) in rows.items():
    labels[begin:end, 8:40] = int(name.removeprefix("id_"))
  Image.fromarray(labels).save(path)
  return labels


def test_one_shot_models_take_late_objects(checkpoint, frames, tmp_path):
  masks, out = tmp_path / "masks", tmp_path / "out"
  masks.mkdir()
  first = save_mask(masks / "00000.png", id_7=(4, 14))
  save_mask(masks / "00002.png", id_2=(16, 22), id_3=(24, 30))
  weights = ("--model", "agame", "--checkpoint", checkpoint("agame"))
  assert vosjax(frames, "--mask", masks, "--out", out, *weights) == 0
  labels = read_labels(out)
  np.testing.assert_array_equal(labels[0], first)
  assert set(np.unique(labels[1])) <= {0, 7}
  assert set(np.unique(labels[2:])) <= {0, 2, 3, 7}


@pytest.mark.parametrize(("name", "num_ids"), [("cosnet", 1), ("ris", 4)])
def test_zero_shot_models_need_no_mask(name, num_ids, checkpoint, frames, tmp_path):
  out = tmp_path / "out"
  weights = ("--model", name, "--checkpoint", checkpoint(name))
  assert vosjax(frames, *weights, "--out", out) == 0
  labels = read_labels(out)
  assert labels.shape == (5, *SIZE)
  assert set(np.unique(labels)) <= set(range(num_ids + 1))
  assert (out / "overlay.mp4").exists()


@pytest.mark.parametrize("name", ZERO_SHOT)
def test_every_model_is_loaded_from_its_checkpoint(name, checkpoint):
  segmenter, found = segment.load_segmenter(checkpoint(name), name)
  assert found == name
  assert not segmenter.one_shot


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
    "dtype": "float32",
    "references": "all",
    "reference_policy": "random",
    "fusion": "joint",
    "seed": 3,
  }
  assert default == {
    "dtype": "float32",
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
  ris = (frames, *out, "--checkpoint", checkpoint("ris"))
  for options, message in [
    (("--references", "3"), "references is 3, but RIS takes none"),
    (("--crf",), "it does not apply to ris. Leave it out."),
    (("--fusion", "joint"), "--fusion combines cosnet's references; ris has none"),
    (("--mask", mask), "--mask is given, but this ris is zero-shot"),
  ]:
    assert message in error_line(capsys, *ris, *options)
  assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_another_model_is_named(checkpoint, frames, tmp_path, capsys):
  weights = checkpoint("agame")
  text = error_line(
    capsys,
    *(frames, "--model", "cosnet", "--checkpoint", weights, "--out", tmp_path / "out"),
  )
  assert f"{weights}: holds a checkpoint of agame, not of cosnet" in text
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("count", ["8", "-1", "many"])
def test_references_out_of_range_are_refused(count, frames, tmp_path, capsys):
  with pytest.raises(SystemExit) as stop:
    vosjax(frames, "--out", tmp_path / "out", f"--references={count}")
  assert stop.value.code == 2
  assert f"{count!r} is neither a number from 0 to 7 nor all" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("name", "official"),
  [
    ("rvos", "vosjax convert rvos ENCODER.pth DECODER.pth --out DIR"),
    ("rsis", "vosjax convert rsis ENCODER.pth DECODER.pth --out DIR"),
    ("ris", None),
  ],
)
def test_without_checkpoint_it_says_how_to_get_one(
  name, official, frames, tmp_path, capsys
):
  text = error_line(capsys, frames, "--out", tmp_path / "out", "--model", name)
  assert f"`vosjax train {name} --workdir=DIR`" in text
  assert ("vosjax convert" in text) == (official is not None)
  assert (official or "") in text
