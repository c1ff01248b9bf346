"""A tiny dataset in DAVIS layout, which each test may change."""

import shutil
import types

import numpy as np
import pytest
from PIL import Image

SIZE = (24, 32)


def frame_pixels(video: int, t: int) -> np.ndarray:
  """A frame whose colour identifies it."""
  return np.full((*SIZE, 3), (20 * video + 10, 5 * t, 128), np.uint8)


def label_pixels(video: int, t: int) -> np.ndarray:
  """Object 1 moves right, object 3 stands still, void runs along the bottom."""
  labels = np.zeros(SIZE, np.uint8)
  labels[2:14, t : t + 12] = 1
  if video % 2:
    labels[2:14, 20:32] = 3
  labels[-1] = 255
  return labels


def save_labels(path, labels, bits=8):
  """A palette PNG."""
  image = Image.fromarray(labels)
  image.putpalette(list(np.random.default_rng(0).integers(0, 256, 768)))
  image.save(path, bits=bits)


def make_davis(root, videos=4, length=6, subset="train", year="2017"):
  """JPEG frames (lossless enough: one colour each) and palette masks."""
  names = [f"video{v}" for v in range(videos)]
  for v, name in enumerate(names):
    for folder in ("JPEGImages", "Annotations"):
      (root / folder / "480p" / name).mkdir(parents=True, exist_ok=True)
    for t in range(length):
      Image.fromarray(frame_pixels(v, t)).save(
        root / f"JPEGImages/480p/{name}/{t:05}.jpg", quality=95
      )
      save_labels(root / f"Annotations/480p/{name}/{t:05}.png", label_pixels(v, t))
  lists = root / "ImageSets" / year
  lists.mkdir(parents=True, exist_ok=True)
  (lists / f"{subset}.txt").write_text("\n".join(names) + "\n")
  return root


@pytest.fixture(scope="session")
def tree():
  """The functions that the dataset is made with."""
  return types.SimpleNamespace(
    frame_pixels=frame_pixels, label_pixels=label_pixels, save_labels=save_labels
  )


@pytest.fixture(scope="session")
def davis_template(tmp_path_factory):
  """The dataset that `davis` copies."""
  return make_davis(tmp_path_factory.mktemp("template") / "DAVIS")


@pytest.fixture
def davis(davis_template, tmp_path):
  """Root of a complete small dataset: 4 videos of 6 frames."""
  return shutil.copytree(davis_template, tmp_path / "DAVIS")
