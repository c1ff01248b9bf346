import json

import numpy as np
import pytest
from PIL import Image

from vosjax.train import writers
from vosjax.train.observers import Logger


@pytest.fixture
def open_writer(tmp_path):
  opened = []

  def make(**options):
    opened.append(writers.MetricsWriter(tmp_path, **options))
    return opened[-1]

  yield make
  for writer in opened:
    writer.close()


def test_one_line_per_step(tmp_path, open_writer):
  writer = open_writer()
  writer.write(1, {"loss": 2.5})
  writer.write(2, {"loss": 1.5, "iou": 0.25})
  lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
  assert [json.loads(line) for line in lines] == [
    {"step": 1, "loss": 2.5},
    {"step": 2, "loss": 1.5, "iou": 0.25},
  ]


def test_resuming_drops_later_steps_and_a_broken_last_line(tmp_path, open_writer):
  writer = open_writer()
  for step in range(1, 6):
    writer.write(step, {"loss": float(step)})
  with (tmp_path / "metrics.jsonl").open("a") as file:
    file.write('{"step": 6, "lo')
  assert [line["step"] for line in writers.read_metrics(tmp_path)] == [1, 2, 3, 4, 5]
  open_writer(resumed_from=3).write(4, {"loss": 40.0})
  assert [line["loss"] for line in writers.read_metrics(tmp_path)] == [1, 2, 3, 40]


def test_the_log_holds_means_since_the_last_line(tmp_path, open_writer):
  log = Logger(open_writer(), every_steps=3, last=7)
  for step in range(1, 8):
    log(step, {"loss": float(step)})
  assert writers.read_metrics(tmp_path) == [
    {"step": 3, "loss": 2.0},
    {"step": 6, "loss": 5.0},
    {"step": 7, "loss": 7.0},
  ]


def test_curves_show_what_was_logged(tmp_path, open_writer):
  writers.draw_curves(tmp_path)
  assert not (tmp_path / "curves.png").exists()
  writer = open_writer()
  widths = []
  for name in ("loss", "validation"):
    for step in range(30):
      writer.write(step, {name: float(np.exp(-step))})
    writers.draw_curves(tmp_path)
    with Image.open(tmp_path / "curves.png") as image:
      widths.append(image.width)
  assert widths[1] == 2 * widths[0]  # a panel more
