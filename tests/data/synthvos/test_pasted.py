"""Pasted videos: objects cut along their masks, as a function of seed and index."""

import pickle

import numpy as np
import pytest
from PIL import Image

from vosjax.data.formats.stills import StillsFolder, StillSource
from vosjax.data.synthvos.pasted import PastedVos, cut_out
from vosjax.data.video import Source, Video

SIZE = (48, 80)


@pytest.fixture
def folders(tmp_path):
  """Objects are red discs on green; backgrounds are blue and of any shape."""
  objects, backgrounds = tmp_path / "Imgs", tmp_path / "voc"
  objects.mkdir()
  backgrounds.mkdir()
  y, x = np.mgrid[:60, :70]
  for k, radius in enumerate((12, 20, 25)):
    mask = (y - 30) ** 2 + (x - 30 - 3 * k) ** 2 < radius**2
    image = np.where(mask[..., None], (220, 10 * k, 0), (0, 220, 0)).astype(np.uint8)
    Image.fromarray(image).save(objects / f"{k}.jpg", quality=95, subsampling=0)
    Image.fromarray(mask.astype(np.uint8) * 255).save(objects / f"{k}.png")
  for k, shape in enumerate(((30, 90), (90, 30))):
    image = np.zeros((*shape, 3), np.uint8)
    image[..., 2] = np.linspace(120, 255, shape[1], dtype=np.uint8)
    Image.fromarray(image).save(backgrounds / f"{k}.jpg")
    Image.new("L", shape[::-1]).save(backgrounds / f"{k}.png")
  return str(objects), str(backgrounds)


@pytest.fixture
def source(folders):
  objects, backgrounds = (StillsFolder(folder, folder) for folder in folders)
  return PastedVos(objects, backgrounds, 3, 8, size=SIZE, length=6)


def test_videos_depend_on_seed_and_index_alone(source, folders):
  assert isinstance(source, Source) and isinstance(source[0], Video)
  again = pickle.loads(pickle.dumps(source))
  frames, labels = source[4].clip(0, 6)
  np.testing.assert_array_equal(again[4].clip(2, 3)[0], frames[2:5])
  np.testing.assert_array_equal(again[4].labels(5), labels[5])
  assert (source[5].frame(0) != frames[0]).any()
  other = PastedVos(source.objects, source.backgrounds, 4, 8, size=SIZE, length=6)
  assert (other[4].frame(0) != frames[0]).any()


def test_labels_lie_on_the_objects(source):
  for index in range(len(source)):
    frames, labels = source[index].clip(0, 6)
    red = frames[..., 0] > 130
    agree = red & (labels > 0)
    assert agree.sum() > 0.93 * (red | (labels > 0)).sum()
    # The green that surrounds the objects in their images is not pasted.
    assert (frames[..., 1] > 120).mean() < 0.01
    assert 0 < labels.max() <= 5 and sorted(set(np.unique(labels[0])) - {0}) == list(
      range(1, labels[0].max() + 1)
    )


def test_objects_move_and_the_background_stays(source):
  moved = []
  for index in range(len(source)):
    frames, labels = source[index].clip(0, 6)
    moved.append((labels[0] != labels[5]).mean())
    never = (labels == 0).all(axis=0)
    far = np.lib.stride_tricks.sliding_window_view(np.pad(never, 2), (5, 5)).all(
      axis=(2, 3)
    )
    np.testing.assert_array_equal(frames[0][far], frames[5][far])
  assert np.mean(moved) > 0.02


def test_objects_travel_the_farther_the_faster_they_are(source):
  def travel(speed):
    videos = PastedVos(
      source.objects,
      source.backgrounds,
      1,
      8,
      size=SIZE,
      length=6,
      max_objects=1,
      speed=speed,
    )
    ways = []
    for index in range(len(videos)):
      _, labels = videos[index].clip(0, 6)
      start, end = (np.argwhere(labels[t] == 1).mean(axis=0) for t in (0, 5))
      ways.append(np.hypot(*(end - start)))
    return np.mean(ways)

  assert 2 < travel(1.0) < 0.8 * travel(2.0)
  assert travel(1e-6) < 0.5


def test_one_to_max_objects_are_pasted(source):
  counts = {video.labels(0).max() for video in source}
  assert min(counts) == 1 and max(counts) >= 3
  one = PastedVos(
    source.objects, source.backgrounds, 3, 6, size=SIZE, length=1, max_objects=1
  )
  assert {video.labels(0).max() for video in one} == {1}


def test_a_cut_out_has_the_requested_size_and_the_outline_of_the_mask():
  mask = np.zeros((40, 50), bool)
  mask[10:30, 5:45] = True
  part = cut_out(np.full((40, 50, 3), 51, np.uint8), mask, 20.0)
  inside = part.outline > 0
  rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
  assert (len(rows), len(columns)) == (14, 28)  # area 20 * 20, sides 1 : 2
  assert part.origin == rows[0] * 1j + 7j + columns[0] + 14  # its centre
  assert (part.colours == 51).all()
  assert part.outline[rows[0], 15] == 0.5 and part.outline[rows[0] - 1, 15] == -0.5


def test_unusable_sources_and_arguments_are_named(folders):
  objects, backgrounds = (StillsFolder(folder, folder) for folder in folders)
  with pytest.raises(ValueError, match="objects: 100 images in a row without a mask"):
    _ = PastedVos(backgrounds, backgrounds, 0, 1, size=SIZE, length=1)[0]
  with pytest.raises(ValueError, match="backgrounds: an empty source"):
    PastedVos(objects, StillSource(()), 0, 1, size=SIZE, length=1)
  for fields in ({"size": (8, 80)}, {"length": 0}, {"max_objects": 0}):
    with pytest.raises(ValueError, match=next(iter(fields))):
      PastedVos(objects, backgrounds, 0, 1, **({"size": SIZE, "length": 1} | fields))
  with pytest.raises(IndexError, match="video 1 of 1"):
    _ = PastedVos(objects, backgrounds, 0, 1, size=SIZE, length=1)[1]
