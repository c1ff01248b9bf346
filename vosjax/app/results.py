"""What following found in the frames of a video, kept in plain files."""

import contextlib
import dataclasses
import io
import json
import pathlib
import threading
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int, Integer, UInt8
from PIL import Image

from vosjax import files
from vosjax.data.codecs import label_images
from vosjax.media.video_frames import VideoFrames
from vosjax.media.write import write_labels

LOG = "results.jsonl"
FINAL, SOFT, BACKWARD = "masks", "soft", "backward"  # folders


@dataclasses.dataclass(frozen=True)
class Result:
  """What was found in a frame, without the pixels.

  Attributes:
    key: of everything that it is made from, see `plan`.
    objects: ids that were found.
    scores: how sure each is, in [0, 1].
    lost: whether each is probably lost.
  """

  key: str
  objects: tuple[int, ...]
  scores: tuple[float, ...]
  lost: tuple[bool, ...]


class Results:
  """The results of a video. Threads may share it.

  Before the files of a frame are replaced, a line without a key takes the older result
  back; after it, a line about the new one is appended. A result counts once its line is
  complete, so whatever ends the server, no key stands for pixels of another.

  Args:
    folder: of the project.
    video: whose frames they belong to.

  Attributes:
    final: by the number of the frame.
    backward: what the backward pass found in frames where it is mixed with the forward
      pass, by the number of the frame.
  """

  def __init__(self, folder: pathlib.Path, video: VideoFrames):
    self._folder, self._names, self._size = folder, video.frame_names, video.size
    self._lock = threading.Lock()
    self.final: dict[int, Result] = {}
    self.backward: dict[int, Result] = {}
    self._parts = {FINAL: self.final, BACKWARD: self.backward}
    for part in (FINAL, SOFT, BACKWARD):
      (folder / part).mkdir(exist_ok=True)
      for draft in (folder / part).glob(".*.part*"):  # left by a server that was killed
        draft.unlink()
    self._read_log()
    self._log = open(folder / LOG, "a", encoding="utf-8")  # noqa: SIM115

  def close(self) -> None:
    """Closes the log; nothing can be recorded any more."""
    self._log.close()

  def _read_log(self) -> None:
    """Reads the log and writes it anew, without lines that do not count any more."""
    path = self._folder / LOG
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    index_of = {name: k for k, name in enumerate(self._names)}
    parts = self._parts
    for line in lines:
      with contextlib.suppress(ValueError, KeyError, TypeError):  # cut by a kill
        value = json.loads(line)
        index, part = index_of[value.pop("frame")], value.pop("part")
        if not value:  # taken back
          parts[part].pop(index, None)
          continue
        value = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
        parts[part][index] = Result(**value)
    lines = []
    for part, results in parts.items():
      there = {path.stem for path in (self._folder / part).glob("*.png")}
      for index in [k for k in results if self._names[k] not in there]:
        del results[index]
      lines += [self._line(part, k, result) for k, result in sorted(results.items())]
    files.write_bytes(path, "".join(lines).encode())

  def _line(self, part: str, index: int, result: Result) -> str:
    value = {"frame": self._names[index], "part": part} | dataclasses.asdict(result)
    return json.dumps(value) + "\n"

  def _path(self, part: str, index: int) -> pathlib.Path:
    return self._folder / part / f"{self._names[index]}.png"

  def record(
    self,
    index: int,
    result: Result,
    labels: Integer[np.ndarray, "h w"],
    probs: Float[np.ndarray, "o h w"],
  ) -> None:
    """Keeps the final result of a frame."""
    with self._lock, self._replacing(FINAL, index, result):
      if len(probs):
        self._put(SOFT, index, _to_bytes(probs))
      write_labels(self._path(FINAL, index), labels)

  def record_backward(
    self,
    index: int,
    result: Result,
    labels: Integer[np.ndarray, "h w"],
    probs: Float[np.ndarray, "o h w"],
  ) -> None:
    """Keeps what the backward pass found in a frame, until the forward pass comes."""
    planes = np.concatenate([labels[None].astype(np.uint8), _to_bytes(probs)])
    with self._lock, self._replacing(BACKWARD, index, result):
      self._put(BACKWARD, index, planes)

  @contextlib.contextmanager
  def _replacing(self, part: str, index: int, result: Result) -> Iterator[None]:
    """Around replacing the files of a result: logs that it is another one now."""
    results = self._parts[part]
    if index in results:
      self._append(json.dumps({"frame": self._names[index], "part": part}) + "\n")
    try:
      yield
      self._append(self._line(part, index, result))
    except BaseException:
      results.pop(index, None)  # its files may be replaced already
      raise
    results[index] = result

  def _put(self, part: str, index: int, planes: UInt8[np.ndarray, "n h w"]) -> None:
    files.write_bytes(self._path(part, index), _png(planes))

  def _append(self, line: str) -> None:
    self._log.write(line)
    self._log.flush()

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    """Labels of the final result of a frame; None if there is none."""
    with self._lock:
      if index not in self.final:
        return None
      return label_images.read_labels(self._path(FINAL, index))

  def probabilities(self, index: int) -> dict[int, Float[np.ndarray, "h w"]]:
    """Probability of each object in the final result of a frame, to 8 bits.

    Empty if there is no result, or if a kill came between its files.
    """
    with self._lock:
      result = self.final.get(index)
      if result is None or not self._path(SOFT, index).exists():
        return {}
      planes = self._planes(SOFT, index)
    if len(planes) != len(result.objects):
      return {}
    return {i: p / np.float32(255) for i, p in zip(result.objects, planes)}

  def backward_result(
    self, index: int
  ) -> tuple[Result, Int[np.ndarray, "h w"], Float[np.ndarray, "o h w"]]:
    """What the backward pass found in a frame: result, labels and probabilities."""
    with self._lock:
      result, planes = self.backward[index], self._planes(BACKWARD, index)
    return result, planes[0].astype(np.int32), planes[1:] / np.float32(255)

  def _planes(self, part: str, index: int) -> UInt8[np.ndarray, "n h w"]:
    with Image.open(self._path(part, index)) as image:
      return np.asarray(image).reshape(-1, *self._size)


def _to_bytes(probs: Float[np.ndarray, "o h w"]) -> UInt8[np.ndarray, "o h w"]:
  return np.rint(probs * 255).astype(np.uint8)


def _png(planes: UInt8[np.ndarray, "n h w"]) -> bytes:
  """Planes below each other, as a gray PNG."""
  buffer = io.BytesIO()
  stack = planes.reshape(-1, planes.shape[2])
  Image.fromarray(stack).save(buffer, "PNG", compress_level=1)
  return buffer.getvalue()
