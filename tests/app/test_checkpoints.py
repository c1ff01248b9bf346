"""Checkpoints are found again only where they fit, and stay within their budget."""

import numpy as np
import pytest

from vosjax.app import checkpoints
from vosjax.app.checkpoints import Checkpoints
from vosjax.app.plan import GivenObjects, make_plan

GIVEN = GivenObjects((1,), (), "a")


@pytest.fixture
def session(segmenter):
  made = segmenter.new_session()
  labels = np.zeros((32, 48), np.uint8)
  labels[5:20, 5:20] = 1
  made.start(np.zeros((32, 48, 3), np.uint8), labels)
  return made


def forward(given=None, length=20):
  (one,) = make_plan(given or {0: GIVEN}, "forward", length, "m").passes
  return one


def test_the_last_one_before_a_position_is_found(tmp_path, segmenter, session):
  kept, one = Checkpoints(tmp_path, segmenter), forward()
  for position in (2, 7, 11):
    kept.save(one, position, session)
  assert kept.latest(one, 11)[0] == 7
  assert kept.latest(one, 12)[0] == 11
  assert kept.latest(one, 2) == (-1, None)
  again = Checkpoints(tmp_path, segmenter)
  position, loaded = again.latest(one, 20)
  assert position == 11 and loaded.object_ids == (1,)


def test_those_after_a_correction_do_not_fit(tmp_path, segmenter, session):
  kept, one = Checkpoints(tmp_path, segmenter), forward()
  for position in (2, 7, 11):
    kept.save(one, position, session)
  corrected = forward({0: GIVEN, 5: GivenObjects((1,), (), "b")})
  assert kept.latest(corrected, 20)[0] == 2
  kept.forget_all_but([corrected])
  assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_one_is_left_out(tmp_path, segmenter, session):
  kept, one = Checkpoints(tmp_path, segmenter), forward()
  kept.save(one, 2, session)
  kept.save(one, 9, session)
  (late,) = tmp_path.glob("forward-00000009-*")
  late.write_bytes(late.read_bytes()[:1000])
  assert kept.latest(one, 20)[0] == 2
  assert not late.exists()


def test_they_stay_within_the_budget(tmp_path, segmenter, session, monkeypatch):
  kept, one = Checkpoints(tmp_path, segmenter), forward()
  kept.save(one, 0, session)
  (first,) = tmp_path.iterdir()
  monkeypatch.setattr(checkpoints, "_BUDGET", 4.5 * first.stat().st_size)
  for position in range(1, 20):
    kept.save(one, position, session)
  positions = sorted(int(path.name.split("-")[1]) for path in tmp_path.iterdir())
  assert len(positions) == 4
  assert positions[0] == 0 and positions[-1] == 19


def test_saving_takes_a_small_share_of_the_time(
  tmp_path, segmenter, session, monkeypatch
):
  now = [0.0]
  monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
  save = type(session).save

  def slow(self, path):
    save(self, path)
    now[0] += 1.0

  monkeypatch.setattr(type(session), "save", slow)
  kept = Checkpoints(tmp_path, segmenter)
  now[0] = 5.0
  assert kept.is_due()
  kept.save(forward(), 1, session)
  now[0] += 20.0
  assert not kept.is_due()
  now[0] += 20.0
  assert kept.is_due()


def test_one_way_does_not_use_up_the_budget_of_the_other(
  tmp_path, segmenter, session, monkeypatch
):
  kept = Checkpoints(tmp_path, segmenter)
  backward, onward = make_plan({10: GIVEN}, "both", 20, "m").passes
  kept.save(backward, 0, session)
  size = next(tmp_path.iterdir()).stat().st_size
  monkeypatch.setattr(checkpoints, "_BUDGET", 8 * size)
  for one in (backward, onward):
    for position in range(1, len(one.frames)):
      kept.save(one, position, session)
  numbers = [len(list(tmp_path.glob(f"{one.name}-*"))) for one in (backward, onward)]
  assert sum(numbers) == 8 and min(numbers) >= 3
  assert kept.latest(onward, len(onward.frames))[0] == len(onward.frames) - 1
