import pytest

from vosjax.data.formats.frame_names import match_names

FRAMES = [f"{t:05d}" for t in range(6)]


def test_names_of_frames_need_no_note():
  match = match_names(["00003", "00000"], FRAMES)
  assert match.frames == {"00003": 3, "00000": 0} and not match.note


@pytest.mark.parametrize(
  "pattern, numbers, frames",
  [
    ("{:d}", [0, 4], [0, 4]),  # without the zeros
    ("{:05d}_mask", [0, 3], [0, 3]),
    ("frame_{:05d}", [2], [2]),
    ("frame_{:06d}", range(6), range(6)),
    ("frame{:d}", [3], [3]),
    ("{:05d}", range(1, 7), range(6)),  # numbered from 1
    ("mask{:d}", range(1, 7), range(6)),
  ],
)
def test_names_are_matched_where_it_is_certain(pattern, numbers, frames):
  names = [pattern.format(number) for number in numbers]
  match = match_names(names, FRAMES)
  assert match.frames == dict(zip(names, frames))
  assert f"{names[0]}" in match.note and FRAMES[frames[-1]] in match.note


@pytest.mark.parametrize(
  "names",
  [
    ["obj1", "obj2"],  # of objects, or of frames
    ["00003", "00009"],
    [f"{t:05d}" for t in range(1, 6)] + ["00007"],
    [f"{t:05d}" for t in range(1, 8)],
    [f"{t:05d}" for t in range(10, 16)],  # perhaps another part of the video
    ["00001_00002"],
    ["1", "01"],
    ["first"],
  ],
)
def test_names_are_refused_where_it_is_not(names):
  with pytest.raises(ValueError, match="no frame is named .*00000 to 00005"):
    match_names(names, FRAMES)


def test_frames_with_names_of_their_own():
  frames = ["clip-a", "clip-b", "clip-c"]
  assert match_names(["clip-b.labels"], frames).frames == {"clip-b.labels": 1}
  every_fifth = [f"img{t}" for t in (0, 5, 10)]
  assert list(match_names(["1", "2", "3"], every_fifth).frames.values()) == [0, 1, 2]
