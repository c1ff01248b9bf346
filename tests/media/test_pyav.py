"""What happens without PyAV, which is optional."""

import sys

import pytest
from PIL import Image

from vosjax.__main__ import main
from vosjax.media.read import read_video


@pytest.fixture
def without_pyav(monkeypatch):
  monkeypatch.setitem(sys.modules, "av", None)


def test_a_video_file_says_what_to_install(without_pyav, tmp_path):
  file = tmp_path / "video.mp4"
  file.write_bytes(b"")
  said = r"video.mp4: video files need PyAV. Run `pip install vosjax\[video\]`, or give"
  with pytest.raises(ValueError, match=said):
    read_video(file)


def test_segment_says_it_in_one_line_before_any_work(without_pyav, tmp_path, capsys):
  frames, out = tmp_path / "frames", tmp_path / "out"
  frames.mkdir()
  Image.new("RGB", (48, 32)).save(frames / "00000.jpg")
  assert main(["segment", str(frames), "--out", str(out)]) == 2
  said = "vosjax: overlay videos need PyAV. Run `pip install vosjax[video]`.\n"
  assert capsys.readouterr().err == said
  assert not out.exists()
