"""Ctrl-C at a chosen time."""

import signal

import pytest


@pytest.fixture
def interrupt_soon():
  """A function after which Ctrl-C comes in so many seconds."""

  if not hasattr(signal, "SIGALRM"):
    pytest.skip("this system has no alarms")

  def interrupt(*_):
    raise KeyboardInterrupt

  before = signal.signal(signal.SIGALRM, interrupt)
  yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
  signal.setitimer(signal.ITIMER_REAL, 0)
  signal.signal(signal.SIGALRM, before)
