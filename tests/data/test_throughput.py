import types

import pytest

from vosjax.data import throughput


def test_clips_are_timed_beside_their_pictures(monkeypatch):
  clock = iter(float(tick) for tick in range(100))  # every span takes one second
  now = types.SimpleNamespace(perf_counter=lambda: next(clock))
  monkeypatch.setattr(throughput, "time", now)
  result = throughput.measure((40, 64), steps=2, rounds=1)
  frames = 2 * throughput.BATCH_SIZE * throughput.CLIP_LENGTH
  for case in ("own size", "half size"):
    assert result[case] == {
        "pipeline": frames, "decoder": frames, "resizer": frames,
        "fraction_of_decoder": 1.0, "fraction_of_resizer": 1.0,
    }  # fmt: skip
  lines = throughput.table(result).splitlines()
  assert lines[1].split() == ["pipeline", "64", "64"]
  assert lines[-1].split() == ["fraction", "of", "resizer", "1.00", "1.00"]


def test_the_drawn_videos_are_a_folder_that_trains(tmp_path):
  source = throughput.draw_folder(tmp_path, size=(40, 64), videos=2, length=9)
  assert [len(video) for video in source.videos] == [9, 9]
  assert source[0].size == (40, 64)
  assert source[1].labels(3).max() >= 1
  with pytest.raises(FileExistsError):
    throughput.draw_folder(tmp_path, size=(40, 64), videos=2, length=9)
