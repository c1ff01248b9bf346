"""Which frames of a video help to segment another one (COSNet).

A whole video offers all of its frames; a stream only those that it has shown.

Source: Lu et al., CVPR 2019, table 2 (global uniform, global random and local
consecutive sampling). The release has the random rule alone.
"""

from typing import Literal, get_args

import numpy as np

Policy = Literal["uniform", "random", "consecutive"]
ALL = "all"
Count = int | Literal["all"]
MAX_REFERENCES = 7  # more than this the paper did not try


def check(num_references: Count, policy: Policy | str) -> None:
  """Refuses what `choose` has no rule for.

  Raises:
    ValueError: the number is neither "all" nor 0 to 7, or the policy is unknown.
  """
  if policy not in get_args(Policy):
    raise ValueError(
      f"reference_policy is {policy!r}; known: {list(get_args(Policy))}."
    )
  if num_references != ALL and num_references not in range(MAX_REFERENCES + 1):
    raise ValueError(
      f"references is {num_references!r}; expected 0 to {MAX_REFERENCES}, or "
      f"{ALL!r} for all frames of a whole video."
    )


def choose(
  policy: Policy | str, num_references: Count, length: int, t: int, *, seed: int = 0
) -> tuple[int, ...]:
  """The frames of a whole video that help frame `t`, in ascending order.

  A video that is too short gives as many as it has. A frame that has no other beside
  it is its own reference.

  Args:
    policy: "uniform": the middles of equal parts of the video, the same for every
      frame. "random": distinct frames, drawn once for the video; the release draws
      anew for every frame, which would keep all features in memory. "consecutive":
      the nearest frames in time without `t` itself, from floor(N / 2) before to
      ceil(N / 2) after, shifted to stay inside the video.
    num_references: N, or "all": every frame, whatever the policy.
    length: of the video.
    t: the frame that is segmented.
    seed: of the random draw.
  """
  if num_references == ALL:
    return tuple(range(length))
  n = min(num_references, length)
  if policy == "uniform":
    return tuple((2 * k + 1) * length // (2 * n) for k in range(n))
  if policy == "random":
    drawn = np.random.default_rng(seed).choice(length, n, replace=False)
    return tuple(sorted(drawn.tolist()))
  width = min(num_references + 1, length)
  first = min(max(t - num_references // 2, 0), length - width)
  others = tuple(i for i in range(first, first + width) if i != t)
  return others or (t,) * n


class Seen:
  """Places of the references of a stream, which come from the frames seen so far.

  All places begin with the first frame, which is its own reference; a place that no
  later frame has taken goes on with it. Every other frame sees what came before it.

  Args:
    policy: "consecutive": the latest frames. "random": each frame seen is as likely
      to be there as any other (reservoir sampling). "uniform": frames at even
      distances; when they are too many, every second one makes room and the distance
      doubles.
    num_references: how many places there are.
    seed: of "random".
  """

  def __init__(self, policy: Policy | str, num_references: int, *, seed: int = 0):
    self._policy, self._size = policy, num_references
    self._rng = np.random.default_rng(seed)
    self._held: list[int] = []
    self._count = 0
    self._stride = 1

  @property
  def frames(self) -> tuple[int, ...]:
    """Number of the frame in each place that was taken."""
    return tuple(self._held)

  def take(self) -> int | None:
    """The place that the next frame takes, or None if it takes none."""
    t, self._count = self._count, self._count + 1
    place = self._place(t)
    if place == len(self._held):
      self._held.append(t)
    elif place is not None:
      self._held[place] = t
    return place

  def _place(self, t):
    if self._size == 0:
      return None
    if self._policy == "consecutive":
      return t % self._size
    if self._policy == "random":
      place = int(self._rng.integers(t + 1)) if t >= self._size else t
      return place if place < self._size else None
    if t % self._stride:
      return None
    if len(self._held) < self._size:
      return len(self._held)
    return self._thin(t)

  def _thin(self, t):
    """Frames between those of twice the distance go first, the oldest before."""
    while True:
      between = [i for i in self._held if i % (2 * self._stride)]
      if between and t % (2 * self._stride) == 0:
        return self._held.index(between[0])
      if between:
        return None
      self._stride *= 2
      if t % self._stride:
        return None
