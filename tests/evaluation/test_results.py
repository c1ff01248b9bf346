"""Averages and tables of results."""

import json
import math

import numpy as np
import pytest

from vosjax.evaluation.results import Result, Row, average


def row(video, k, region, contour, **fields):
  """The row of an object with the same scores in two frames."""
  frames = ("00001", "00002")
  values = (np.full(2, x) for x in (region, contour))
  return Row(f"{video}_{k}", video, frames, *values, object_id=k, **fields)


def test_objects_are_grouped_by_the_number_in_their_video():
  rows = (
    row("trio", 1, 0.0, 0.1),
    row("trio", 2, 0.0, 0.1),
    row("trio", 3, 0.0, 0.1),
    row("one", 1, 0.8, 0.6),
    row("pair", 1, 0.2, 0.3),
    row("pair", 2, 0.4, 0.5),
    row("other", 1, 0.6, 0.7),
  )
  result = Result("davis2017", "a description", rows, {})
  found = result.by_instances()
  assert list(found) == [1, 2, 3]
  assert found[1]["J-Mean"] == pytest.approx(0.7)
  assert found[1]["F-Mean"] == pytest.approx(0.65)
  assert found[2]["J-Mean"] == pytest.approx(0.3)
  lines = result.instances_table().splitlines()
  assert lines[1].split() == ["1", "2", "70.0", "65.0"]
  assert lines[2].split() == ["2", "1", "30.0", "40.0"]


@pytest.fixture
def partial():
  """A result with T of one video, and with an average that is not a number."""
  rows = (row("a", 1, 1.0, 0.5, stability=0.25), row("b", 1, 0.0, 0.25))
  return Result("p", "a description", rows, average(rows) | {"J-Unseen": math.nan})


def test_what_is_not_a_number_is_empty_in_csv_and_null_in_json(partial):
  header, values = partial.global_csv().splitlines()
  assert header.split(",")[-2:] == ["F-Decay", "J-Unseen"]
  assert values == "0.438,0.500,0.500,0.000,0.375,0.000,0.000,"
  record = json.loads(partial.to_json())
  assert record["summary"]["J-Unseen"] is None
  assert [r["T"] for r in record["rows"]] == [0.25, None]


def test_a_row_is_the_same_after_a_time_in_json(partial):
  scores = np.array([1 / 3, math.nan, 0.1])
  named = Row("a_1", "a", ("0", "1", "2"), scores, 1 - scores, 1, 2, "cat")
  for before in (*partial.rows, named):
    after = Row.from_record(json.loads(json.dumps(before.to_record())))
    for ours, theirs in zip(vars(after).values(), vars(before).values()):
      np.testing.assert_array_equal(ours, theirs)


def test_the_table_has_a_column_for_t_if_it_was_measured(partial):
  head, a, b, *_ = partial.table().splitlines()
  assert head.split()[-1] == "T"
  assert a.split() == ["a_1", "100.0", "100.0", "0.0", "50.0", "0.0", "0.0", "25.0"]
  assert b.split()[-1] == "-"
  assert partial.table().splitlines()[-1].split() == ["J-Unseen", "-"]
  without = Result("p", "a description", partial.rows[1:], {})
  assert "T" not in without.table().splitlines()[0]
