"""Pictures that nothing decodes before they are used."""

import numpy as np
import pytest
from PIL import Image

from vosjax.data.formats.davis import DavisFolder
from vosjax.data.formats.stills import Still, read_saliency
from vosjax.data.lazy_images import Pictures, as_image, change_each
from vosjax.data.records.videos import EncodedFrame, PreparedVideo
from vosjax.data.transforms.affine import ClipView
from vosjax.data.video import frame_size, picture, read_clip


def counted(shape):
  """Pictures of which each is full of its number, and the numbers that were read."""
  read = []

  def make(t):
    read.append(t)
    return np.full(shape[1:], t, np.uint8)

  return Pictures(make, shape), read


def test_each_is_read_when_it_is_used_and_not_before():
  pictures, read = counted((3, 4, 6))
  assert pictures.shape == (3, 4, 6) and len(pictures) == 3 and read == []
  assert pictures[1].tolist() == np.full((4, 6), 1).tolist() and read == [1]
  read.clear()
  array = np.asarray(pictures)
  assert array.shape == (3, 4, 6) and array.dtype == np.uint8 and read == [0, 1, 2]
  np.testing.assert_array_equal(array[:, 0, 0], [0, 1, 2])
  assert len(list(pictures)) == 3
  np.testing.assert_array_equal(pictures[-1], array[2])
  with pytest.raises(IndexError):
    pictures[3]


def test_a_change_waits_for_the_picture_too():
  pictures, read = counted((3, 4, 6))
  changed = change_each(pictures, lambda t, x: x[:2, :3] + np.uint8(10 * t), (2, 3))
  assert changed.shape == (3, 2, 3) and read == []
  np.testing.assert_array_equal(
    np.asarray(changed), np.full((3, 2, 3), [[[0]], [[11]], [[22]]])
  )
  assert read == [0, 1, 2]


def test_channels_stay_when_the_size_changes():
  pictures, _ = counted((2, 4, 6, 3))
  small = change_each(pictures, lambda _, x: as_image(x).resize((3, 2)), (2, 3))
  assert small.shape == np.asarray(small).shape == (2, 2, 3, 3)
  assert isinstance(small.read(0), Image.Image)


def test_arrays_are_changed_at_once():
  array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
  changed = change_each(array, lambda t, x: x + np.uint8(t))
  assert isinstance(changed, np.ndarray)
  np.testing.assert_array_equal(changed, array + np.arange(2)[:, None, None])


class Video:
  """Frames are full of their number; labels as told."""

  name, frame_names = "v", ("0", "1", "2")

  def __init__(self, labels):
    self.annotations = labels
    self.asked = []

  def __len__(self):
    return 3

  def frame(self, index):
    self.asked.append(("frame", index))
    return np.full((2, 3, 3), index, np.uint8)

  def labels(self, index):
    self.asked.append(("labels", index))
    return self.annotations[index]


def test_frames_without_annotation_are_void_wherever_they_are():
  one = np.ones((2, 3), np.uint8)
  for annotations in ([None, one, None], [one, None, one], [None, None, None]):
    labels = np.asarray(read_clip(Video(annotations), 0, 3)["labels"])
    expected = [255 if x is None else 1 for x in annotations]
    np.testing.assert_array_equal(labels[:, 0, 0], expected)
    assert labels.shape == (3, 2, 3)


def test_a_clip_asks_its_video_for_each_picture_once():
  video = Video([np.ones((2, 3), np.uint8)] * 3)
  clip = read_clip(video, 1, 2)
  assert video.asked == [("labels", 1)]
  np.testing.assert_array_equal(np.asarray(clip["frames"])[:, 0, 0, 0], [1, 2])
  np.asarray(clip["labels"])
  assert sorted(video.asked) == sorted(
    [*zip(["frame"] * 2, [1, 2]), ("labels", 1), ("labels", 2)]
  )


def test_a_video_may_offer_more_than_it_must():
  video = Video([None] * 3)
  assert frame_size(video) == (2, 3)
  np.testing.assert_array_equal(picture(video, 2), video.frame(2))
  video.picture = lambda index: Image.new("RGB", (3, 2), (index, 0, 0))
  video.size = (7, 8)
  assert picture(video, 2).getpixel((0, 0)) == (2, 0, 0)
  assert frame_size(video) == (7, 8)


def test_videos_of_files_offer_pictures_and_know_their_size_undecoded(davis):
  folder = DavisFolder(str(davis))[1]
  stored = tuple(
    EncodedFrame(path.stem, path.read_bytes(), b"") for path in folder.frame_files
  )
  videos = [
    folder,
    ClipView(folder, tuple(range(6))),
    PreparedVideo("v", stored, "here"),
  ]
  for video in videos:
    assert isinstance(picture(video, 2), Image.Image)
    np.testing.assert_array_equal(picture(video, 2), folder.frame(2))
    np.testing.assert_array_equal(video.frame(2), folder.frame(2))
  assert folder.size == videos[2].size == (24, 32)
  still = Still("s", folder.frame_files[2], {}, read_saliency, "here")
  np.testing.assert_array_equal(picture(still, 0), folder.frame(2))
  broken = PreparedVideo("v", (EncodedFrame("0", b"no JPEG", b""),), "here")
  with pytest.raises(ValueError, match="here: v/0: not a whole picture"):
    frame_size(broken)
