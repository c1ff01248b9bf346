import io

import numpy as np
import pytest
from PIL import Image

from vosjax.data.codecs import label_images

IDS = np.array([[0, 1, 1], [2, 3, 0]], np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def palette(ids: np.ndarray, colors: int = 4) -> Image.Image:
  """A palette image; the number of colours determines Pillow's bits per pixel."""
  image = Image.fromarray(ids)
  image.putpalette(np.random.default_rng(0).integers(0, 256, 3 * colors).tolist())
  return image


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_palette_labels_are_indices_whatever_the_depth(bits):
  data = encoded(palette(IDS, 2**bits))
  assert data[24] == bits  # bit depth in the PNG header
  np.testing.assert_array_equal(label_images.decode_labels(data, "m"), IDS)


def test_one_bit_palette_labels_are_indices():
  data = encoded(palette(np.minimum(IDS, 1), 2))
  assert data[24] == 1
  np.testing.assert_array_equal(
    label_images.decode_labels(data, "m"), np.minimum(IDS, 1)
  )


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "1"])
def test_black_and_white_masks_become_zero_and_one(mode):
  mask = Image.fromarray(np.where(IDS > 1, 255, 0).astype(np.uint8)).convert(mode)
  labels = label_images.decode_labels(encoded(mask), "m")
  np.testing.assert_array_equal(labels, IDS > 1)
  assert labels.dtype == np.uint8


def test_gray_ids_keep_their_values_and_void():
  ids = np.array([[0, 1, 255]], np.uint8)
  np.testing.assert_array_equal(
    label_images.decode_labels(encoded(Image.fromarray(ids)), "m"), ids
  )
  wide = Image.fromarray(ids.astype(np.uint16))
  np.testing.assert_array_equal(label_images.decode_labels(encoded(wide), "m"), ids)


def test_labels_other_than_ids_are_refused_with_the_remedy():
  colors = palette(IDS).convert("RGB")
  with pytest.raises(ValueError, match=r"m\.png: .*RGB colours.*palette mode"):
    label_images.decode_labels(encoded(colors), "m.png")
  with pytest.raises(ValueError, match=r"m\.png: object id 300 in a 16-bit"):
    label_images.decode_labels(
      encoded(Image.fromarray(np.array([[0, 300]], np.uint16))), "m.png"
    )
  soft = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
  with pytest.raises(ValueError, match=r"m\.png: 256 different gray values.*nearest"):
    label_images.decode_labels(encoded(soft), "m.png")
  with pytest.raises(ValueError, match=r"m\.jpg: a label map as JPEG"):
    label_images.decode_labels(encoded(soft, "JPEG"), "m.jpg")
