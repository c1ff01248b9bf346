"""A whole video through a model that takes references from all of it (COSNet)."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import flax.linen as nn
import numpy as np
from jaxtyping import UInt8

from vosjax.inference import checks, programs, references
from vosjax.inference.frame_result import FrameResult
from vosjax.types import AnyArray, Variables


def segment(
  model: nn.Module,
  variables: Variables,
  frames: Sequence[UInt8[AnyArray, "h w 3"]] | Any,
  *,
  policy: references.Policy | str,
  num_references: references.Count,
  seed: int,
) -> Iterator[FrameResult]:
  """Segments every frame with references that `references.choose` names.

  Each frame is encoded once, several as one batch. Features are kept of references and
  of frames between them and the one at hand, not of the whole video (unless all are
  references).

  Args:
    model: as `programs.prepare` made it.
    variables: likewise.
    frames: anything with a length and items.
    policy: see `references.choose`.
    num_references: likewise.
    seed: likewise.

  Raises:
    ValueError: a frame is not uint8 RGB or of another size; or whatever reading it
      raises. Frames before the first that needs it have been segmented then.
  """
  size = checks.read_frame(frames, 0).shape[:2]
  at_once = programs.frames_at_once(len(frames))
  pictures: dict[int, UInt8[np.ndarray, "h w 3"]] = {}  # of frames still to come
  features: dict[int, Any] = {}  # of these, and of the frame before
  places: list[int] = []  # which frame is in each place of the state
  state = None
  active = np.ones((1, model.readout.num_slots), bool)
  for t in range(len(frames)):
    wanted = references.choose(policy, num_references, len(frames), t, seed=seed)
    missing = sorted({t, *wanted} - {*features, *places})
    known = {*missing, *features, *places}
    coming = (i for i in range(t + 1, len(frames)) if i not in known)
    pictures |= {i: checks.read_frame(frames, i, size) for i in missing}
    for i in itertools.islice(coming, -len(missing) % at_once):
      try:
        pictures[i] = checks.read_frame(frames, i, size)
      except Exception:  # it is raised when this frame's turn has come
        break
      missing.append(i)
    found = [pictures[i] for i in missing]
    encoded = programs.encode_each(model, variables, found, at_once)
    features |= zip(missing, encoded, strict=True)
    if state is None:
      model = model.clone(num_references=len(wanted))
      places = [t] * len(wanted)
      state = programs.begin(model, size, variables, None, features[t], None, active)
    for i in set(wanted) - set(places):
      place = _free_place(places, wanted)
      places[place] = i
      state = programs.remember(model, variables, state, features[i], np.int32(place))
    state, labels, probs, present = programs.advance(
      model, size, "fine", variables, state, features[t], active
    )
    present = np.asarray(present)[0]
    yield FrameResult.of(pictures.pop(t), labels, probs, present, (1,), (0,))
    features.pop(t - 1, None)


def _free_place(places, wanted):
  """A place whose frame is not wanted, or stands in another place too."""
  return next(
    place
    for place, frame in enumerate(places)
    if frame not in wanted or frame in places[:place]
  )
