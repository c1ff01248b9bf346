import io
import sys

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


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_images_are_turned_as_exif_says(kind, orientation, tmp_path):
  """Sizes are read from the header, and agree with what is decoded."""
  stored = np.zeros((16, 32, 3), np.uint8)
  stored[:8], stored[:, :16, 0] = 120, 250
  exif = Image.Exif()
  exif[0x0112] = orientation
  options = {"quality": 100} if kind in ("JPEG", "WEBP") else {}
  path = tmp_path / "frame"
  path.write_bytes(encoded(Image.fromarray(stored), kind, exif=exif, **options))
  # EXIF 2.3, "Orientation": where row 0 and column 0 of the stored image are shown.
  shown = {
    1: stored,
    2: stored[:, ::-1],
    3: stored[::-1, ::-1],
    4: stored[::-1],
    5: stored.transpose(1, 0, 2),
    6: np.rot90(stored, -1),
    7: stored[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(stored),
  }[orientation]
  assert images.image_size(path) == shown.shape[:2]
  assert np.abs(images.read_image(path) - shown.astype(float)).mean() < 4  # lossy


@pytest.mark.parametrize(
  ("largest", "bits"), [(0, 16), (255, 8), (1760, 12), (16383, 14), (29855, 16)]
)
def test_the_bits_that_a_camera_used(largest, bits):
  assert images.significant_bits(largest) == bits


def test_16_bits_are_scaled_to_8_and_never_wrap_around():
  values = np.array([[0, 2048, 4095, 65535]], np.uint16)
  np.testing.assert_array_equal(images.to_8_bits(values, 12), [[0, 128, 255, 255]])
  every = np.arange(65536, dtype=np.uint16)[None]
  expected = (every.astype(np.uint32) + 128) // 257
  np.testing.assert_array_equal(images.to_8_bits(every, 16), expected)


def test_heic_needs_a_package(monkeypatch):
  monkeypatch.setitem(sys.modules, "pillow_heif", None)
  data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
  with pytest.raises(ValueError, match=r"f\.heic: .*Run `pip install pillow-heif`"):
    images.decode_image(data, "f.heic")
  with pytest.raises(ValueError, match=r"f\.heic: .*Run `pip install pillow-heif`"):
    images.encoded_size(data, "f.heic")


@pytest.mark.filterwarnings("ignore")  # Pillow's, about the same
@pytest.mark.parametrize("kind", ["BMP", "AVIF", "TIFF", "PNG"])
def test_corrupt_headers_are_named_whatever_pillow_raises(kind):
  """A size of terabytes, fields of wrong types, chunks that end early."""
  data = encoded(Image.new("RGB", (16, 16)), kind)
  rng = np.random.default_rng(0)
  for _ in range(60):
    corrupt = bytearray(data)
    for position in rng.integers(0, min(len(data), 150), 4):
      corrupt[position] = rng.integers(256)
    for read in (images.decode_image, images.encoded_size):
      try:
        read(bytes(corrupt), "f.img")
      except ValueError as error:
        assert str(error).startswith("f.img: ")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_corrupt_exif_does_not_hide_an_image():
  exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\xff\xff\xff"
  data = encoded(Image.new("RGB", (32, 16)), "JPEG", exif=exif)
  assert images.decode_image(data, "f").shape == (16, 32, 3)
  assert images.encoded_size(data, "f") == (16, 32)


@pytest.mark.parametrize(
  "look", [images.image_size, images.is_16_bit_gray, images.is_16_bit_color]
)
def test_a_header_of_a_monstrous_image_is_refused_by_name(tmp_path, look):
  path = tmp_path / "a.webp"
  Image.new("RGB", (24, 16)).save(
    path, save_all=True, append_images=[Image.new("RGB", (24, 16), "red")]
  )
  content = bytearray(path.read_bytes())
  content[24:30] = b"\xff" * 6  # the size of the canvas
  path.write_bytes(content)
  with pytest.raises(ValueError, match=r"a\.webp: not a complete image"):
    look(path)
