"""Averages by the number of objects in a video."""

import numpy as np
import pytest

from vosjax.evaluation.results import Result, Row


def row(video, k, region, contour):
  frames = ("00001", "00002")
  values = (np.full(2, x) for x in (region, contour))
  return Row(f"{video}_{k}", video, frames, *values, object_id=k)


def test_objects_are_grouped_by_the_number_in_their_video():
  rows = (
    row("one", 1, 0.8, 0.6),
    row("pair", 1, 0.2, 0.3),
    row("pair", 2, 0.4, 0.5),
    row("other", 1, 0.6, 0.7),
  )
  result = Result("davis2017", "a description", rows, {})
  found = result.by_instances()
  assert list(found) == [1, 2]
  assert found[1]["J-Mean"] == pytest.approx(0.7)
  assert found[1]["F-Mean"] == pytest.approx(0.65)
  assert found[2]["J-Mean"] == pytest.approx(0.3)
  lines = result.instances_table().splitlines()
  assert lines[1].split() == ["1", "2", "70.0", "65.0"]
  assert lines[2].split() == ["2", "1", "30.0", "40.0"]
