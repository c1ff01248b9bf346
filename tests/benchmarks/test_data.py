"""The benchmark of the input pipeline: real measurements of tiny videos."""

import time

import numpy as np
import pytest

from vosjax.benchmarks import data
from vosjax.data.codecs import images

SIZE = (32, 48)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def source(folder):
  return data.write_folder(folder, size=SIZE, videos=2, length=9)


def test_the_generated_videos_are_a_dataset_to_train_on(source, folder):
  assert [len(video) for video in source.videos] == [9, 9]
  assert source[0].size == SIZE
  assert source[1].labels(3).max() >= 1
  with pytest.raises(FileExistsError):
    data.write_folder(folder, size=SIZE, videos=2, length=9)


def test_both_cases_are_measured_and_shown():
  result = data.measure(SIZE, steps=1, rounds=1)
  assert list(result) == ["full size", "half size"]
  for case in result.values():
    assert set(case) == {
      *data.CASES,
      *data.FRACTIONS,
    }
    assert all(np.isfinite(value) and value > 0 for value in case.values())
  lines = data.table(result).splitlines()
  assert [line.split()[-2:] for line in lines[1:4]] == [
    [f"{case[name]:.0f}" for case in result.values()] for name in data.CASES
  ]
  assert lines[4].startswith("fraction of decoder")


def test_the_time_of_decoding_is_part_of_what_is_measured(source, monkeypatch):
  read = images.read_image

  def slow(path):
    time.sleep(0.05)
    return read(path)

  monkeypatch.setattr(images, "read_image", slow)
  monkeypatch.setattr(data.pipeline, "num_threads", lambda: 1)
  seconds = data._time_images(source, 8, None)
  assert seconds.wall > 8 * 0.05 > seconds.cpu


def test_fractions_are_medians_of_paired_rounds(source, monkeypatch):
  """The pipeline slows down by 1, 2, 4; what it is compared with slows down alike."""
  slowdown = iter([1.0, 2.0, 4.0])
  factor = 1.0

  def time_pipeline(*_):
    return data._Seconds(8.0 * factor, 16.0 * factor)

  def time_images(source, count, size):
    nonlocal factor
    if size is None:
      factor = next(slowdown)
      return data._Seconds(2.0 * factor, 8.0 * factor)
    return data._Seconds(6.0 * factor, 12.0 * factor)

  monkeypatch.setattr(data, "_time_images", time_images)
  monkeypatch.setattr(data, "_time_pipeline", time_pipeline)
  result = data.measure_folder(source, SIZE, steps=1, rounds=3)
  frames = data.BATCH_SIZE * data.CLIP_LENGTH
  assert result == {
    "pipeline": frames / 16,
    "decoder": frames / 4,
    "resizer": frames / 12,
    "fraction_of_decoder": 0.25,
    "cpu_fraction_of_decoder": 0.5,
    "fraction_of_resizer": 0.75,
    "cpu_fraction_of_resizer": 0.75,
  }
