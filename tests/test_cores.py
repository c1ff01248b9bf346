"""Cores that this process may use."""

import pytest

from vosjax import cores


@pytest.fixture
def quota(tmp_path, monkeypatch):
  """The file that says what a container may use; it is not there at first."""
  path = tmp_path / "cpu.max"
  monkeypatch.setattr(cores, "_QUOTA", path)
  return path


def test_cores_of_other_jobs_do_not_count(monkeypatch, quota):
  monkeypatch.setattr("os.cpu_count", lambda: 64)
  monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3}, raising=False)
  assert cores.available() == 2
  monkeypatch.delattr("os.sched_getaffinity")  # not Linux
  assert cores.available() == 64
  monkeypatch.setattr("os.cpu_count", lambda: None)
  assert cores.available() == 1


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("max 100000\n", 8),
    ("200000 100000\n", 2),  # docker run --cpus 2
    ("250000 100000\n", 3),
    ("20000 100000\n", 1),
    ("6400000 100000\n", 8),
    ("nonsense\n", 8),
    ("0 0\n", 8),
  ],
)
def test_a_container_may_use_fewer(monkeypatch, quota, text, expected):
  monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
  quota.write_text(text)
  assert cores.available() == expected
