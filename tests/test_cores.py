"""Cores that this process may use."""

from vosjax import cores


def test_cores_of_other_jobs_do_not_count(monkeypatch):
  monkeypatch.setattr("os.cpu_count", lambda: 64)
  monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3}, raising=False)
  assert cores.available() == 2
  monkeypatch.delattr("os.sched_getaffinity")  # not Linux
  assert cores.available() == 64
  monkeypatch.setattr("os.cpu_count", lambda: None)
  assert cores.available() == 1
