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


def test_all_unusable_files_of_a_video_are_named(tmp_path):
  write(tmp_path / "Annotations" / "dog")
  write(tmp_path / "results" / "dog")
  (files,) = mask_folders.find(tmp_path / "results", tmp_path)
  Image.new("P", (9, 4)).save(files.truth[1])
  Image.new("P", (5, 4)).save(files.prediction[0])
  files.prediction[1].unlink()
  video, problems = files.load(slice(None))
  assert video is None
  assert [line.partition(":")[0] for line in problems] == [
    str(files.truth[1]),
    str(files.prediction[0]),
    str(files.prediction[1]),
  ]
  assert "9x4 pixels, but 00000.png has 6x4" in problems[0]


def test_only_needed_frames_must_have_a_prediction(tmp_path):
  write(tmp_path / "Annotations" / "dog", frames=3)
  write(tmp_path / "results" / "dog", frames=2, value=2)
  (files,) = mask_folders.find(tmp_path / "results", tmp_path)
  video, problems = files.load(slice(0, 2))
  assert not problems
  assert video.prediction.max(axis=(1, 2)).tolist() == [2, 2, 0]
  assert video.truth.max(axis=(1, 2)).tolist() == [1, 1, 1]
  _, problems = files.load(slice(None))
  assert problems == [f"{files.prediction[2]}: missing."]
