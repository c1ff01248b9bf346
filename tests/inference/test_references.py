"""Which frames are references, in whole videos and in streams."""

import collections
import inspect

import pytest

from vosjax.inference import references


@pytest.mark.parametrize(
  ("n", "length", "expected"),
  [
    (5, 82, (8, 24, 41, 57, 73)),  # floor((k + 1/2) L / N)
    (2, 9, (2, 6)),
    (1, 9, (4,)),
    (0, 9, ()),
    (5, 3, (0, 1, 2)),
    (7, 1, (0,)),
  ],
)
def test_uniform_references_are_the_middles_of_equal_parts(n, length, expected):
  for t in range(length):
    assert references.choose("uniform", n, length, t) == expected


@pytest.mark.parametrize(
  ("n", "t", "expected"),
  [
    (5, 5, (3, 4, 6, 7, 8)),  # floor(N / 2) before, ceil(N / 2) after
    (4, 5, (3, 4, 6, 7)),
    (1, 5, (6,)),
    (1, 9, (8,)),
    (5, 0, (1, 2, 3, 4, 5)),
    (5, 1, (0, 2, 3, 4, 5)),
    (5, 8, (4, 5, 6, 7, 9)),
    (5, 9, (4, 5, 6, 7, 8)),
    (0, 5, ()),
  ],
)
def test_consecutive_references_surround_the_frame(n, t, expected):
  assert references.choose("consecutive", n, 10, t) == expected


def test_consecutive_references_of_short_videos():
  assert references.choose("consecutive", 5, 3, 1) == (0, 2)
  assert references.choose("consecutive", 5, 1, 0) == (0,)  # there is no other frame


def test_random_references_are_distinct_seeded_and_evenly_drawn():
  def draw(seed, t=0):
    return references.choose("random", 5, 20, t, seed=seed)

  counts = collections.Counter()
  for seed in range(400):
    drawn = draw(seed)
    assert len(set(drawn)) == 5
    assert drawn == tuple(sorted(drawn)) == draw(seed, t=7)
    counts.update(drawn)
  assert set(counts) == set(range(20))
  assert 60 < min(counts.values()) <= max(counts.values()) < 145  # 100 expected
  assert references.choose("random", 5, 3, 0) == (0, 1, 2)


@pytest.mark.parametrize("policy", ["uniform", "random", "consecutive"])
def test_all_references_are_all_frames(policy):
  assert references.choose(policy, "all", 6, 2) == (0, 1, 2, 3, 4, 5)


def stream(policy, n, length, seed=0):
  """The place that each frame takes, and the references after the last frame."""
  chosen = references.StreamReferences(policy, n, seed=seed)
  places = [chosen.add_frame() for _ in range(length)]
  return places, chosen.frames


def test_a_stream_keeps_the_latest_frames():
  assert stream("consecutive", 3, 8) == ([0, 1, 2, 0, 1, 2, 0, 1], (6, 7, 5))


@pytest.mark.parametrize("n", [2, 3, 5, 7])
def test_a_stream_keeps_frames_at_even_distances(n):
  for length in (n, 2 * n, 33, 200):
    _, frames = stream("uniform", n, length)
    assert len(frames) == n
    assert 0 in frames
    assert max(frames) < length
    gaps = [b - a for a, b in zip(sorted(frames), sorted(frames)[1:])]
    assert max(gaps) <= 2 * min(gaps)  # half of them may have been dropped already
    assert max(frames) >= (length - 1) // 2


def test_a_stream_samples_evenly_from_the_frames_shown():
  counts = collections.Counter()
  for seed in range(400):
    places, frames = stream("random", 3, 12, seed)
    assert len(set(frames)) == 3
    assert places[:3] == [0, 1, 2]
    counts.update(frames)
  assert set(counts) == set(range(12))
  assert 65 < min(counts.values()) <= max(counts.values()) < 140  # 100 expected
  assert 250 < sum(counts[t] for t in range(3)) < 350  # 300 expected: no privilege
  assert stream("random", 3, 12, 5) == stream("random", 3, 12, 5)


@pytest.mark.parametrize("policy", ["uniform", "random", "consecutive"])
def test_without_places_no_frame_is_kept(policy):
  assert stream(policy, 0, 4) == ([None] * 4, ())


@pytest.mark.parametrize("count", [-1, 8, "many", 2.5])
def test_counts_out_of_range_are_refused(count):
  with pytest.raises(ValueError, match=r"references is .*; expected 0 to 7, or 'all'"):
    inspect.unwrap(references.check)(count, "uniform")  # without type checks


def test_unknown_policies_list_the_known():
  with pytest.raises(ValueError, match=r"'nearest'; known: \['uniform', 'random'"):
    references.check(3, "nearest")
