"""Predictions are found in their folders, and unusable files are named."""

import numpy as np
import pytest
from PIL import Image

from vosjax.evaluation import mask_folders


def write(folder, *, frames=2, size=(4, 6), value=1):
  folder.mkdir(parents=True)
  for t in range(frames):
    labels = np.zeros(size, np.uint8)
    labels[1:3, 1:4] = value
    Image.fromarray(labels).convert("P").save(folder / f"{t:05d}.png")


def test_480p_is_preferred_to_other_resolutions(tmp_path):
  write(tmp_path / "Annotations" / "240p" / "dog")
  write(tmp_path / "results" / "dog")
  (files,) = mask_folders.find(tmp_path / "results", tmp_path)
  assert files.truth[0].parent == tmp_path / "Annotations" / "240p" / "dog"
  write(tmp_path / "Annotations" / "480p" / "dog")
  (files,) = mask_folders.find(tmp_path / "results", tmp_path)
  assert files.truth[0].parent == tmp_path / "Annotations" / "480p" / "dog"
  assert files.prediction[1] == tmp_path / "results" / "dog" / "00001.png"
  assert files.frames == ("00000", "00001")


def test_annotations_are_compared_with_themselves_only_on_purpose(tmp_path):
  annotations = tmp_path / "Annotations"
  write(annotations / "dog")
  with pytest.raises(ValueError, match="holds the annotations themselves"):
    mask_folders.find(tmp_path, tmp_path)
  (files,) = mask_folders.find(annotations, tmp_path)
  assert files.truth == files.prediction


def test_listed_videos_must_be_annotated(tmp_path):
  write(tmp_path / "Annotations" / "dog")
  write(tmp_path / "results" / "dog")
  (tmp_path / "list.txt").write_text("dog\ncat\n")
  with pytest.raises(
    ValueError, match="no annotations .* of cat. Check --root and --set"
  ):
    mask_folders.find(tmp_path / "results", tmp_path, subset=str(tmp_path / "list.txt"))


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
  for folder in (tmp_path / "Annotations" / "dog", tmp_path / "results" / "dog"):
    write(folder, frames=0)
    for t in range(1, 13):
      Image.new("P", (6, 4), 1).save(folder / f"{t}.png")
  (files,) = mask_folders.find(tmp_path / "results", tmp_path)
  assert files.frames == tuple(str(t) for t in range(1, 13))
