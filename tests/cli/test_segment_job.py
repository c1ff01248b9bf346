"""The output folder of `vosjax segment`: whose results it holds, in words."""

import os

import numpy as np
import pytest

from vosjax.cli import segment_job
from vosjax.cli.segment_job import Job

INPUTS = {
  "video": "/v.mp4",
  "video_changed": 1,
  "frames": 4,
  "mask": None,
  "mask_changed": None,
  "checkpoint": "/model",
  "checkpoint_changed": 1,
  "save": "masks,overlay",
  "start": None,
  "end": None,
  "every": None,
  "direction": None,
  "colors": False,
  "max_size": None,
  "dtype": "float32",
  "references": None,
  "reference_policy": "uniform",
  "fusion": None,
  "seed": 0,
  "crf": False,
}
KINDS = ("masks", "overlay")


@pytest.mark.parametrize(
  ("changed", "text"),
  [
    ({"video": "/w.mp4", "video_changed": 2, "frames": 9}, "its video was /v.mp4."),
    ({"video_changed": 2, "frames": 9}, "changed since, the video had 4 frames."),
    ({"mask": "/m.png", "mask_changed": 3}, "--mask was not given."),
    ({"mask_changed": 3}, "the mask has changed since."),
    ({"checkpoint": "/other", "checkpoint_changed": 5}, "--checkpoint was /model."),
    ({"checkpoint_changed": 5}, "the checkpoint has changed since."),
    ({"references": 3, "fusion": "joint"}, "--references was not given, --fusion was"),
    ({"reference_policy": "random", "seed": 1}, "-policy was uniform, --seed was 0."),
    ({"crf": True}, "--crf was not given."),
    ({"start": "12s", "frames": 3}, "another job: --start was not given. Choose"),
    ({"save": "masks"}, "--save was masks,overlay."),
    ({"max_size": 640, "dtype": "bfloat16"}, "--max-size was not given, --dtype was"),
  ],
)
def test_another_job_is_described(tmp_path, changed, text):
  job = Job(INPUTS, KINDS)
  job.begin(tmp_path)
  (tmp_path / "00000.png").touch()
  job.check_folder(tmp_path)
  with pytest.raises(ValueError) as caught:
    Job(INPUTS | changed, KINDS).check_folder(tmp_path)
  assert text in str(caught.value)
  assert "_" not in str(caught.value).replace(str(tmp_path), "")


def test_a_job_is_finished_when_it_says_so_and_nothing_was_deleted(tmp_path):
  job, out = Job(INPUTS, KINDS), tmp_path / "out"
  assert not job.is_finished(out)
  assert job.begin(out) == 0
  for name in (*(f"{number:05d}.png" for number in range(4)), "overlay.mp4"):
    assert not job.is_finished(out)
    (out / name).touch()
  job.finish(out)
  job.check_folder(out)
  assert job.is_finished(out)
  (out / "00002.png").unlink()
  assert not job.is_finished(out)


def test_what_was_found_for_another_job_is_forgotten(tmp_path):
  first, second = (Job(INPUTS | {"video": name}, KINDS) for name in "ab")
  first.keep_found(tmp_path, 0, np.zeros((4, 4), np.uint8))
  second.check_folder(tmp_path)
  second.keep_found(tmp_path, 5, np.ones((8, 8), np.uint8))
  number, labels = second.read_found(tmp_path)
  assert (number, labels.shape) == (5, (8, 8))
  assert first.read_found(tmp_path) is None


def test_a_file_that_is_older_than_others_is_a_change(tmp_path):
  for number in range(3):
    (tmp_path / f"{number}.png").write_bytes(b"mask")
    os.utime(tmp_path / f"{number}.png", (10 + number, 10 + number))
  os.utime(tmp_path, (20, 20))
  before = segment_job._stamp([tmp_path])
  assert segment_job._stamp([tmp_path]) == before
  os.utime(tmp_path / "1.png", (5, 5))
  assert segment_job._stamp([tmp_path]) != before
