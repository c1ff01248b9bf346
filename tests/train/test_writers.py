import io
import json
import pathlib
import threading

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto import event_pb2

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


def test_a_validation_that_is_repeated_is_logged_once(tmp_path, open_writer):
  writer = open_writer()
  for step in (2, 4):
    writer.write(step, {"loss": 1.0})
    writer.write(step, {"validation": 0.5})
  open_writer(resumed_from=4, validated=True)
  assert len(writers.read_metrics(tmp_path)) == 4
  open_writer(resumed_from=4, validated=False)
  assert writers.read_metrics(tmp_path) == [
    {"step": 2, "loss": 1.0},
    {"step": 2, "validation": 0.5},
    {"step": 4, "loss": 1.0},
  ]


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


def test_a_full_disk_is_an_error_of_this_thread(tmp_path, monkeypatch):
  full = pathlib.Path("/dev/full")
  monkeypatch.setattr("tensorboardX.record_writer.open_file", lambda _: full.open("wb"))
  threads = set(threading.enumerate())  # of which some may end meanwhile
  writer = writers.MetricsWriter(tmp_path)
  assert not set(threading.enumerate()) - threads
  with pytest.raises(OSError, match="No space left on device"):
    for step in range(1000):
      writer.write(step, {"loss": 1.0})
  with pytest.raises(OSError, match="No space left on device"):
    writer.close()


def test_tensorboard_shows_scalars_and_images_and_hides_repeated_steps(
  tmp_path, open_writer
):
  writer = open_writer(resumed_from=4)
  writer.write(5, {"loss": 0.5, "note": "text is not drawn"})
  writer.write_image(6, "preview", np.full((2, 3, 3), 7, np.uint8))
  writer.close()
  (path,) = (tmp_path / "tensorboard").iterdir()
  version, start, loss, preview = read_events(path)
  assert version.file_version == "brain.Event:2"
  assert (start.step, start.session_log.status) == (5, event_pb2.SessionLog.START)
  assert (loss.step, loss.summary.value[0].tag) == (5, "loss")
  assert loss.summary.value[0].simple_value == 0.5
  assert (preview.step, preview.summary.value[0].tag) == (6, "preview")
  encoded = preview.summary.value[0].image.encoded_image_string
  image = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
  assert (image == np.full((2, 3, 3), 7)).all()


def read_events(path):
  """The events of a file: each after its length and a checksum, before another."""
  data, events = path.read_bytes(), []
  while data:
    length = int.from_bytes(data[:8], "little")
    events.append(event_pb2.Event.FromString(data[12 : 12 + length]))
    data = data[16 + length :]
  return events
