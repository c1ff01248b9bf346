import pytest

from vosjax.media import numbering


@pytest.mark.parametrize(
  "names",
  [
    ("8", "9", "10", "100"),
    ("Bild (8)", "Bild (9)", "Bild (10)"),
    ("video.mp4_9", "video.mp4_10"),
    ("shot1.8", "shot1.9", "shot1.10"),  # a version and a counter
    ("1.25", "1.5", "10.125"),  # seconds
    ("t1.25", "t1.5", "t1.75"),
    ("1403636579763555584", "1403636579813556818", "1403636580013556818"),
    ("2024-02-28_235959", "2024-02-29_000000"),  # no single number
    ("left", "right"),
  ],
)
def test_names_are_ordered_by_their_numbers(names):
  assert numbering.in_order(names[::-1]) == list(names)


def test_two_names_of_one_number_have_no_order():
  with pytest.raises(ValueError, match="01, 1 have the same number"):
    numbering.in_order(["1", "01", "2"])


@pytest.mark.parametrize(
  ("names", "gaps"),
  [
    ("0 1 2 4 5", [("2", ["3"], "4")]),
    ("frame_0001 frame_0002 frame_0005", [("frame_0002", 2, "frame_0005")]),
    ("00000 00005 00015 00020", [("00005", ["00010"], "00015")]),
    (
      "shot_v02.0001 shot_v02.0002 shot_v02.0004",
      [("shot_v02.0002", 1, "shot_v02.0004")],
    ),
    ("a_1 a_2 a_3 a_900000", [("a_3", 9999, "a_900000")]),  # not one name for each
  ],
)
def test_gaps_between_equally_spaced_names(names, gaps):
  found = numbering.gaps(names.split())
  assert [gap.before for gap in found] == [before for before, _, _ in gaps]
  assert [gap.after for gap in found] == [after for _, _, after in gaps]
  for gap, (_, absent, _) in zip(found, gaps, strict=True):
    assert absent in (gap.absent, len(gap.absent))


@pytest.mark.parametrize(
  "names",
  [
    "1000 1033 1067 1100",  # milliseconds at 30 frames/s
    "1403636579763555584 1403636579813556818 1403636579863555584",
    "0.033 0.067 0.1 0.2",
    "t0.1 t0.15 t0.2",
    "0.0 0.5 1.5",
    "1700000000 1700000001 1700000003",
    "3 4 5",
    "1 7",  # what the distance should be is not known
    "left right top",
  ],
)
def test_times_have_no_gaps(names):
  assert not numbering.gaps(names.split())


def test_gaps_are_described_up_to_a_number():
  names = [str(number) for number in range(40) if number % 3 != 2]
  text = numbering.describe_gaps(numbering.gaps(names))
  assert text.startswith("frame 2 is missing between 1 and 3; frame 5 is missing")
  assert text.endswith("; 8 more gaps")
