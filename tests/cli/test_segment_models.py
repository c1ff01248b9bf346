"""`vosjax segment` with every model, real but very small and untrained."""

import jax
import numpy as np
import pytest
from PIL import Image

from vosjax import checkpoints, models
from vosjax.__main__ import main
from vosjax.cli import segment
from vosjax.inference import refinement
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.frame_result import FrameResult
from vosjax.media import read

SIZE = (24, 34)
NAMES = [f"{index:05d}" for index in range(4)]
SMALL = {"backbone": "resnet18", "width": 4}
FIELDS = {
  "cosnet": SMALL | {"features": 8, "branch_features": 4, "rates": (1,), "size": None},
  "ris": {"channels": 4, "num_convolutions": 2, "num_objects": 3},
  "rsis": SMALL | {"features": 16, "num_objects": 3, "num_classes": 3},
  "rvos": SMALL | {"features": 16, "num_objects": 3},
}
COLOURS = np.random.default_rng(0).integers(0, 256, (4, *SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
  """Makes the folder of a model that knows nothing."""
  folders = {}

  def make(name, **fields):
    key = name, *fields
    if key not in folders:
      fields |= FIELDS[name]
      rng = np.random.default_rng(0)
      variables = jax.tree.map(
        lambda leaf: np.abs(rng.normal(0, 0.1, leaf.shape)).astype(leaf.dtype),
        checkpoints.variable_shapes(models.build(name, **fields)),
      )
      folders[key] = tmp_path_factory.mktemp(name) / "model"
      checkpoints.save(folders[key], name, fields, variables)
    return folders[key]

  return make


@pytest.fixture
def frames(tmp_path):
  folder = tmp_path / "video"
  folder.mkdir()
  for name, pixels in zip(NAMES, COLOURS):
    Image.fromarray(pixels).save(folder / f"{name}.png")
  return folder


def vosjax(*arguments):
  return main(["segment", *map(str, arguments)])


def masks(out):
  return np.stack([np.asarray(Image.open(out / f"{name}.png")) for name in NAMES])


@pytest.mark.parametrize("name", FIELDS)
def test_zero_shot_models_need_no_mask(name, checkpoint, frames, tmp_path):
  out = tmp_path / "out"
  weights = ("--model", name, "--checkpoint", checkpoint(name))
  assert vosjax(frames, *weights, "--out", out) == 0
  found = masks(out)
  assert found.shape == (4, *SIZE)
  assert set(np.unique(found)) <= set(range(2 if name == "cosnet" else 4))
  assert (out / "overlay.mp4").exists()


@pytest.mark.parametrize(
  "options",
  [
    ("--references", "0"),
    ("--references", "all"),
    ("--references", "2", "--reference-policy", "consecutive"),
    ("--references", "7", "--reference-policy", "random", "--seed", "3"),
  ],
)
def test_references_are_chosen_by_option(options, checkpoint, frames, tmp_path):
  code = vosjax(
    frames, "--checkpoint", checkpoint("cosnet"), "--out", tmp_path / "out", *options
  )
  assert code == 0


def test_the_fusion_of_references_is_chosen_by_option(
  checkpoint, frames, tmp_path, monkeypatch
):
  used = []

  class Watched(VideoSegmenter):
    def __init__(self, model, *args, **options):
      used.append(model.fusion)
      super().__init__(model, *args, **options)

  monkeypatch.setattr(segment, "VideoSegmenter", Watched)
  weights = (frames, "--checkpoint", checkpoint("cosnet"))
  assert vosjax(*weights, "--out", tmp_path / "a", "--fusion", "prediction") == 0
  assert vosjax(*weights, "--out", tmp_path / "b") == 0
  assert used == ["prediction", "summary"]


def test_a_video_of_one_frame(checkpoint, frames, tmp_path):
  for name in NAMES[1:]:
    (frames / f"{name}.png").unlink()
  out = tmp_path / "out"
  assert vosjax(frames, "--checkpoint", checkpoint("cosnet"), "--out", out) == 0
  assert [path.name for path in out.glob("*.png")] == ["00000.png"]


@pytest.mark.parametrize("mode", ["L", "I;16", "RGBA", "P"])
def test_frames_of_other_modes(mode, checkpoint, frames, tmp_path):
  """Whatever has one meaning in 8 bits is taken."""
  for index, name in enumerate(NAMES):
    grey = Image.fromarray(COLOURS[index, :, :, 0])
    if mode == "I;16":
      grey = Image.fromarray(COLOURS[index, :, :, 0].astype(np.uint16) * 257)
    else:
      grey = grey.convert(mode)
    grey.save(frames / f"{name}.png")
  out = tmp_path / "out"
  assert vosjax(frames, "--checkpoint", checkpoint("cosnet"), "--out", out) == 0
  assert masks(out).shape == (4, *SIZE)


def test_a_film_gives_the_same_as_its_frames_in_any_order(tmp_path):
  from vosjax.media.write import video_writer

  path = tmp_path / "film.mp4"
  with video_writer(path, SIZE, 25.0) as write:
    for value in (0, 60, 120, 180, 240):
      write(np.full((*SIZE, 3), value, np.uint8))
  film = read.open_video(path)
  for index in (1, 3, 4, 4, 0, 2):
    assert int(film[index].mean().round(-1)) == 60 * index
  with pytest.raises(IndexError):
    film[5]


def test_a_broken_frame_of_a_film_is_broken_whenever_it_is_asked_for(
  tmp_path, monkeypatch
):
  from vosjax.media.write import video_writer

  path = tmp_path / "film.mp4"
  with video_writer(path, SIZE, 25.0) as write:
    for value in (0, 60, 120, 180, 240):
      write(np.full((*SIZE, 3), value, np.uint8))
  film = read.open_video(path)
  decode = read.VideoFile.decode

  def faulty(film):
    for index, frame in enumerate(decode(film)):
      if index == 3:
        raise ValueError("frame 3 is broken")
      yield frame

  monkeypatch.setattr(read.VideoFile, "decode", faulty)
  for _ in range(2):
    with pytest.raises(ValueError, match="frame 3 is broken"):
      film[3]
    assert int(film[2].mean().round(-1)) == 120


def test_one_shot_rvos_follows_its_mask(checkpoint, frames, tmp_path):
  mask = np.zeros(SIZE, np.uint8)
  mask[4:9, 5:20] = 255
  Image.fromarray(mask).save(tmp_path / "davis2016.png")
  out = tmp_path / "out"
  code = vosjax(
    frames,
    "--mask",
    tmp_path / "davis2016.png",
    "--out",
    out,
    "--checkpoint",
    checkpoint("rvos", one_shot=True),
  )
  assert code == 0
  np.testing.assert_array_equal(masks(out)[0], mask == 255)


def test_the_crf_moves_masks_to_edges():
  frame = np.zeros((*SIZE, 3), np.uint8)
  frame[:, 17:] = 250
  labels = np.zeros(SIZE, np.int32)
  labels[:, 19:] = 1  # two pixels short
  probs = np.full(SIZE, 0.1, np.float32)
  probs[:, 17:19], probs[:, 19:] = 0.45, 0.9
  result = FrameResult(frame, labels, (1,), probs[None, None], (0,))
  found = refinement.refine_labels(result)
  np.testing.assert_array_equal(found, frame[..., 0] > 0)
  flat = FrameResult(frame, labels, (1,), np.full((1, 1, *SIZE), 0.5, np.float32), (0,))
  np.testing.assert_array_equal(refinement.refine_labels(flat), labels)


def test_the_crf_follows_cosnet(checkpoint, frames, tmp_path):
  out = tmp_path / "out"
  for name in NAMES[1:]:  # each frame has a lattice of its own to compile
    (frames / f"{name}.png").unlink()
  weights = checkpoint("cosnet")
  assert vosjax(frames, "--checkpoint", weights, "--out", out, "--crf") == 0
  assert set(np.unique(Image.open(out / "00000.png"))) <= {0, 1}


def complaint(capsys, *arguments):
  """The one line that a failing command says."""
  assert vosjax(*arguments) == 2
  lines = capsys.readouterr().err.strip().splitlines()
  assert len(lines) == 1, lines
  return lines[0]


def test_options_that_a_model_does_not_have(checkpoint, frames, tmp_path, capsys):
  mask = tmp_path / "mask.png"
  Image.fromarray(np.eye(*SIZE, dtype=np.uint8)).save(mask)
  out = ("--out", tmp_path / "out")
  rvos = (frames, *out, "--checkpoint", checkpoint("rvos"))
  assert "references is 3, but RVOS takes none" in complaint(
    capsys, *rvos, "--references", "3"
  )
  assert "not for those of rvos" in complaint(capsys, *rvos, "--crf")
  assert "--fusion is for cosnet's references; rvos takes none" in complaint(
    capsys, *rvos, "--fusion", "joint"
  )
  assert "--mask is given, but this rvos is zero-shot" in complaint(
    capsys, *rvos, "--mask", mask
  )
  one_shot = checkpoint("rvos", one_shot=True)
  assert "--mask is missing: rvos" in complaint(
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
def test_a_missing_checkpoint_says_where_to_get_one(
  name, official, frames, tmp_path, capsys
):
  text = complaint(capsys, frames, "--out", tmp_path / "out", "--model", name)
  assert f"--config=configs/{name}.py" in text
  assert ("vosjax convert" in text) == (official is not None)
  assert (official or "") in text
