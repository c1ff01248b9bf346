"""Label maps, and what is told from files that are none."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from vosjax.data.codecs import label_images
from vosjax.labels import palette as davis_colors

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


def discs(ids=(1, 2), size=(96, 144), radius=20) -> np.ndarray:
  """One disc per id, far from the border."""
  labels = np.zeros(size, np.uint8)
  rows, columns = np.mgrid[: size[0], : size[1]]
  for number, i in enumerate(ids):
    x = size[1] * (number + 0.5) / len(ids)
    labels[(rows - size[0] / 2) ** 2 + (columns - x) ** 2 < radius**2] = i
  return labels


def halved(values: np.ndarray, how=Image.Resampling.BILINEAR) -> np.ndarray:
  """Blends values along their borders, as resizing does."""
  image = Image.fromarray(values)
  return np.asarray(image.resize((image.width // 2, image.height // 2), how))


def decode(image: Image.Image, kind="PNG", **options):
  return label_images.decode_mask(encoded(image, kind, **options), "m")


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
  for image in (Image.fromarray(ids), Image.fromarray(ids.astype(np.uint16))):
    found = decode(image)
    np.testing.assert_array_equal(found.labels, ids)
    assert not found.note


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


@pytest.mark.parametrize("how", ["BILINEAR", "BOX", "BICUBIC", "LANCZOS"])
@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_soft_edges_of_one_object_are_thresholded(how, mode):
  mask = discs((1,)) * np.uint8(255)
  soft = Image.fromarray(halved(mask, Image.Resampling[how])).convert(mode)
  found = decode(soft)
  np.testing.assert_array_equal(found.labels, np.asarray(soft.convert("L")) > 127)
  assert found.note == "soft edges thresholded at 50 %"


@pytest.mark.parametrize("kind, options", [("JPEG", {}), ("WEBP", {"quality": 60})])
def test_lossy_compression_of_one_object_is_undone(kind, options):
  mask = discs((1,))
  found = decode(Image.fromarray(mask * np.uint8(255)), kind, **options)
  assert np.count_nonzero(found.labels != mask) < 20
  assert found.note == "soft edges thresholded at 50 %"


def test_noise_around_two_values_is_no_object():
  mask = discs((254,))
  rng = np.random.default_rng(0)
  mask[(rng.random(mask.shape) < 0.03) & (mask == 0)] = 2
  np.testing.assert_array_equal(decode(Image.fromarray(mask)).labels, discs((1,)))


def test_a_blended_id_stays_that_id():
  found = decode(Image.fromarray(halved(discs((5,)))))
  assert set(np.unique(found.labels)) == {0, 5} and found.note


@pytest.mark.parametrize(
  ("interior", "rims"), [(2, (1,)), (3, (2, 1)), (200, (100,)), (240, (160, 80))]
)
@pytest.mark.parametrize("mode", ["L", "P"])
def test_objects_that_line_another_one_are_not_taken_for_soft_edges(
  interior, rims, mode
):
  labels = discs((interior,))
  for i in rims:
    labels[(labels == 0) & ndimage.binary_dilation(labels > 0)] = i
  image = Image.fromarray(labels)
  if mode == "P":
    image.putpalette(davis_colors().tobytes())
  named = " and ".join(map(str, sorted(rims)))
  with pytest.raises(ValueError, match=f"m: {named} only at the border of object"):
    decode(image)


def test_colours_that_line_another_one_are_not_taken_for_soft_edges():
  labels = discs((1,))
  labels[(labels == 0) & ndimage.binary_dilation(labels > 0)] = 8
  with pytest.raises(ValueError, match=r"\(64, 0, 0\) only at the border of others"):
    decode(Image.fromarray(davis_colors()[labels]))


@pytest.mark.parametrize("ids", [(1, 2), (2, 3), (100, 200), (60, 120, 255)])
@pytest.mark.parametrize("mode", ["L", "P"])
def test_blended_borders_of_several_objects_are_refused(ids, mode):
  image = Image.fromarray(halved(discs(ids, (96, 288), radius=40)))
  if mode == "P":
    image.putpalette(davis_colors().tobytes())
  with pytest.raises(ValueError, match="m: several gray values .*nearest neighbour"):
    decode(image)


def test_maps_of_probabilities_are_refused():
  soft = ndimage.gaussian_filter(discs((255,)).astype(float), 12).astype(np.uint8)
  noise = np.random.default_rng(0).integers(0, 40, soft.shape, dtype=np.uint8)
  for values in (soft, noise, soft + noise):
    with pytest.raises(ValueError, match="soft or interpolated"):
      decode(Image.fromarray(values))
  with pytest.raises(ValueError, match="fractions.*Threshold it"):
    decode(Image.fromarray(soft / np.float32(255)), "TIFF")


def lines(ids, number, size=(96, 144)):
  """Lines of one pixel, all over the image."""
  labels = np.zeros(size, np.uint8)
  rng = np.random.default_rng(1)
  for line in range(number):
    start, end = rng.integers(0, size, (2, 2))
    for part in np.linspace(0, 1, 300):
      labels[tuple(np.rint(start + part * (end - start)).astype(int))] = ids[
        line % len(ids)
      ]
  return labels


def scattered(ids, number, largest, size=(96, 144)):
  """Rectangles of one to `largest` pixels, all over the image."""
  labels = np.zeros(size, np.uint8)
  rng = np.random.default_rng(2)
  for part in range(number):
    y, x, h, w = rng.integers(0, (*size, largest, largest))
    labels[y : y + h + 1, x : x + w + 1] = ids[part % len(ids)]
  return labels


@pytest.mark.parametrize("mode", ["L", "P"])
@pytest.mark.parametrize(
  "labels",
  [
    lines(range(1, 9), 20),
    lines((3, 7, 40, 200), 20),
    scattered(range(1, 60), 300, 4),
    scattered((7, 19, 200), 100, 8),
    np.maximum(discs((1,), radius=30), discs((2,), radius=15)),  # one within the other
    np.where(discs((1,), radius=30) > 0, 1, 255 * (discs((1,), radius=32) > 0)),
    discs((7, 200)),
  ],
  ids=["lines", "lines-gaps", "small", "gaps", "nested", "void-rim", "two"],
)
def test_small_thin_and_nested_objects_stay_as_they_are(labels, mode):
  image = Image.fromarray(labels.astype(np.uint8))
  if mode == "P":
    image.putpalette(davis_colors().tobytes())
  found = decode(image)
  np.testing.assert_array_equal(found.labels, labels)
  assert not found.note


def test_colours_of_usual_palettes_are_ids():
  labels = discs((1, 2, 8))
  image = Image.fromarray(davis_colors()[labels])
  found = decode(image)
  np.testing.assert_array_equal(found.labels, labels)
  assert found.note == "ids by the colours of DAVIS"
  youtube = np.array([(0, 0, 0), (236, 95, 103), (249, 145, 87)], np.uint8)
  found = decode(Image.fromarray(youtube[discs()]))
  np.testing.assert_array_equal(found.labels, discs())


def test_blended_colours_are_one_object_or_refused():
  def shrunk(labels):
    colors = Image.fromarray(davis_colors()[labels])
    return colors.resize((72, 48), Image.Resampling.BOX)

  found = decode(shrunk(discs((1,))))  # (64, 0, 0) between is the colour of object 8
  assert set(np.unique(found.labels)) == {0, 1} and "soft edges" in found.note
  with pytest.raises(ValueError, match="colours, of which some only blend others"):
    decode(shrunk(discs()))


def test_a_small_object_of_another_colour_is_not_lost_in_a_soft_edge():
  labels = discs((1,), radius=30)
  labels[10:20, 10:20] = 2
  colors = Image.fromarray(np.uint8([BLACK, (128, 0, 0), (0, 128, 0)])[labels])
  with pytest.raises(ValueError, match="colours, of which some only blend others"):
    decode(colors.resize((53, 36), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_photo_also_one_painted_over_is_called_one(tmp_path, suffix):
  rng = np.random.default_rng(0)
  coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
  photo = np.array(coarse.resize((160, 120), Image.Resampling.BICUBIC))
  photo[40:80, 50:100] = 255, 0, 0
  path = tmp_path / f"frame{suffix}"
  Image.fromarray(photo).save(path)
  expected = r"frame\.\w+: a picture of \d+ colours, such as a photo, a frame of the"
  with pytest.raises(ValueError, match=expected):
    label_images.read_mask(path)
  with pytest.raises(ValueError, match=expected):
    label_images.count_border_colors(path.read_bytes(), str(path))


def test_alpha_counts_where_colour_says_nothing():
  mask = discs((1,))
  rgba = np.full((*mask.shape, 4), 255, np.uint8)
  rgba[:, :, 3] *= mask
  erased = np.where(mask[..., None] > 0, rgba, 0).astype(np.uint8)
  black = rgba * np.array([0, 0, 0, 1], np.uint8)
  for pixels in (rgba, erased, black):
    found = decode(Image.fromarray(pixels))
    np.testing.assert_array_equal(found.labels, mask)
    assert found.note == "the object is what is opaque (alpha)"
  black[:, :, 3] = 255 - black[:, :, 3]
  with pytest.raises(ValueError, match="surrounds the rest"):
    decode(Image.fromarray(black))


def test_colour_and_alpha_must_not_disagree():
  labels = discs()
  alpha = (labels > 0) * np.uint8(255)
  rgba = np.dstack([davis_colors()[labels], alpha])
  np.testing.assert_array_equal(decode(Image.fromarray(rgba)).labels, labels)
  rgba[:, :, 3] = (labels == 1) * np.uint8(255)
  rgba[60:70, 30:90, 3] = 255
  with pytest.raises(ValueError, match="colour and alpha channel show different"):
    decode(Image.fromarray(rgba))


def test_colour_tables_in_another_order_are_read_by_colour():
  labels = discs()
  image = Image.fromarray(np.array([2, 1, 0], np.uint8)[labels])
  image.putpalette([0, 128, 0, 128, 0, 0, 0, 0, 0])
  found = decode(image)
  np.testing.assert_array_equal(found.labels, labels)
  assert found.note == "colour table in another order, read by colour"
  image = Image.fromarray((labels == 0).view(np.uint8))
  image.putpalette([255, 255, 255, 0, 0, 0])  # white first, as GIMP may write it
  np.testing.assert_array_equal(decode(image).labels, labels > 0)
  image = Image.fromarray((labels > 0).view(np.uint8))
  image.putpalette([255, 255, 255, 0, 0, 0])
  with pytest.raises(ValueError, match="unclear which colour is the background"):
    decode(image)


def paint(values, colors):
  """A palette image with these colours as the first entries of its table."""
  image = Image.fromarray(values.astype(np.uint8))
  image.putpalette(np.array(colors, np.uint8).reshape(-1).tolist())
  return image


BLACK, RED, BLUE, WHITE = (0, 0, 0), (255, 0, 0), (0, 0, 255), (255, 255, 255)


@pytest.mark.parametrize(
  "image",
  [
    paint(np.choose(discs(), (3, 0, 2)), (BLACK, RED, BLUE, WHITE)),
    paint(np.choose(discs(), (3, 1, 2)), (BLACK, RED, BLUE, WHITE)),
    paint(np.choose(discs(), (1, 0, 2)), (RED, BLUE, WHITE)),
    paint(discs(), (WHITE, RED, BLUE)).convert("RGB").convert("P"),  # of 256 colours
    Image.fromarray(np.array([WHITE, (236, 95, 103)], np.uint8)[discs((1,))]),
  ],
  ids=["black-object", "no-index-0", "red-paper", "web", "youtube"],
)
def test_a_background_other_than_index_0_is_refused(image):
  with pytest.raises(ValueError, match="surrounds the rest, but is not that of the"):
    decode(image)


def test_a_background_at_another_black_index_is_read_by_colour():
  red, green = davis_colors()[1:3].tolist()
  image = paint(np.choose(discs(), (3, 1, 2)), (BLACK, red, green, BLACK))
  np.testing.assert_array_equal(decode(image).labels, discs())


def test_large_objects_with_a_colour_table_of_their_own_stay_as_they_are():
  labels = np.ones((96, 144), np.uint8)
  labels[:, :20], labels[30:60, 60:90] = 0, 2
  for colors in ((BLACK, RED, BLUE), (BLUE, RED, WHITE)):
    np.testing.assert_array_equal(decode(paint(labels, colors)).labels, labels)
  labels[:] = labels > 0
  np.testing.assert_array_equal(decode(paint(labels, (BLACK, WHITE))).labels, labels)


def test_gray_of_a_usual_palette_is_the_same_id_without_other_colours():
  both = decode(Image.fromarray(davis_colors()[discs((7, 8))]))
  alone = decode(Image.fromarray(davis_colors()[discs((7,))]))
  assert set(np.unique(both.labels)) == {0, 7, 8}
  assert set(np.unique(alone.labels)) == {0, 7} and alone.table == {7: (128, 128, 128)}
  assert alone.note == "ids by the colours of DAVIS"


@pytest.mark.parametrize("green", [(0, 128, 0), (44, 160, 44), (153, 199, 148)])
@pytest.mark.parametrize("red", [(128, 0, 0), (31, 119, 180), (250, 200, 99)])
def test_dithered_masks_are_refused(red, green):
  colors = Image.fromarray(np.uint8([BLACK, red, green])[discs(radius=30)])
  with pytest.raises(ValueError, match="dithering"):
    decode(colors.convert("P"))


def test_a_small_object_with_soft_edges_is_not_lost_beside_a_large_one():
  labels = discs((160,)) + 80 * np.roll(discs((1,), radius=5), 50, axis=1)
  soft = ndimage.gaussian_filter(labels.astype(np.uint8), 1.5)
  with pytest.raises(ValueError, match=r"several gray values \(\d+, 160\)"):
    decode(Image.fromarray(soft))


def test_objects_resized_with_overshoot_and_few_colours_are_refused():
  image = Image.fromarray(discs((60, 120), (96, 288), radius=30))
  few = image.resize((432, 144), Image.Resampling.LANCZOS).quantize(8)
  with pytest.raises(ValueError, match="several gray values"):
    decode(few)


@pytest.mark.parametrize(
  "values",
  [
    discs((1,)).astype(np.uint16) * 65535,
    discs((1,)).astype(np.int32),
    discs((1,)).astype(np.float32),
  ],
  ids=["16 bits", "32 bits", "fractions"],
)
def test_deep_masks_of_one_object(values):
  kind = "PNG" if values.dtype == np.uint16 else "TIFF"
  np.testing.assert_array_equal(
    decode(Image.fromarray(values), kind).labels, discs((1,))
  )


def test_numpy_arrays_are_label_maps(tmp_path):
  for array in (discs(), discs().astype(int), discs() > 0):
    np.save(tmp_path / "m.npy", array)
    np.testing.assert_array_equal(label_images.read_labels(tmp_path / "m.npy"), array)
  np.save(tmp_path / "m.npy", np.zeros((3, 2, 2), np.uint8))
  with pytest.raises(ValueError, match=r"m\.npy: an array of shape \(3, 2, 2\)"):
    label_images.read_labels(tmp_path / "m.npy")
  content = (tmp_path / "m.npy").read_bytes().replace(b"}", b" ")
  (tmp_path / "m.npy").write_bytes(content)
  with pytest.raises(ValueError, match=r"m\.npy: not a complete NumPy array"):
    label_images.read_labels(tmp_path / "m.npy")
  np.save(tmp_path / "m.npy", np.array([{}], dtype=object), allow_pickle=True)
  with pytest.raises(ValueError, match=r"m\.npy: not a complete NumPy array"):
    label_images.read_labels(tmp_path / "m.npy")


def test_masks_are_turned_upright_as_their_metadata_says():
  labels = discs((1, 2))
  image = Image.fromarray(np.rot90(labels, 2).copy())
  image.putpalette(davis_colors().tobytes())
  exif = Image.Exif()
  exif[0x0112] = 3
  np.testing.assert_array_equal(decode(image, exif=exif).labels, labels)


def test_files_of_several_images_are_refused():
  image = Image.fromarray(discs())
  other = Image.fromarray(discs()[::-1].copy())
  with pytest.raises(ValueError, match="m: 2 images in one file"):
    decode(image, "TIFF", save_all=True, append_images=[other])
