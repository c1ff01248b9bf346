import io

import numpy as np
import pytest
from PIL import Image

from vosjax.data.codecs import images, label_images


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def test_frames_of_every_kind_become_rgb():
  gray = np.array([[0, 100, 255]], np.uint8)
  expected = np.repeat(gray[..., None], 3, axis=2)
  image = Image.fromarray(gray)
  for mode in ("L", "RGB", "RGBA", "LA", "P"):
    np.testing.assert_array_equal(
      images.decode_image(encoded(image.convert(mode)), "f"), expected
    )
  deep = Image.fromarray(gray.astype(np.uint16) * 257)
  np.testing.assert_array_equal(images.decode_image(encoded(deep), "f"), expected)


def test_transparent_frames_are_refused():
  image = Image.new("RGBA", (2, 2), (9, 9, 9, 100))
  with pytest.raises(ValueError, match=r"f\.png: a partly transparent image"):
    images.decode_image(encoded(image), "f.png")


def test_broken_files_are_named(tmp_path):
  path = tmp_path / "broken.jpg"
  noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
  path.write_bytes(encoded(Image.fromarray(noise), "JPEG")[:600])
  with pytest.raises(ValueError, match=r"broken\.jpg: not a complete image"):
    images.read_image(path)
  path.write_text("not an image")
  for read in (images.read_image, label_images.read_labels, images.image_size):
    with pytest.raises(ValueError, match=r"broken\.jpg: not a complete image"):
      read(path)
  with pytest.raises(ValueError, match=r"a\.jpg: not a complete image"):
    images.encoded_size(path.read_bytes(), "a.jpg")
  cut = encoded(Image.fromarray(noise))[:20]  # in the middle of the header
  with pytest.raises(ValueError, match=r"a\.png: not a complete image"):
    images.encoded_size(cut, "a.png")
  for read in (label_images.read_labels, images.image_size):
    with pytest.raises(FileNotFoundError, match=r"absent\.png"):
      read(tmp_path / "absent.png")
