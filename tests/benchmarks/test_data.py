import itertools
import types

import pytest

from vosjax.benchmarks import data
from vosjax.data.codecs import images


def test_clips_are_timed_beside_their_pictures(monkeypatch):
  wall, cpu = itertools.count(), itertools.count(step=2)
  now = types.SimpleNamespace(  # every span takes one second of two processors
    perf_counter=lambda: next(wall), process_time=lambda: next(cpu)
  )
  monkeypatch.setattr(data, "time", now)
  result = data.measure((40, 64), steps=2, rounds=1)
  frames = 2 * data.BATCH_SIZE * data.CLIP_LENGTH
  for case in ("own size", "half size"):
    assert result[case] == {
      "pipeline": frames,
      "decoder": frames,
      "resizer": frames,
      "fraction_of_decoder": 1.0,
      "fraction_of_resizer": 1.0,
      "cpu_fraction_of_decoder": 1.0,
      "cpu_fraction_of_resizer": 1.0,
    }
  lines = data.table(result).splitlines()
  assert lines[1].split() == ["pipeline", "64", "64"]
  assert lines[-1].split() == ["cpu", "fraction", "of", "resizer", "1.00", "1.00"]


def test_fractions_are_of_what_the_pipeline_takes(monkeypatch, tmp_path):
  source = data.draw_folder(tmp_path, size=(40, 64), videos=2, length=9)
  pictures = itertools.cycle(
    [data._Seconds(1.0, 2.0), data._Seconds(3.0, 4.0)]
  )  # with resizing
  monkeypatch.setattr(data, "_time_pictures", lambda *_: next(pictures))
  monkeypatch.setattr(data, "_time_pipeline", lambda *_: data._Seconds(4.0, 8.0))
  result = data.measure_folder(source, (20, 32), steps=1, rounds=3)
  assert result["pipeline"] == 8.0 and result["decoder"] == 32.0
  assert result["fraction_of_decoder"] == 0.25
  assert result["fraction_of_resizer"] == 0.75
  assert result["cpu_fraction_of_decoder"] == 0.25
  assert result["cpu_fraction_of_resizer"] == 0.5


def test_all_pictures_are_decoded_while_the_clock_runs(monkeypatch, tmp_path):
  source = data.draw_folder(tmp_path, size=(40, 64), videos=2, length=9)
  events = []
  now = types.SimpleNamespace(
    perf_counter=lambda: events.append("clock") or 0.0, process_time=lambda: 0.0
  )
  monkeypatch.setattr(data, "time", now)
  decode = images.read_picture
  monkeypatch.setattr(
    images, "read_picture", lambda path: events.append("frame") or decode(path)
  )
  data._time_pictures(source, 20, None)
  assert events == ["clock", *["frame"] * 20, "clock"]


def test_the_drawn_videos_are_a_folder_that_trains(tmp_path):
  source = data.draw_folder(tmp_path, size=(40, 64), videos=2, length=9)
  assert [len(video) for video in source.videos] == [9, 9]
  assert source[0].size == (40, 64)
  assert source[1].labels(3).max() >= 1
  with pytest.raises(FileExistsError):
    data.draw_folder(tmp_path, size=(40, 64), videos=2, length=9)
