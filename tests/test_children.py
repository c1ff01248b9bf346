"""Processes that get no signals and end with the one that started them."""

import multiprocessing
import signal
import subprocess
import sys

import pytest

from vosjax import children

# A measurement that takes hours is running when its process' parent is killed.
KILLED = """
import os, signal
from vosjax.benchmarks import everything

slow = everything.Item("slow", "metrics", {"size": (16, 16), "frames": 10**6})
everything.run(
  [[slow]],
  seconds=1e6,
  save=lambda _: None,
  report=lambda _: os.kill(os.getpid(), signal.SIGKILL),
)
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_child_gets_no_signals_and_its_parent_gets_them_later(signum):
  received = []
  before = signal.signal(signum, lambda *_: received.append(True))
  try:
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=signal.raise_signal, args=(signum,))
    with children.started_without_signals():
      child.start()
      signal.raise_signal(signum)
      assert not received
    assert received
    child.join()
  finally:
    signal.signal(signum, before)
  assert child.exitcode == 0


def test_a_measurement_ends_with_the_process_that_started_it():
  # The output ends when nobody can write to it any more.
  ended = subprocess.run(
    [sys.executable, "-c", KILLED], capture_output=True, timeout=60
  )
  assert ended.returncode == -signal.SIGKILL, ended.stderr[-2000:]
