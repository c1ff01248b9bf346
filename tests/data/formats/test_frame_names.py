import pytest

from vosjax.data.formats.frame_names import match_names, match_videos

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


@pytest.mark.parametrize(
  "names, matched, how",
  [
    (["00000", "00001", "00002", "00003"], ["00000", "00001", "00002"], ""),
    (["0", "1", "2", "thumbnail_7"], ["0", "1", "2"], "by number"),
    (["00000_mask", "00001_mask", "00002_mask"], None, "by number"),
    (
      ["frame10", "frame2", "frame1", "frame0"],
      ["frame0", "frame1", "frame2"],
      "by number",
    ),
    (["00001", "00002", "00003"], None, "in order"),
  ],
)
def test_every_frame_has_a_file_and_there_may_be_more(names, matched, how):
  (match,) = match_videos([(names, FRAMES[:3])], extra=True)
  assert list(match.frames) == (matched or names) and match.how == how
  assert list(match.frames.values()) == [0, 1, 2]


@pytest.mark.parametrize(
  "names",
  [
    ["00001", "00002"],  # the first one is missing
    ["00000", "00002", "00003"],
    ["a1", "b2", "c0"],
    ["0_a", "1_a", "2_a", "0_b", "1_b", "2_b"],
    ["00010", "00011", "00012"],  # perhaps another part of the video
    ["00001", "00006", "00011"],
  ],
)
def test_frames_without_a_certain_file_are_not_matched(names):
  assert match_videos([(names, FRAMES[:3])], extra=True) == [None]


def test_annotations_with_gaps_are_not_matched_in_order():
  annotated = ["00000", "00005", "00010"]  # perhaps of many more frames
  assert match_videos([(["1", "2", "3"], annotated)], extra=True) == [None]
  assert match_videos([(["1", "2", "3"], annotated)])[0].how == "in order"


def test_names_are_matched_in_order_only_if_those_of_all_videos_are():
  shifted, exact = (["1", "2"], ["0", "1"]), (["0", "1"], ["0", "1"])
  *matches, empty = match_videos([shifted, shifted, ([], ["0"])])
  assert [m.how for m in matches] == ["in order"] * 2 and not empty.frames
  one, other = match_videos([shifted, exact])
  assert one is None and other.frames == {"0": 0, "1": 1}
