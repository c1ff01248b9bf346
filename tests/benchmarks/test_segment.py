"""`vosjax benchmark segment` runs the command's stages alone and together."""

import json

import av  # noqa: F401  a video is written and read with it
import pytest

from vosjax.__main__ import main
from vosjax.benchmarks import segment


@pytest.fixture
def free(monkeypatch):
  """Every network costs nothing."""
  network = segment._network
  monkeypatch.setattr(
    segment, "_network", lambda _, labels: network(segment.FREE, labels)
  )


def test_every_stage_is_measured(free, tmp_path, capsys):
  file = tmp_path / "segment.json"
  arguments = ["--size", "48x66", "--objects", "2", "--frames", "5"]
  assert main(["benchmark", "segment", *arguments, "--json", str(file)]) == 0
  result = json.loads(file.read_text())
  assert [*result["stages"]] == ["decode", "draw", "encode", "masks"]
  assert [*result["networks"]] == [segment.FREE, "agame-lite"]
  for found in result["networks"].values():
    for rate in (*result["stages"].values(), found["alone"], found["together"]):
      assert rate["frames_per_second"] > 0 and rate["cpu_ms_per_frame"] >= 0
  assert set(result["overhead"]) == {"step_ms", "labels_ms"}
  assert all(milliseconds > 0 for milliseconds in result["overhead"].values())
  table = capsys.readouterr().out
  for text in ("48x66, 2 object(s), 5 frames", "decode", "itself", "all together"):
    assert text in table


def test_what_is_possible_is_the_slowest_stage_or_what_all_cores_can_do(monkeypatch):
  monkeypatch.setattr("vosjax.cores.available", lambda: 2)
  fast = {"frames_per_second": 100.0, "cpu_ms_per_frame": 10.0}
  slow = {"frames_per_second": 50.0, "cpu_ms_per_frame": 20.0}
  busy = {"frames_per_second": 60.0, "cpu_ms_per_frame": 30.0}
  assert segment._possible_rate([fast, slow]) == 50.0
  assert segment._possible_rate([fast, slow, busy]) == pytest.approx(2 / 0.06)
