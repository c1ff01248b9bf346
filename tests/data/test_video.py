"""What every video and every source offers, whatever its format."""

import numpy as np
import pytest
from PIL import Image

from vosjax.data.cache import InMemory
from vosjax.data.formats.davis import DavisFolder
from vosjax.data.formats.stills import Still, StillSource, read_saliency
from vosjax.data.records.videos import EncodedFrame, PreparedVideo
from vosjax.data.synthvos import SynthVos
from vosjax.data.video import Video, read_clip
from vosjax.data.views import EveryFrame, SuccessiveClips


class Minimal(Video):
  """A video with the required members only."""

  name = "v"

  def __init__(self, *annotations):
    self.annotations = annotations

  def __len__(self):
    return len(self.annotations)

  def frame(self, index):
    if not 0 <= index < len(self):
      raise IndexError(index)
    return np.full((2, 3, 3), index, np.uint8)

  def labels(self, index):
    return self.annotations[index]


ONE = np.ones((2, 3), np.uint8)


def test_a_video_is_a_sequence_of_its_frames():
  video = Minimal(ONE, None)
  assert [frame[0, 0, 0] for frame in video] == [0, 1]
  np.testing.assert_array_equal(video[1], video.frame(1))


def test_defaults_of_a_video():
  video = Minimal(ONE, None)
  assert video.frame_names == ("00000", "00001")
  assert video.size == (2, 3)
  assert video.annotated_frames == (0, 1)
  assert video.classes == {} and video.categories == {}


@pytest.mark.parametrize(
  "annotations", [(None, ONE, None), (ONE, None, ONE), (None, None, None)]
)
def test_frames_without_annotation_are_void_in_a_clip(annotations):
  clip = read_clip(Minimal(*annotations), 0, 3)
  expected = [255 if labels is None else 1 for labels in annotations]
  np.testing.assert_array_equal(clip["labels"][:, 0, 0], expected)
  assert clip["labels"].shape == (3, 2, 3)
  assert clip["labels"].dtype == clip["frames"].dtype == np.uint8


def test_a_clip_has_the_frames_from_its_start_and_is_named_after_it():
  clip = read_clip(Minimal(ONE, ONE, 2 * ONE), 1, 2)
  assert clip["name"] == "v/00001"
  np.testing.assert_array_equal(clip["frames"][:, 0, 0, 0], [1, 2])
  np.testing.assert_array_equal(clip["labels"][:, 0, 0], [1, 2])


def test_files_tell_size_and_annotated_frames_undecoded(davis):
  (davis / "Annotations/480p/video1/00002.png").unlink()
  folder = DavisFolder(str(davis), sparse=True)[1]
  noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
  for path in folder.frame_files:
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:1000])  # header and half of the image
  stored = tuple(
    EncodedFrame(path.stem, path.read_bytes(), b"" if t == 2 else b"png")
    for t, path in enumerate(folder.frame_files)
  )
  for video in (folder, PreparedVideo("v", stored, "here")):
    assert video.size == (24, 32)
    assert video.annotated_frames == (0, 1, 3, 4, 5)
    with pytest.raises(ValueError, match="not a complete image"):
      video.frame(0)
  broken = PreparedVideo("v", (EncodedFrame("0", b"no JPEG", b""),), "here")
  with pytest.raises(ValueError, match="here: v/0: not a complete image"):
    _ = broken.size


def test_sources_know_their_folder_and_what_is_generated_has_none(davis):
  folder = DavisFolder(str(davis))
  generated = SynthVos(0, 1, size=(32, 32), length=1)
  still = Still("s", davis / "s.jpg", {}, read_saliency, "there")
  views = SuccessiveClips(folder, 2), EveryFrame(folder)
  assert {source.origin for source in (folder, *views)} == {str(davis)}
  assert StillSource((still,)).origin == "there"
  assert generated.origin is None and InMemory(generated).origin is None
  assert InMemory(folder).origin == str(davis)


def test_folders_know_the_lengths_of_their_videos(davis):
  lengths = DavisFolder(str(davis)).num_frames
  assert lengths == {f"video{v}": 6 for v in range(4)}
  assert SynthVos(0, 1, size=(32, 32), length=1).num_frames is None
