"""A short video with two objects, and a job that writes it."""

import types

import numpy as np
import pytest

from vosjax.media import outputs

SIZE = (33, 51)  # odd
LENGTH = 12
IDS = (1, 7)


@pytest.fixture(scope="session")
def toy():
  """Size, length and truth of the video."""
  return types.SimpleNamespace(
    size=SIZE, length=LENGTH, frame_of=frame_of, labels_of=labels_of, probs_of=probs_of
  )


def frame_of(index):
  rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
  gray = (rows * 5 + columns * 2 + index * 9) % 256
  return np.stack([gray, gray[::-1], gray[:, ::-1]], -1).astype(np.uint8)


def labels_of(index):
  labels = np.zeros(SIZE, np.int32)
  labels[5:15, 4 + index : 20 + index] = 1
  labels[18:30, 30 - index : 44 - index] = 7
  return labels


def probs_of(index):
  labels = labels_of(index)
  return np.stack([np.where(labels == i, 0.75, 0.125) for i in IDS]).astype(np.float32)


def scores_of(index):
  return np.array([0.9, 0.2 + 0.01 * index if 4 <= index < 8 else 0.8])


@pytest.fixture
def write_job(tmp_path):
  """A function that writes a job to a folder with this name."""

  def write(
    kinds,
    name="out",
    *,
    start=0,
    stop=LENGTH,
    every=4,
    interrupt=None,
    times=(None,) * LENGTH,
    **options,
  ):
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    settings = {"video_name": "toy", "size": SIZE, "frames_per_second": 25.0}
    with outputs.open_outputs(
      kinds, folder, resume_from=start, **settings | options
    ) as out:
      for index in range(start, stop):
        if index and index % every == 0:
          out.checkpoint()
        if index == interrupt:
          raise KeyboardInterrupt
        out.write(
          index,
          f"{index:05d}",
          frame_of(index),
          lambda index=index: labels_of(index),
          IDS,
          lambda index=index: probs_of(index),
          scores_of(index),
          scores_of(index) < 0.5,
          times[index],
        )
    return folder

  return write
