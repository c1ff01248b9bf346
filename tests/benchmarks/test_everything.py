"""All benchmarks in a given time: order, time limit, and what is left of failures."""

import copy
import json
import multiprocessing
import os
import signal
import time

import pytest

from vosjax import models, weights
from vosjax.__main__ import main
from vosjax.benchmarks import everything
from vosjax.benchmarks.everything import FAILED, NO_TIME, OK, SKIPPED, Case, Item
from vosjax.cli import benchmark
from vosjax.cli.problems import INTERRUPTED

SMALL = {"channels": 4, "num_convolutions": 2}


def run(groups, seconds=300.0):
  """The outcome, and copies of what was saved on the way."""
  saved = []
  outcome = everything.run(
    groups, seconds=float(seconds), save=lambda x: saved.append(copy.deepcopy(x))
  )
  return outcome, saved


def by_name(outcome):
  return {entry["name"]: entry for entry in outcome["items"]}


def test_the_plan_measures_every_model_and_puts_the_targets_first():
  groups = everything.plan()
  names = [item.name for group in groups for item in group]
  assert len(set(names)) == len(names)
  assert all(item.kind in everything.MEASUREMENTS for g in groups for item in g)
  assert all(item.kind == "agreement" for item in groups[0])
  assert groups[1][0].name == "agame bfloat16, 1 object"
  measured = {item.options.get("name") for group in groups for item in group}
  assert measured >= {*models.MODELS, *weights.names()}
  for number in (1, 5, 10, 50):
    assert sum(item.options.get("objects") == number for g in groups for item in g) >= 3


def test_a_model_is_measured_in_every_way_and_failures_stay_alone():
  case = Case("small ris", "ris", (32, 48), (2,), SMALL)
  (agreement,), *_ = everything.plan([case])
  ours = everything.measure_targets(case, "float32")
  ours += everything.measure_details(case, "float32")
  wrong = Item("unknown field", "model", {"name": "ris", "colour": 1} | ours[0].options)
  absent = Item("absent", "data", {}, ("no_such_module",))
  for item in ours:
    if item.kind == "encoder":
      item.options["batch"] = 2
    if "frames" in item.options:
      item.options["frames"] = 3
  outcome, saved = run([[absent], [wrong, agreement, *ours]])
  found = by_name(outcome)
  assert found["absent"]["status"] == SKIPPED
  assert found["absent"]["reason"] == "no_such_module not installed"
  assert found["unknown field"]["status"] == FAILED
  assert "colour" in found["unknown field"]["reason"]
  assert found["small ris agrees with the CPU"]["result"]["agrees"]
  for item in ours:
    entry = found[item.name]
    assert entry["status"] == OK, entry
    for key in ("ms_per_frame", "peak_memory_bytes"):
      assert entry["result"][key] > 0, (item.name, key)
    assert "compile_seconds" in entry["result"]  # 0 where a timed run was held up
  assert found["small ris float32, encoder, large batch"]["result"]["batch"] == 2
  planned, *later = saved
  assert {entry["status"] for entry in planned["items"]} == {NO_TIME}
  assert planned["interrupted"]
  assert not outcome["interrupted"]
  assert [len(x["items"]) for x in saved] == [len(outcome["items"])] * len(saved)
  statuses = [[entry["status"] for entry in x["items"]] for x in later]
  assert [x.count(NO_TIME) for x in statuses] == [*reversed(range(len(ours) + 3)), 0]
  json.dumps(saved)
  text = everything.table(outcome)
  assert "small ris float32, 2 objects, whole video" in text
  assert "skipped: no_such_module not installed" in text


def test_it_ends_in_time_in_the_middle_of_a_measurement():
  slow = Item("metrics of long videos", "metrics", {"size": (16, 16), "frames": 10**6})
  began = time.monotonic()
  outcome, _ = run(
    [[slow, Item("later", "metrics", {})], [Item("last", "data", {})]], 4
  )
  assert time.monotonic() - began < 30
  assert [entry["status"] for entry in outcome["items"]] == [NO_TIME] * 3
  assert outcome["items"][0]["reason"] == "stopped"
  assert not outcome["interrupted"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_shows_and_keeps_what_it_measured(
  tmp_path, capsys, monkeypatch, signum
):
  absent = Item("absent", "data", {}, ("no_such_module",))
  slow = Item("slow", "metrics", {"size": (16, 16), "frames": 10**6})
  groups = [[absent], [slow, Item("later", "metrics", {})], [Item("last", "data", {})]]
  monkeypatch.setattr(everything, "plan", lambda: groups)
  monkeypatch.setattr(benchmark, "_progress", lambda _: signal.raise_signal(signum))
  file = tmp_path / "all.json"
  assert main(["benchmark", "all", "--json", str(file)]) == INTERRUPTED
  assert not multiprocessing.active_children()
  outcome = json.loads(file.read_text())
  assert outcome["interrupted"]
  found = [(x["name"], x["status"], x["reason"]) for x in outcome["items"]]
  assert found == [
    ("absent", SKIPPED, "no_such_module not installed"),
    ("slow", NO_TIME, "stopped"),
    ("later", NO_TIME, ""),
    ("last", NO_TIME, ""),
  ]
  printed = capsys.readouterr()
  assert "skipped: no_such_module not installed" in printed.out
  assert "1 skipped, 3 no time" in printed.out
  assert printed.err == "vosjax: stopped.\n"


def test_a_process_that_dies_takes_no_other_group_with_it(monkeypatch):
  monkeypatch.setattr(everything, "_work", os._exit)  # which refuses its arguments
  group = [Item("dying", "metrics", {}), Item("after it", "metrics", {})]
  outcome, _ = run([group, [Item("absent", "data", {}, ("no_such_module",))]])
  assert [entry["status"] for entry in outcome["items"]] == [FAILED, FAILED, SKIPPED]
  assert outcome["items"][0]["reason"] == "its process ended with code 1"


def test_the_command_writes_the_file(tmp_path, capsys, monkeypatch):
  item = Item("absent", "data", {}, ("no_such_module",))
  monkeypatch.setattr(everything, "plan", lambda: [[item]])
  file = tmp_path / "all.json"
  assert main(["benchmark", "all", "--minutes", "0.5", "--json", str(file)]) == 0
  assert json.loads(file.read_text())["items"][0]["status"] == SKIPPED
  assert "no_such_module" in capsys.readouterr().out


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "soon"])
def test_the_time_must_be_positive(minutes, capsys):
  with pytest.raises(SystemExit):
    main(["benchmark", "all", "--minutes", minutes])
  assert f"'{minutes}' is not a number of minutes above 0" in capsys.readouterr().err
