"""Follows a video backwards, or both ways from given frames.

The backward pass comes first. Its results are kept in a compact form, in a temporary
file if they are many, and joined with those of the forward pass in the order of frames.
"""

import tempfile
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from vosjax.inference import checks, prompts, whole_video
from vosjax.inference.frame_result import FrameResult
from vosjax.inference.setup import Setup
from vosjax.models.api import Readout

_IN_MEMORY = 2**26  # bytes of kept results, beyond which they go to a file
_CHUNK = 64  # frames that are read at a time when a video is read backwards
_CHUNK_BYTES = 2**28  # and the most that they may take


def segment(
  setup: Setup,
  frames: whole_video.FrameSequence,
  labels: Mapping[int, Any],
  planned: tuple[prompts.PlannedPrompt, ...],
  direction: prompts.Direction,
) -> Iterator[FrameResult]:
  """Segments every frame of a video from prompts at any frames.

  Args:
    setup: model and options.
    frames: the video.
    labels: of the given frames.
    planned: what they do.
    direction: of the passes.

  Raises:
    ValueError: a frame or its labels are unusable. With a backward pass, it is raised
      before the first result.
  """
  last, length, forward = planned[-1].frame, len(frames), direction != "backward"
  given_frames = prompts.GivenFrames(planned)
  with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
    kept = _Kept(file)
    results = whole_video.segment(
      setup,
      Backwards(frames, last),
      (labels.get(t) for t in range(last, -1, -1)),
      give=True,
    )
    for t, result in zip(range(last, -1, -1), results, strict=True):
      kept.put(t, result)
    results = _background(frames)
    if forward:
      given = (labels.get(t) for t in range(length))
      results = whole_video.segment(setup, frames, given, give=True)
    for t, result in enumerate(results):
      backward = kept.get(t)
      if backward is None:
        yield result
        continue
      ids = {*result.object_ids, *backward.object_ids}
      shares = {i: given_frames.forward_share(i, t) if forward else 0.0 for i in ids}
      yield join(setup.readout, result, backward, shares)


def join(
  readout: Readout,
  forward: FrameResult,
  backward: "KeptResult",
  shares: Mapping[int, float],
) -> FrameResult:
  """Mixes the results of both passes for one frame.

  Args:
    readout: of the model.
    forward: the result of the forward pass.
    backward: what is kept of the backward pass.
    shares: how much of each object comes from the forward pass.

  Returns:
    Probabilities and scores are mixed linearly. The labels are those of the one pass
    that all objects come from, if there is one. Otherwise, of objects that compete, the
    most probable one wins each pixel if it is more probable than the background, which
    has what the objects leave over; and of others, the most probable one of those above
    the model's threshold.
  """
  if all(share == 1 for share in shares.values()):
    return forward
  if all(share == 0 for share in shares.values()):
    labels, ids = backward.labels, backward.object_ids
    return FrameResult(
      forward.frame,
      labels,
      ids,
      backward.probs[None],
      tuple(range(len(ids))),
      backward.scores,
    )
  ids = tuple(sorted(shares))
  probs = np.zeros((len(ids), *forward.frame.shape[:2]), np.float32)
  scores = np.zeros(len(ids), np.float32)
  backward_shares = {i: 1 - share for i, share in shares.items()}
  for one_pass, weights in ((forward, shares), (backward, backward_shares)):
    for i, prob, score in zip(one_pass.object_ids, one_pass.probs, one_pass.scores):
      share = np.float32(weights[i])
      probs[ids.index(i)] += share * prob
      scores[ids.index(i)] += share * score
  total = probs.sum(0)
  if readout.threshold is None:
    probs /= np.maximum(total, 1)
    rest = 1 - np.minimum(total, 1)
  else:
    rest = np.full_like(total, readout.threshold)
  best = np.concatenate([rest[None], probs]).argmax(0)
  labels = np.array([0, *ids], np.int32)[best]
  return FrameResult(
    forward.frame, labels, ids, probs[None], tuple(range(len(ids))), scores
  )


def _background(frames: whole_video.FrameSequence) -> Iterator[FrameResult]:
  """Results without objects."""
  size = None
  with checks.prefix_errors("run"):
    for t in range(len(frames)):
      frame = checks.read_frame(frames, t, size)
      size = frame.shape[:2]
      yield FrameResult.background(frame)


class Backwards:
  """The frames of a video from one of them back to the first.

  They are read in chunks, each forwards, because going back is slow in a video file.

  Args:
    frames: the video.
    last: number of the frame to begin with.
  """

  def __init__(self, frames: whole_video.FrameSequence, last: int):
    self._frames, self._last = frames, last
    self._chunk: dict[int, UInt8[np.ndarray, "h w 3"]] = {}
    self._size: tuple[int, int] | None = None

  def __len__(self) -> int:
    return self._last + 1

  def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """Frame `last - index`; reads more if it is not in the chunk.

    Raises:
      UsageError: a frame is unusable. Other errors of reading it pass through.
    """
    t = self._last - index
    if t not in self._chunk:
      self._read(t)
    return self._chunk[t]

  def _read(self, t: int) -> None:
    """Reads the chunk that ends with frame t."""
    self._chunk = {}  # before the next one takes memory
    if self._size is None:  # the size tells how many frames fit
      self._chunk = {t: checks.read_frame(self._frames, t)}
      self._size = self._chunk[t].shape[:2]
      return
    height, width = self._size
    count = max(1, min(_CHUNK, _CHUNK_BYTES // (height * width * 3)))
    for number in range(max(0, t - count + 1), t + 1):
      self._chunk[number] = checks.read_frame(self._frames, number, self._size)


class KeptResult(NamedTuple):
  """What is kept of the result of one frame.

  Attributes:
    object_ids: of the objects.
    labels: object ids.
    probs: of each object, to 1/255.
    scores: of each object.
  """

  object_ids: tuple[int, ...]
  labels: Int[np.ndarray, "h w"]
  probs: Float[np.ndarray, "o h w"]
  scores: Float[np.ndarray, " o"]


class _Entry(NamedTuple):
  """Where the result of a frame is in the file, and what is not in it."""

  start: int
  length: int
  object_ids: tuple[int, ...]
  size: tuple[int, int]
  scores: Float[np.ndarray, " o"]


class _Kept:
  """Results by the number of their frame, compressed.

  Args:
    file: empty.
  """

  def __init__(self, file: IO[bytes]):
    self._file = file
    self._entries: dict[int, _Entry] = {}

  def put(self, t: int, result: FrameResult) -> None:
    """Keeps the result of frame t."""
    ids = result.object_ids
    places = np.zeros(result.labels.shape, np.uint16)
    for place, i in enumerate(ids):
      places[result.labels == i] = place + 1
    probs = np.rint(result.probs * 255).astype(np.uint8)
    # Compression at the lowest level takes a few milliseconds per frame, and makes
    # masks about twenty times smaller.
    content = zlib.compress(places.tobytes() + probs.tobytes(), 1)
    start = self._file.seek(0, 2)
    self._file.write(content)
    size = result.labels.shape
    self._entries[t] = _Entry(start, len(content), ids, size, result.scores)

  def get(self, t: int) -> KeptResult | None:
    """Returns what is kept of frame t; None if nothing is."""
    if t not in self._entries:
      return None
    start, length, ids, size, scores = self._entries[t]
    self._file.seek(start)
    content = np.frombuffer(zlib.decompress(self._file.read(length)), np.uint8)
    num_bytes = 2 * size[0] * size[1]
    places = content[:num_bytes].view(np.uint16).reshape(size)
    probs = content[num_bytes:].reshape(len(ids), *size) / np.float32(255)
    return KeptResult(ids, np.array([0, *ids], np.int32)[places], probs, scores)
