"""Masks of a video are read in one way, and unusable files are named."""

import numpy as np
import pytest
from PIL import Image

from vosjax.data.label_agreement import WHITE_IS_VOID
from vosjax.evaluation.mask_files import WHITE_IS_1, MaskFiles


def video_of(folder, truth, prediction):
  """A video of gray masks, each of them with these values."""

  def write(name, values):
    paths = tuple(folder / name / f"{t:05d}.png" for t in range(len(values)))
    paths[0].parent.mkdir(parents=True)
    for path, row in zip(paths, values):
      Image.fromarray(np.array([row, row], np.uint8)).save(path)
    return paths

  return MaskFiles("dog", write("truth", truth), write("prediction", prediction))


def test_all_unusable_files_of_a_video_are_named(tmp_path):
  files = video_of(tmp_path, [[0, 1], [0, 1]], [[0, 1], [0, 1]])
  Image.new("P", (9, 4)).save(files.truth[1])
  Image.new("P", (5, 4)).save(files.prediction[0])
  files.prediction[1].unlink()
  video, problems, *_ = files.load(slice(None))
  assert video is None
  assert [line.partition(":")[0] for line in problems] == [
    str(files.truth[1]),
    str(files.prediction[0]),
    str(files.prediction[1]),
  ]
  assert "9x4 pixels, but 00000.png has 2x2" in problems[0]


def test_only_needed_frames_must_have_a_prediction(tmp_path):
  files = video_of(tmp_path, [[0, 1]] * 3, [[0, 2]] * 3)
  files.prediction[2].unlink()
  video, problems, *_ = files.load(slice(0, 2))
  assert not problems
  assert video.prediction.max(axis=(1, 2)).tolist() == [2, 2, 0]
  assert video.truth.max(axis=(1, 2)).tolist() == [1, 1, 1]
  _, problems, *_ = files.load(slice(None))
  assert problems == [f"{files.prediction[2]}: missing."]


def test_masks_with_other_colours_for_an_id_are_refused_once(tmp_path):
  files = video_of(tmp_path, [[0, 1]] * 3, [[0, 1]] * 3)
  for path, color in zip(files.prediction, ((9, 8, 7), (7, 8, 9), (7, 8, 9))):
    image = Image.open(path).convert("P")
    image.putpalette([0, 0, 0, *color])
    image.save(path)
  _, problems, *_ = files.load(slice(None))
  (line,) = problems
  assert line.startswith("dog: id 1 is (9, 8, 7) in ") and "(7, 8, 9)" in line


@pytest.mark.parametrize(
  ("values", "labels", "note"),
  [
    ([[0, 255], [0, 255]], [[0, 1], [0, 1]], WHITE_IS_1),
    ([[0, 255], [0, 1]], [[0, 1], [0, 1]], WHITE_IS_1),
    ([[0, 255], [1, 255]], [[0, 255], [1, 255]], "white is 255, as in other masks"),
    ([[0, 255], [0, 2]], [[0, 255], [0, 2]], "white is 255, as in other masks"),
    ([[0, 2], [1, 255]], [[0, 2], [1, 255]], None),
  ],
)
def test_white_is_the_same_in_all_masks_of_a_video(tmp_path, values, labels, note):
  files = video_of(tmp_path, values, values)
  video, problems, *notes = files.load(slice(None))
  assert not problems
  for found, of_files, paths in zip(
    (video.truth, video.prediction), notes, (files.truth, files.prediction)
  ):
    assert found[:, 0].tolist() == labels
    listed = [(line.startswith(note), names) for line, names in of_files.items()]
    white = [str(paths[0]), str(paths[1])] if values[1] == [0, 255] else [str(paths[0])]
    assert listed == ([(True, white)] if note else [])


def test_255_can_be_kept_where_nothing_shows_that_it_is_no_object(tmp_path):
  files = video_of(tmp_path, [[0, 255], [0, 1]], [[0, 1], [0, 1]])
  loaded = files.load(slice(None), keeps_255=True)
  assert loaded.video.truth[:, 0].tolist() == [[0, 255], [0, 1]]
  assert list(loaded.of_truth) == [WHITE_IS_VOID] and not loaded.of_prediction
  binary = video_of(tmp_path / "binary", [[0, 255]], [[0, 255]])
  assert binary.load(slice(None), keeps_255=True).video.truth.max() == 1
