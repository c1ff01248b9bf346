import numpy as np
import pytest
from PIL import Image

from vosjax.media.read import read_video


def test_animated_webp(tmp_path):
  path = tmp_path / "v.webp"
  images = [Image.new("RGB", (34, 24), (gray,) * 3) for gray in (10, 60, 110, 160)]
  images[0].save(
    path, save_all=True, append_images=images[1:], duration=[40, 80, 40, 40], quality=95
  )
  video = read_video(path)
  assert video.size == (24, 34) and video.frame_names[-1] == "00003"
  np.testing.assert_allclose(video.times, [0, 0.04, 0.12, 0.16])
  assert video.frames_per_second == pytest.approx(20)
  for index in (3, 1, 0):
    assert abs(float(video[index].mean()) - (10 + 50 * index)) < 3
  path.write_bytes(path.read_bytes()[:-30])
  with pytest.raises(ValueError, match=r"v\.webp: .*--allow-damaged|not a complete"):
    read_video(path)


def test_a_transparent_frame_is_refused_before_work_starts(tmp_path):
  path = tmp_path / "v.webp"
  images = [
    Image.new("RGBA", (34, 24), (9, 9, t, 255 - 90 * (t > 1))) for t in range(4)
  ]
  images[0].save(path, save_all=True, append_images=images[1:], lossless=True)
  with pytest.raises(ValueError, match=r"v\.webp: frame 2: a partly transparent"):
    read_video(path)
