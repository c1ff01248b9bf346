"""Two folders of masks are paired whatever their layouts, or the reason is given."""

import shutil

import numpy as np
import pytest
from PIL import Image

from vosjax.evaluation.two_folders import pair


def write(folder, names=("00000.png", "00001.png", "00002.png"), size=(8, 12)):
  folder.mkdir(parents=True, exist_ok=True)
  for t, name in enumerate(names):
    labels = np.zeros(size, np.uint8)
    labels[2:5, 1 + t : 6 + t] = 1
    mode = "L" if name.endswith("jpg") else "P"
    Image.fromarray(labels).convert(mode).save(folder / name)


@pytest.fixture
def truth(tmp_path):
  for name in ("a", "b"):
    write(tmp_path / "truth" / name)
  return tmp_path / "truth"


def place(videos, root):
  """Where the prediction of the first and of the last annotation was found."""
  return [str(v.prediction[k].relative_to(root)) for v in videos for k in (0, -1)]


@pytest.mark.parametrize(
  ("pattern", "note"),
  [
    ("{}/{}.png", None),
    ("{}/{}.PNG", None),
    ("run1/{}/{}.png", "found in run1/VIDEO"),
    ("{}/masks/{}.png", "found in VIDEO/masks"),
    ("{}_{}.png", "files VIDEO_FRAME in one folder"),
  ],
)
def test_predictions_are_found_in_many_layouts(tmp_path, truth, pattern, note):
  root = tmp_path / "results"
  for name in ("a", "b"):
    for path in (truth / name).iterdir():
      target = root / pattern.format(name, path.stem)
      target.parent.mkdir(parents=True, exist_ok=True)
      shutil.copy(path, target)
  pairing = pair(root, truth)
  assert [v.name for v in pairing.videos] == ["a", "b"]
  expected = [pattern.format(n, f"0000{t}") for n in "ab" for t in (0, 2)]
  assert place(pairing.videos, root) == expected
  assert all(v.load(slice(None))[1] == [] for v in pairing.videos)
  assert [note in line for line in pairing.notes] == [True] * (note is not None)


@pytest.mark.parametrize("inside", [".", "Annotations/480p", "Annotations"])
def test_truth_is_one_video_or_many_in_a_dataset(tmp_path, inside):
  root = tmp_path / "data"
  write(root / inside / "a")
  write(root / "JPEGImages" / "a", ["00000.jpg"])
  if inside != ".":
    write(tmp_path / "results" / "a")
    pairing = pair(tmp_path / "results", root)
    assert [v.name for v in pairing.videos] == ["a"]
    assert pairing.frames_root == root
  else:
    write(tmp_path / "other")
    (video,) = pair(tmp_path / "other", root / "a").videos
    assert (video.name, len(video.truth)) == ("a", 3)
    assert video.prediction[0] == tmp_path / "other" / "00000.png"


@pytest.mark.parametrize(
  ("names", "note"),
  [
    (["0.png", "1.png", "2.png"], "0.png is frame 00000: matched by number"),
    (["00001.png", "00002.png", "00003.png"], "numbered from 00001.png, annotations"),
  ],
)
def test_other_numbers_are_matched_where_it_is_certain(tmp_path, truth, names, note):
  for name in "ab":
    write(tmp_path / "results" / name, names)
  videos = pair(tmp_path / "results", truth).videos
  for video in videos:
    assert [path.name for path in video.prediction] == names
    assert note in video.note


def test_other_numbers_that_could_mean_anything_are_missing_files(tmp_path, truth):
  for name in "ab":
    write(tmp_path / "results" / name, ["00001.png", "00002.png"])
  video = pair(tmp_path / "results", truth).videos[0]
  assert video.note == ""
  assert any(line.endswith("missing.") for line in video.load(slice(None))[1])


def test_one_video_with_shifted_numbers_among_others_is_not_shifted(tmp_path, truth):
  write(tmp_path / "results" / "a", ["00001.png", "00002.png", "00003.png"])
  write(tmp_path / "results" / "b")
  video = pair(tmp_path / "results", truth).videos[0]
  assert video.note == "" and not video.prediction[0].exists()


def test_files_without_annotation_are_ignored_and_listed(tmp_path, truth):
  for name in "abc":
    write(tmp_path / "results" / name, [f"0000{t}.png" for t in range(4)])
  (tmp_path / "results" / "a" / "overlay.mp4").touch()
  pairing = pair(tmp_path / "results", truth)
  assert pairing.videos[0].extra == ("00003.png",)
  (note,) = pairing.notes
  assert "the truth has no c, which is ignored" in note


def test_folders_beside_masks_of_the_truth_are_those_of_segment_or_refused(truth):
  write(truth / "b" / "objects" / "1")
  pairing = pair(truth, truth)
  assert [video.name for video in pairing.videos] == ["a", "b"]
  assert not pairing.notes
  write(truth / "a" / "drafts")
  with pytest.raises(ValueError, match=r"masks directly and in folders \(a/drafts\)"):
    pair(truth, truth)


def test_arrays_in_place_of_images_are_named(tmp_path, truth):
  for name in "ab":
    (tmp_path / "results" / name).mkdir(parents=True)
    np.savez(tmp_path / "results" / name / "00000.npz", np.zeros(3))
  (line,) = pair(tmp_path / "results", truth).videos[0].load(slice(None))[1]
  assert "holds .npz files, but no images; expected 00000.png" in line


def test_a_turned_prediction_is_recognised(tmp_path, truth):
  for name in "ab":
    write(tmp_path / "results" / name, size=(12, 8))
  problems = pair(tmp_path / "results", truth).videos[0].load(slice(None))[1]
  assert (
    "8x12 pixels, but the annotation has 12x8; it seems to be turned" in problems[0]
  )


@pytest.mark.parametrize(
  ("folders", "text"),
  [
    (["run1/a", "run2/a"], "several folders could be the predictions: .*run1.*run2"),
    (["c"], "looked for the masks of a, b, named as in the truth, and found c"),
    ([], "no such folder"),
    (["."], "looked for the masks of a, b.* found images directly"),
  ],
)
def test_predictions_that_are_not_certain_are_refused(tmp_path, truth, folders, text):
  for folder in folders:
    write(tmp_path / "results" / folder)
  with pytest.raises(ValueError, match=text):
    pair(tmp_path / "results", truth)


def test_truth_without_masks_is_refused(tmp_path):
  write(tmp_path / "frames", ["00000.jpg"])
  write(tmp_path / "results")
  with pytest.raises(ValueError, match="frames: holds no masks. Expected"):
    pair(tmp_path / "results", tmp_path / "frames")
