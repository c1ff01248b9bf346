"""Mask files that are given one by one are of frames, or of objects, or refused."""

import pytest

from vosjax.media.mask_names import match_files

FRAMES = [f"{t:05d}" for t in range(60)]
NAMED = [f"frame_{t:04d}" for t in range(1, 61)]


@pytest.mark.parametrize(
  ("names", "frame_names", "frames"),
  [
    ("first 00012", FRAMES, [0, 12]),
    ("00000 12", FRAMES, [0, 12]),
    ("mask_00010 mask_00020", FRAMES, [10, 20]),
    ("00001 00002", FRAMES, [1, 2]),
    ("frame_0001 frame_0050", FRAMES, [1, 50]),
    ("frame_0001 frame_0050", NAMED, [0, 49]),
    ("frame_0001_mask frame_0050_mask", NAMED, [0, 49]),
    ("dog 7", NAMED, [0, 6]),
  ],
)
def test_names_of_frames_are_matched_as_in_a_folder(names, frame_names, frames):
  match = match_files(names.split(), frame_names)
  assert match.frames == dict(zip(names.split(), frames))


@pytest.mark.parametrize(
  "names", ["dog cat", "obj1 obj2", "mask_1 mask_2", "obj3 obj7", "mask obj2", "a1 b2"]
)
@pytest.mark.parametrize("frame_names", [FRAMES, NAMED])
def test_names_of_objects_are_of_one_frame(names, frame_names):
  assert match_files(names.split(), frame_names) is None


@pytest.mark.parametrize(
  ("names", "reason"),
  [
    ("1 2", "may be numbers of frames or of objects"),
    ("dog cat 00012", "00012 named after frames, dog, cat not"),
    ("first 00000", "00000 named after frames, first of the first frame, too"),
    ("shot7 00012", "00012 seems to be named after a frame"),
    ("00119 00120", "00119 seems to be named after a frame"),  # the video is shorter
    ("mask_10 mask_20", "mask_10 seems to be named after a frame"),
    ("dog_00010 cat_00010", "dog_00010 seems to be named after a frame"),
  ],
)
def test_unclear_names_are_refused_with_the_way_out(names, reason):
  with pytest.raises(ValueError, match=f"{reason}.*00000 to 00059.*obj1"):
    match_files(names.split(), FRAMES)
