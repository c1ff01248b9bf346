"""What happens without PyAV, which is optional."""

import sys

import numpy as np
import pytest

from vosjax.media import outputs
from vosjax.media.read import read_video


@pytest.fixture
def without_pyav(monkeypatch):
  monkeypatch.setitem(sys.modules, "av", None)


def test_a_video_file_says_what_to_install(without_pyav, tmp_path):
  file = tmp_path / "video.mp4"
  file.write_bytes(b"")
  said = (
    r'video.mp4: video files need PyAV. Run `pip install "vosjax\[video\]"`, or give'
  )
  with pytest.raises(ValueError, match=said):
    read_video(file)


@pytest.mark.parametrize(
  ("kind", "module", "said"),
  [
    (
      "green",
      "av",
      r'green.mp4: videos need PyAV. Run `pip install "vosjax\[video\]"`',
    ),
    ("coco", "pycocotools", r'coco.json needs pycocotools. Run `pip install "vosjax\['),
  ],
)
def test_outputs_say_what_to_install_and_others_do_without(
  kind, module, said, monkeypatch, tmp_path
):
  monkeypatch.setitem(sys.modules, module, None)
  image, labels = np.zeros((6, 8, 3), np.uint8), np.ones((6, 8), np.int32)

  def write(*kinds):
    with outputs.open_outputs(
      kinds, tmp_path, video_name="toy", size=(6, 8), frames_per_second=25.0
    ) as out:
      out.write(0, "00000", image, labels, (1,))

  with pytest.raises(ValueError, match=said):
    write("masks", kind)
  assert not list(tmp_path.iterdir())
  write("masks", "objects", "probs", "results", "report", "youtube-vos")
  assert (tmp_path / "00000.png").exists() and (tmp_path / "report.html").exists()
