"""The output folder of `vosjax segment`: whose results it holds, in words."""

import pytest

from vosjax.cli.segment_job import Job

INPUTS = {
  "video": "/v.mp4",
  "video_changed": 1,
  "frames": 4,
  "mask": None,
  "mask_changed": None,
  "checkpoint": "/model",
  "checkpoint_changed": 1,
  "references": None,
  "reference_policy": "uniform",
  "fusion": None,
  "seed": 0,
  "crf": False,
}


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
  ],
)
def test_another_job_is_described(tmp_path, changed, text):
  job = Job(INPUTS)
  job.begin(tmp_path)
  (tmp_path / "00000.png").touch()
  job.check_folder(tmp_path)
  with pytest.raises(ValueError) as caught:
    Job(INPUTS | changed).check_folder(tmp_path)
  assert text in str(caught.value)
  assert "_" not in str(caught.value).replace(str(tmp_path), "")


def test_a_job_is_finished_when_its_last_output_is_there(tmp_path):
  job, out = Job(INPUTS), tmp_path / "out"
  assert not job.is_finished(out, "overlay.mp4")
  job.begin(out)
  (out / "00000.png").touch()
  assert not job.is_finished(out, "overlay.mp4")
  (out / "overlay.mp4").touch()
  job.check_folder(out)
  assert job.is_finished(out, "overlay.mp4")
