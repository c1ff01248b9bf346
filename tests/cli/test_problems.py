"""Equal problems are joined, and few or different ones are listed as they are."""

from vosjax.cli.problems import join_equal


def test_only_many_equal_problems_are_joined():
  few = [f"a/{t}.png: missing." for t in range(5)]
  others = ["b.mp4: 3 frames: too few.", "nothing fits", "nothing fits at all"]
  assert join_equal([*few, *others]) == [*few, *others]
  first, *rest = join_equal([*few, *others, "c/9.png: missing."])
  assert first == "a/0.png: missing. The same applies to 5 more, up to c/9.png."
  assert rest == others
