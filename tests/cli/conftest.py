"""Tests of `vosjax segment`, with a segmenter that copies its prompts."""

import numpy as np
import pytest
from PIL import Image

from vosjax.cli import segment
from vosjax.inference import checks
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.frame_result import FrameResult
from vosjax.inference.session import Session

SIZE = (24, 34)
NAMES = [f"{index:05d}" for index in range(4)]


class CopyingSession(Session):
  """Knows the latest labels; its file holds them."""

  def __init__(self, labels=None, number=-1):
    self.frame, self.number = labels, number

  def start(self, frame, labels=None):
    self.frame = labels.astype(np.int32)
    return self.step(frame)

  def step(self, frame, labels=None):
    ids = np.unique(self.frame[self.frame > 0]).tolist()
    return FrameResult.from_labels(frame, self.frame, ids, range(len(ids)))

  def save(self, path):
    with path.open("wb") as file:
      np.savez(file, labels=self.frame, number=self.number)


class CopyingSegmenter(VideoSegmenter):
  """Repeats the masks of all prompts so far; counts the frames."""

  calls = 0
  one_shot = True

  def __init__(self):
    pass

  def new_session(self):
    return CopyingSession()

  def load_session(self, path):
    with np.load(path) as state:
      return CopyingSession(state["labels"], int(state["number"]))

  def run(self, frames, prompts=None, direction=None, session=None):
    session = session or CopyingSession()
    labels = session.frame
    for index in range(session.number + 1, len(frames)):
      if labels is None:
        labels = np.zeros(frames[index].shape[:2], np.int32)
      given = None if prompts is None else prompts.get(index)
      if given is not None:
        checks.require_ids(given.astype(np.int32))  # as every segmenter does
        labels = np.where((given > 0) & (given < 255), given, labels)
      CopyingSegmenter.calls += 1
      session.frame, session.number = labels, index
      ids = [i for i in np.unique(labels).tolist() if i]
      if ids:
        yield FrameResult.from_labels(frames[index], labels, ids, range(len(ids)))
      else:
        yield FrameResult.background(frames[index])


@pytest.fixture
def copying(monkeypatch):
  """The class of the segmenter, which every command gets."""
  CopyingSegmenter.calls = 0
  monkeypatch.setattr(
    segment, "load_segmenter", lambda *_, **__: (CopyingSegmenter(), "agame")
  )
  return CopyingSegmenter


@pytest.fixture
def frames(tmp_path):
  """A folder of four frames of noise."""
  folder = tmp_path / "video"
  folder.mkdir()
  rng = np.random.default_rng(0)
  for name in NAMES:
    pixels = rng.integers(0, 256, (*SIZE, 3), np.uint8)
    Image.fromarray(pixels).save(folder / f"{name}.jpg")
  return folder


def _save_mask(path, value=1, size=SIZE, rows=slice(5, 12)):
  labels = np.zeros(size, np.uint8)
  labels[rows, 8:20] = value
  image = Image.fromarray(labels)
  image.putpalette([value for value in range(256) for _ in range(3)])
  image.save(path)
  return path


@pytest.fixture
def mask(tmp_path):
  return _save_mask(tmp_path / "first.png", 3)


@pytest.fixture
def save_mask():
  """Writes the mask of a rectangle and returns its path."""
  return _save_mask
