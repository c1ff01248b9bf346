"""What has to be segmented, in which order, and what each result is made of.

A video is followed in one or two passes, as `VideoSegmenter.run` follows it. What a
pass finds in a frame depends on what was given up to it in its direction and on nothing
else; the key of a result is a digest of that. Results with the current key are up to
date, so painting makes exactly those stale that it changes.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Literal

from vosjax.inference.prompts import Direction, GivenFrames, PlannedPrompt

PassName = Literal["forward", "backward"]


@dataclasses.dataclass(frozen=True)
class GivenObjects:
  """What is given in a frame.

  Attributes:
    objects: ids that are shown.
    absent: ids that are marked as not in the frame.
    digest: of all pixels and ids.
  """

  objects: tuple[int, ...]
  absent: tuple[int, ...]
  digest: str


@dataclasses.dataclass(frozen=True)
class Pass:
  """One way through the video, by one session.

  Attributes:
    name: of its direction.
    frames: their numbers in the order of the pass; the first one is given.
    keys: of what the pass finds in each of `frames`.
  """

  name: PassName
  frames: range
  keys: tuple[str, ...]

  def key(self, frame: int) -> str:
    """The key of what the pass finds in a frame."""
    return self.keys[self.frames.index(frame)]


@dataclasses.dataclass(frozen=True)
class PlannedFrame:
  """How the result of a frame comes about.

  Attributes:
    key: of the result.
    passes: that it is made from.
    shares: how much of each object comes from the forward pass.
  """

  key: str
  passes: frozenset[PassName]
  shares: Mapping[int, float]


@dataclasses.dataclass(frozen=True)
class Plan:
  """Everything that has to be segmented.

  Attributes:
    passes: in the order in which they are made: the backward one comes first, because
      results of the forward one are mixed with it.
    frames: each frame in reach, by its number.
  """

  passes: tuple[Pass, ...]
  frames: Mapping[int, PlannedFrame]


def make_plan(
  given: Mapping[int, GivenObjects], direction: Direction, length: int, model: str
) -> Plan:
  """Plans how a video is followed.

  Args:
    given: by the number of the frame. What is absent before the first frame of a pass
      that shows an object does not matter.
    direction: see `VideoSegmenter.run`.
    length: number of frames of the video.
    model: digest of the model and its options.
  """
  showing = {k: one for k, one in given.items() if one.objects}
  if not showing:
    return Plan((), {})
  first, last = min(showing), max(showing)
  forward = backward = None
  if direction != "backward":
    forward = _pass("forward", given, range(first, length), model)
  if direction != "forward":
    backward = _pass("backward", given, range(last, -1, -1), model)
  given_frames = GivenFrames(
    tuple(PlannedPrompt(k, one.objects, ()) for k, one in sorted(showing.items()))
  )
  ids = sorted({i for one in showing.values() for i in one.objects})
  frames = {}
  for frame in range(length):
    shares = {i: given_frames.forward_share(i, frame) for i in ids}
    planned = _frame(frame, forward, backward, shares)
    if planned is not None:
      frames[frame] = planned
  needed = [k for k, one in frames.items() if "backward" in one.passes]
  passes = []
  if backward is not None and needed:
    reach = range(last, min(needed) - 1, -1)
    passes.append(Pass("backward", reach, backward.keys[: len(reach)]))
  if forward is not None:
    passes.append(forward)
  return Plan(tuple(passes), frames)


def _pass(
  name: PassName, given: Mapping[int, GivenObjects], frames: range, model: str
) -> Pass:
  keys, key = [], _digest(model, name)
  for frame in frames:
    if frame in given:
      key = _digest(key, str(frame), given[frame].digest)
    keys.append(key)
  return Pass(name, frames, tuple(keys))


def _frame(
  frame: int,
  forward: Pass | None,
  backward: Pass | None,
  shares: Mapping[int, float],
) -> PlannedFrame | None:
  """Plans one frame; None if no pass reaches it."""
  ahead = forward if forward is not None and frame in forward.frames else None
  behind = backward if backward is not None and frame in backward.frames else None
  if ahead is not None and behind is not None:
    if 0 < sum(shares.values()) < len(shares):
      key = _digest(ahead.key(frame), behind.key(frame), repr(sorted(shares.items())))
      return PlannedFrame(key, frozenset(("forward", "backward")), shares)
    ahead, behind = (ahead, None) if any(shares.values()) else (None, behind)
  only = ahead or behind
  if only is None:
    return None
  return PlannedFrame(only.key(frame), frozenset((only.name,)), shares)


def _digest(*parts: str) -> str:
  return hashlib.sha1(" ".join(parts).encode()).hexdigest()
