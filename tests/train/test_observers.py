"""What is shown of a training run while it goes on."""

from unittest import mock

from ml_collections import ConfigDict

from vosjax.train.loop import Stage
from vosjax.train.observers import Progress


def test_the_progress_bar_stays_out_of_a_log(capsys):
  config = ConfigDict({"stages": {"main": {"batch_size": 2, "clip_length": 3}}})
  stage = mock.Mock(spec=Stage, stop=2)
  stage.name = "main"
  with Progress(config, [stage], done=0) as progress:
    for step in (1, 2):
      progress(step, {"loss": 0.5, "iou": 0.25})
  assert capsys.readouterr().err == ""  # which is no terminal here
