"""Reading ahead and working in the background."""

import threading
import time

import pytest

from vosjax.media.pipeline import Background, ReadAhead

TIMEOUT = 10.0  # seconds, after which a test that waits for a thread has failed


class Items:
  """Squares; remembers what was read and in which thread."""

  def __init__(self, count=100, broken=()):
    self.count, self.broken = count, broken
    self.read, self.threads = [], set()

  def __len__(self):
    return self.count

  def __getitem__(self, index):
    self.read.append(index)
    self.threads.add(threading.current_thread())
    if index in self.broken:
      raise ValueError(f"frame {index} is damaged")
    return index * index

  def wait_for(self, count):
    deadline = time.monotonic() + TIMEOUT
    while len(self.read) < count and time.monotonic() < deadline:
      time.sleep(0.001)
    time.sleep(0.02)  # more would be read now
    return self.read


def test_items_are_read_ahead_in_order_in_one_thread_and_only_so_many():
  items = Items()
  with ReadAhead(items, 3) as ahead:
    assert len(ahead) == 100 and not items.read
    assert ahead[0] == 0
    assert items.wait_for(4) == [0, 1, 2, 3]
    assert [ahead[index] for index in range(1, 100)] == [i * i for i in range(1, 100)]
  assert items.read == list(range(100))
  assert len(items.threads) == 1 and threading.main_thread() not in items.threads


def test_items_may_be_asked_for_in_any_order():
  """As references of COSNet, or a video that is read in chunks from its end."""
  order = [0, 50, 80, 1, 2, 4, 3, 60, 61, 62, 20, 21, 99]
  items = Items()
  with ReadAhead(items, 4) as ahead:
    assert [ahead[index] for index in order] == [index**2 for index in order]
    assert max(map(items.read.count, order)) == 2  # item 3 alone was skipped first
    with pytest.raises(IndexError):
      ahead[100]


def test_an_error_is_raised_when_its_item_is_asked_for_and_not_before():
  with ReadAhead(Items(broken={2}), 4) as ahead:
    assert [ahead[0], ahead[1]] == [0, 1]
    for _ in range(2):
      with pytest.raises(ValueError, match="frame 2 is damaged"):
        ahead[2]
    assert ahead[3] == 9


def test_one_worker_keeps_the_order():
  done = []
  with Background("test", ahead=4) as background:
    for number in range(50):
      background.submit(done.append, number)
    background.wait()
    assert done == list(range(50))


def test_only_so_many_calls_wait():
  gate, done = threading.Event(), []

  def call(number):
    gate.wait(TIMEOUT)
    done.append(number)

  with Background("test", ahead=3, workers=2) as background:
    for number in range(3):
      background.submit(call, number)
    late = threading.Thread(target=background.submit, args=(call, 3))
    late.start()
    late.join(0.05)
    assert late.is_alive() and not done
    gate.set()
    late.join(TIMEOUT)
    assert not late.is_alive()
  assert sorted(done) == [0, 1, 2, 3]


def test_the_first_error_reaches_the_caller_as_it_is_and_ends_all_work():
  error, done = OSError(28, "No space left on device", "mask.png"), []

  def fail():
    raise error

  with pytest.raises(OSError) as caught, Background("test", ahead=4) as background:
    background.submit(fail)
    for number in range(100):
      time.sleep(0.001)
      background.submit(done.append, number)
  assert caught.value is error
  assert len(done) == 0


def test_an_interruption_cancels_what_has_not_begun(monkeypatch):
  gate, begun = threading.Event(), threading.Event()
  done = []

  def call(number):
    begun.set()
    gate.wait(TIMEOUT)
    done.append(number)

  with pytest.raises(KeyboardInterrupt), Background("test", ahead=9) as background:
    for number in range(5):
      background.submit(call, number)
    begun.wait(TIMEOUT)
    shut_down = background._pool.shutdown

    def end(**options):
      gate.set()
      shut_down(**options)

    monkeypatch.setattr(background._pool, "shutdown", end)
    raise KeyboardInterrupt
  assert done == [0]


@pytest.mark.parametrize("waiting", [1, 3])
def test_ctrl_c_while_waiting_loses_no_call(waiting, interrupt_soon):
  """`submit` waits for the fourth call, `wait` for less."""
  gate, done = threading.Event(), []

  def call(number):
    gate.wait(TIMEOUT)
    done.append(number)

  with Background("test", ahead=3) as background:
    for number in range(waiting):
      background.submit(call, number)
    with pytest.raises(KeyboardInterrupt):
      interrupt_soon(0.05)
      background.submit(call, waiting) if waiting == 3 else background.wait()
    gate.set()
    background.wait()
    assert done == list(range(waiting))
    background.submit(call, 9)
  assert done[-1] == 9


def test_ctrl_c_in_submit_makes_the_call_or_forgets_it(monkeypatch):
  done = []
  with Background("test", ahead=1) as background:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
      patch.setattr(background._pool, "submit", interrupted)
      background.submit(done.append, 0)
    background.submit(done.append, 1)
  assert done == [0, 1]


def interrupted(*_):
  raise KeyboardInterrupt
