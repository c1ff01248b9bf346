"""Chooses the reference frames that each frame of a video is compared with (COSNet).

In a whole video all frames can be references; in a stream, only those seen so far.

Source: Lu et al., CVPR 2019, table 2 (global uniform, global random and local
consecutive sampling). The release implements the random policy only.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np

ReferencePolicy = Literal["uniform", "random", "consecutive"]
ALL: Literal["all"] = "all"
ReferenceCount = int | Literal["all"]
MAX_REFERENCES = 7  # the largest number in the paper


def check(num_references: int | str, policy: ReferencePolicy | str) -> None:
  """Requires a number of references and a policy that `choose` knows.

  Raises:
    ValueError: the number is neither "all" nor 0 to 7, or the policy is unknown.
  """
  if policy not in get_args(ReferencePolicy):
    raise ValueError(
      f"reference_policy is {policy!r}; known: {list(get_args(ReferencePolicy))}."
    )
  if num_references != ALL and num_references not in range(MAX_REFERENCES + 1):
    raise ValueError(
      f"references is {num_references!r}; expected 0 to {MAX_REFERENCES}, or "
      f"{ALL!r} for all frames of a whole video."
    )


def choose(
  policy: ReferencePolicy | str,
  num_references: ReferenceCount,
  length: int,
  t: int,
  *,
  seed: int = 0,
) -> tuple[int, ...]:
  """Chooses the references of one frame of a whole video.

  A video with too few frames has fewer references. If it has a single frame, that is
  its own reference.

  Args:
    policy: "uniform": the middles of equal parts of the video, the same for every
      frame. "random": distinct frames, drawn once per video; the release draws new
      ones for every frame, which would keep all features in memory. "consecutive":
      the nearest frames in time without `t` itself, from floor(N / 2) before it to
      ceil(N / 2) after it, shifted to stay inside the video.
    num_references: N, or "all" for every frame, whatever the policy.
    length: number of frames in the video.
    t: number of the frame that is segmented.
    seed: of the random draw.

  Returns:
    Frame numbers in ascending order.
  """
  if num_references == "all":
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


class StreamReferences:
  """Chooses references from the frames of a stream that have been seen so far.

  The model's state has a place for each reference. All places begin with the first
  frame and keep it until a later frame replaces it. The first frame is its own
  reference; every other frame is compared with earlier ones.

  Args:
    policy: "consecutive": the latest frames. "random": every frame seen so far is
      equally likely to be kept (reservoir sampling). "uniform": frames at equal
      intervals; when there are too many, every second one is replaced and the interval
      doubles.
    num_references: number of places.
    seed: of the random policy.
  """

  def __init__(
    self, policy: ReferencePolicy | str, num_references: int, *, seed: int = 0
  ):
    self._policy, self._num_places = policy, num_references
    self._rng = np.random.default_rng(seed)
    self._frame_in: list[int] = []  # frame number in each place
    self._num_frames = 0
    self._distance = 1

  def to_json(self) -> dict[str, Any]:
    """What changes from frame to frame, as JSON can hold it."""
    return {
      "rng": self._rng.bit_generator.state,
      "frame_in": self._frame_in,
      "num_frames": self._num_frames,
      "distance": self._distance,
    }

  def restore(self, values: Mapping[str, Any]) -> None:
    """The inverse of `to_json`, for the same policy, number and seed."""
    self._rng.bit_generator.state = values["rng"]
    self._frame_in = list(values["frame_in"])
    self._num_frames, self._distance = values["num_frames"], values["distance"]

  @property
  def frames(self) -> tuple[int, ...]:
    """Frame number in each place that has been assigned."""
    return tuple(self._frame_in)

  def add_frame(self) -> int | None:
    """Adds the next frame; returns its place, or None if it does not get one."""
    t, self._num_frames = self._num_frames, self._num_frames + 1
    place = self._choose_place(t)
    if place == len(self._frame_in):
      self._frame_in.append(t)
    elif place is not None:
      self._frame_in[place] = t
    return place

  def _choose_place(self, t: int) -> int | None:
    if self._num_places == 0:
      return None
    if self._policy == "consecutive":
      return t % self._num_places
    if self._policy == "random":
      place = int(self._rng.integers(t + 1)) if t >= self._num_places else t
      return place if place < self._num_places else None
    if t % self._distance:
      return None
    if len(self._frame_in) < self._num_places:
      return len(self._frame_in)
    return self._thin_out(t)

  def _thin_out(self, t: int) -> int | None:
    """The place of the first frame that is no multiple of twice the interval."""
    while True:
      skipped = [i for i in self._frame_in if i % (2 * self._distance)]
      if skipped and t % (2 * self._distance) == 0:
        return self._frame_in.index(skipped[0])
      if skipped:
        return None
      self._distance *= 2
      if t % self._distance:
        return None
