from PIL import Image

from vosjax.media.masks import read_masks
from vosjax.media.read import read_video

SIZE = (24, 34)


def test_masks_are_read_by_the_name_of_their_frame(tmp_path):
  (tmp_path / "frames").mkdir()
  (tmp_path / "masks").mkdir()
  for number in range(3):
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "frames" / f"{number}.png")
  Image.new("L", SIZE[::-1], 7).save(tmp_path / "masks" / "1.png")
  video = read_video(tmp_path / "frames")
  masks = read_masks(tmp_path / "masks", video.frame_names, video.size)
  assert len(masks) == 3 and masks.name == str(tmp_path / "masks")
  assert masks.labels(0) is None and masks.labels(2) is None
  assert (masks.labels(1) == 7).all()
  first = read_masks(tmp_path / "masks" / "1.png", video.frame_names, video.size)
  assert (first.labels(0) == 7).all() and first.labels(1) is None
