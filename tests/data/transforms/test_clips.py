import dataclasses

import numpy as np
import pytest

from vosjax.data.formats.davis import DavisFolder
from vosjax.data.transforms import clips
from vosjax.data.video import Clip, Video


@dataclasses.dataclass
class Frames(Video):
  """A video in memory that remembers which frames were decoded."""

  annotations: list
  name: str = "memory"

  def __post_init__(self):
    self.frame_names = tuple(str(t) for t in range(len(self.annotations)))
    self.decoded = []

  def __len__(self):
    return len(self.annotations)

  def frame(self, index):
    self.decoded.append(index)
    return np.full((12, 20, 3), index, np.uint8)

  def labels(self, index):
    return self.annotations[index]


def with_object(pixels: int, label: int = 1) -> np.ndarray:
  labels = np.zeros((12, 20), np.uint8)
  labels.reshape(-1)[:pixels] = label
  return labels


def clip(labels: np.ndarray, seed: int = 0) -> Clip:
  frames = np.random.default_rng(seed).integers(0, 256, (*labels.shape, 3), np.uint8)
  return Clip(frames=frames, labels=labels, name="c")


def draws(transform, element, count=200):
  return [transform.random_map(element, np.random.default_rng(i)) for i in range(count)]


def test_clips_start_uniformly_where_an_object_shows_and_enough_frames_follow():
  video = Frames(
    [
      with_object(101),
      with_object(100),
      None,
      with_object(240),
      with_object(150, label=255),
      with_object(150),
      with_object(150),
    ]
  )
  starts = [c["frames"][0][0, 0, 0] for c in draws(clips.SampleClip(3), video)]
  assert set(starts) == {0, 3}  # 1: too small, 2: none, 4: void, 5 and 6: too late
  assert 70 < starts.count(0) < 130


def test_a_clip_is_consecutive_named_and_decodes_only_its_frames():
  video = Frames([with_object(0), with_object(150), None, with_object(150, 3)])
  sampled = clips.SampleClip(2).random_map(video, np.random.default_rng(0))
  assert sampled["name"] == "memory/1" and video.decoded == [1, 2]
  np.testing.assert_array_equal(sampled["frames"][:, 0, 0, 0], [1, 2])
  np.testing.assert_array_equal(sampled["labels"][0], video.annotations[1])
  assert (sampled["labels"][1] == 255).all()


def test_videos_that_are_too_short_or_empty_are_skipped():
  rng = np.random.default_rng(0)
  short = Frames([with_object(150)] * 2)
  assert clips.SampleClip(3).random_map(short, rng) is None
  assert clips.SampleClip(1).random_map(Frames([with_object(9)]), rng) is None


def test_one_large_enough_object_becomes_one_and_all_else_background():
  labels = np.zeros((2, 10, 20), np.uint8)
  labels[0, :2], labels[0, 2:4], labels[0, 4, :5], labels[0, 5:8] = 2, 7, 9, 255
  labels[1] = 255
  labels[1, 0, :3] = 7
  results = draws(clips.ChooseObject(25), clip(labels))
  chosen = {tuple(np.unique(labels[0][r["labels"][0] == 1])) for r in results}
  assert chosen == {(2,), (7,)}  # 9 is too small, 255 is no object
  assert all(r["labels"].max() == 1 for r in results)
  both = [r["labels"] for r in results if r["labels"][1].any()]
  np.testing.assert_array_equal(both[0], labels == 7)
  assert (
    clips.ChooseObject(200).random_map(clip(labels), np.random.default_rng(0)) is None
  )


def test_flip_mirrors_columns_of_frames_and_labels_half_of_the_time():
  original = clip(np.arange(24, dtype=np.uint8).reshape(1, 4, 6))
  results = draws(clips.RandomFlip(), original)
  flipped = [r for r in results if r is not original]
  assert 70 < len(flipped) < 130
  np.testing.assert_array_equal(flipped[0]["labels"][0, 0], [5, 4, 3, 2, 1, 0])
  np.testing.assert_array_equal(
    flipped[0]["frames"][0, 2, 0], original["frames"][0, 2, 5]
  )


def zoomed_by_hand(image: np.ndarray, scale: float, nearest: bool) -> np.ndarray:
  """Half-pixel bilinear with clamped edges, or nearest, then the centre."""
  out = image.astype(np.float64)
  for axis in (0, 1):
    size = image.shape[axis]
    enlarged = int(np.floor(size * scale))
    kept = np.arange((enlarged - size) // 2, (enlarged + size) // 2)
    at = (kept + 0.5) * size / enlarged - 0.5
    if nearest:
      out = np.take(out, np.floor(at + 0.5).astype(int), axis)
      continue
    at = np.clip(at, 0, size - 1)
    low = np.floor(at).astype(int)
    part = (at - low).reshape((-1,) + (1,) * (out.ndim - 1 - axis))
    out = (
      np.take(out, low, axis) * (1 - part)
      + np.take(out, np.minimum(low + 1, size - 1), axis) * part
    )
  return out


class Fixed(np.random.Generator):
  """A generator that returns given values."""

  def __init__(self, *values):
    super().__init__(np.random.PCG64(0))
    self.values = list(values)

  def random(self):
    return self.values.pop(0)


def test_zoom_scales_frame_l_by_g_to_the_power_l_plus_one():
  # Odd sizes: no sample lies half-way between two pixels.
  original = clip(np.random.default_rng(1).integers(0, 4, (3, 21, 31), np.uint8))
  zoom = clips.RandomZoom()
  assert zoom.random_map(original, Fixed(0.5)) is original
  result = zoom.random_map(original, Fixed(0.49, 0.8))
  for t in range(3):
    scale = 1.08 ** (t + 1)
    np.testing.assert_allclose(
      result["frames"][t],
      zoomed_by_hand(original["frames"][t], scale, False),
      atol=1.01,
    )
    np.testing.assert_array_equal(
      result["labels"][t], zoomed_by_hand(original["labels"][t], scale, True)
    )


def test_resize_averages_frames_and_never_mixes_labels():
  labels = np.kron(np.array([[5, 9], [0, 200]]), np.ones((3, 3)))[None].astype(np.uint8)
  result = clips.Resize((2, 2)).random_map(clip(labels), np.random.default_rng(0))
  np.testing.assert_array_equal(result["labels"][0], [[5, 9], [0, 200]])
  checks = (np.indices((8, 8)).sum(0) % 2 * 255).astype(np.uint8)
  frames = np.repeat(checks[None, ..., None], 3, axis=3)
  element = Clip(frames=frames, labels=np.zeros((1, 8, 8), np.uint8), name="c")
  small = clips.Resize((2, 2)).random_map(element, np.random.default_rng(0))
  assert abs(small["frames"].astype(int) - 128).max() < 20  # antialiased


@pytest.mark.parametrize("size", [(4, 6)])
def test_resize_to_the_same_size_changes_nothing(size):
  original = clip(np.zeros((1, *size), np.uint8))
  assert clips.Resize(size).random_map(original, np.random.default_rng(0)) is original


def test_videos_of_another_size_are_skipped(davis):
  video = DavisFolder(str(davis))[0]
  rng = np.random.default_rng(0)
  assert clips.RequireSize((24, 32)).random_map(video, rng) is video
  assert clips.RequireSize((32, 24)).random_map(video, rng) is None
  decoded = Frames([None])
  assert clips.RequireSize((12, 20)).random_map(decoded, rng) is decoded
