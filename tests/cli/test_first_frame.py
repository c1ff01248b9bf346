import numpy as np
import pytest
from PIL import Image

from vosjax.__main__ import main


@pytest.fixture
def frames(tmp_path):
  folder = tmp_path / "frames"
  folder.mkdir()
  for number in range(4):
    Image.new("RGB", (34, 24), (50 * number,) * 3).save(folder / f"{number:05d}.png")
  return folder


@pytest.mark.parametrize(
  ("arguments", "number"), [((), 0), (("--frame", "2"), 2), (("--frame", "0.05s"), 1)]
)
def test_a_frame_is_saved_as_it_is(arguments, number, frames, tmp_path, capsys):
  out = tmp_path / "first.png"
  assert main(["first-frame", str(frames), str(out), *arguments]) == 0
  assert (np.asarray(Image.open(out)) == 50 * number).all()
  lines = capsys.readouterr().out.splitlines()
  assert lines[0] == f"{frames}: 4 frames of 34x24, 24 frames/s, PNG"
  assert lines[1].startswith(f"{out}: frame {number:05d}, 0.")
  hints = [line.partition(":")[0] for line in lines[2:]]
  assert hints == ([f"Name its mask {number:05d}.png"] if number else [])


def test_the_name_of_the_frame_needs_no_hint(frames, tmp_path, capsys):
  out = tmp_path / "00002.png"
  assert main(["first-frame", str(frames), str(out), "--frame", "2"]) == 0
  assert "Name its mask" not in capsys.readouterr().out


@pytest.mark.parametrize(
  ("name", "frame", "said"),
  [
    ("first.jpg", "0", "give it a name ending in .png"),
    ("painted.png", "0", "painted.png: exists, and may be painted"),
    ("first.png", "4", "--frame 4 is beyond the last frame of"),
    ("first.png", "9", "frame 9 is beyond the end"),
    ("first.png", "x", "'x' is neither"),
  ],
)
def test_what_cannot_be_saved_is_refused(name, frame, said, frames, tmp_path, capsys):
  painted = tmp_path / "painted.png"
  painted.write_bytes(b"mine")
  assert main(["first-frame", str(frames), str(tmp_path / name), "--frame", frame]) == 2
  error = capsys.readouterr().err
  assert said in error and len(error.splitlines()) == 1
  assert painted.read_bytes() == b"mine"
  assert not (tmp_path / "first.png").exists()
