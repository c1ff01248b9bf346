import collections
import contextlib
import dataclasses
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest

from vosjax.data import pipeline
from vosjax.data.formats.davis import DavisFolder
from vosjax.data.formats.folders import FolderVideo
from vosjax.data.transforms import clips
from vosjax.data.video import Video

CHAIN = (
  clips.SampleClip(3),
  clips.Resize((12, 16)),
  clips.ChooseObject(5),
  clips.RandomZoom(),
  clips.RandomFlip(),
)


def run(source, **options):
  options = {"batch_size": 2, "seed": 7, "num_steps": 6} | options
  return list(pipeline.batches([source], None, CHAIN, **options))


def assert_same(first, second):
  assert len(first) == len(second)
  for a, b in zip(first, second):
    assert a["names"] == b["names"]
    np.testing.assert_array_equal(a["frames"], b["frames"])
    np.testing.assert_array_equal(a["labels"], b["labels"])


def test_a_batch_is_a_function_of_the_seed_and_the_step_alone(davis):
  source = DavisFolder(str(davis))
  whole = run(source)
  assert len(whole) == 6 and whole[0]["frames"].shape == (2, 3, 12, 16, 3)
  assert whole[0]["frames"].dtype == whole[0]["labels"].dtype == np.uint8
  assert_same(whole[4:], run(source, start_step=4))
  assert_same(whole[:3], run(source, num_steps=3))
  assert run(source, start_step=6) == []
  other = run(source, seed=8)
  assert [b["names"] for b in whole] != [b["names"] for b in other]


def test_shards_together_are_the_batches_of_one_process(davis):
  source = DavisFolder(str(davis))
  whole = run(source, batch_size=4, num_steps=3)
  shards = [run(source, num_steps=3, shard=(i, 2)) for i in range(2)]
  for step, batch in enumerate(whole):
    for index, shard in enumerate(shards):
      assert shard[step]["names"] == batch["names"][index::2]
      np.testing.assert_array_equal(shard[step]["frames"], batch["frames"][index::2])


def test_each_epoch_cuts_and_augments_videos_differently(davis):
  names = [
    name
    for batch in run(DavisFolder(str(davis)), num_steps=20)
    for name in batch["names"]
  ]
  assert len(set(names)) > 8


def drawn(order, epoch=0):
  start = epoch * order.epoch_length
  return [order[k] for k in range(start, start + order.epoch_length)]


def test_by_default_every_video_is_drawn_once_per_epoch():
  order = pipeline.Order((3, 5), seed=1)
  everything = sorted([(0, i) for i in range(3)] + [(1, i) for i in range(5)])
  assert sorted(drawn(order)) == sorted(drawn(order, 1)) == everything
  assert drawn(order) != drawn(order, 1)


def test_weights_without_replacement_share_an_epoch_and_repeat_nothing():
  # A-GAME's second stage: both sets alike although one is 50 times larger.
  order = pipeline.Order((60, 3000), weights=(1.0, 1.0), samples_per_epoch=40)
  counts = collections.Counter()
  for epoch in range(50):
    samples = drawn(order, epoch)
    assert len(set(samples)) == 40
    counts.update(source for source, _ in samples)
  assert 0.37 < counts[0] / 2000 < 0.5  # slightly below 1/2: the small set runs dry
  assert pipeline.Order((60, 3000), weights=(1.0, 1.0)).epoch_length == 120


def test_replacement_draws_more_samples_than_there_are_videos():
  order = pipeline.Order(
    (4, 2), weights=(1.0, 3.0), replacement=True, samples_per_epoch=3000
  )
  counts = collections.Counter(drawn(order))
  assert len(counts) == 6
  assert abs(sum(counts[1, i] for i in range(2)) / 3000 - 0.75) < 0.03


@dataclasses.dataclass(frozen=True)
class Unusable(Video):
  name: str = "empty"

  def __len__(self):
    return 0

  def frame(self, index):
    raise IndexError(index)

  labels = frame


def test_unsuitable_videos_are_skipped_and_named_if_there_are_no_others(davis):
  good = DavisFolder(str(davis))
  mixed = [*good, Unusable(), Unusable()]
  batches = list(
    pipeline.batches([mixed], None, CHAIN, batch_size=3, seed=0, num_steps=4)
  )
  assert {name.split("/")[0] for b in batches for name in b["names"]} <= {
    video.name for video in good
  }
  with pytest.raises(ValueError, match=r"too short or show no object.*\['empty'\]"):
    list(
      pipeline.batches([[Unusable()]], None, CHAIN, batch_size=1, seed=0, num_steps=1)
    )


def break_video(davis, name):
  for path in (davis / "JPEGImages/480p" / name).iterdir():
    path.write_bytes(path.read_bytes()[:200])


def test_a_broken_file_stops_the_run_with_its_name(davis):
  break_video(davis, "video2")
  with pytest.raises(ValueError, match=r"video2/0000\d\.jpg: not a complete image"):
    run(DavisFolder(str(davis)))


def test_worker_processes_change_nothing_and_name_a_broken_file(davis):
  source = DavisFolder(str(davis))
  first, second = run(source, start_step=2, num_steps=4)  # all 4 videos, once each
  broken = second["names"][0].split("/")[0]
  break_video(davis, broken)
  batches = pipeline.batches(
    [source],
    None,
    CHAIN,
    batch_size=2,
    seed=7,
    start_step=2,
    num_steps=4,
    num_workers=2,
  )
  found = next(batches)
  assert_same([found], [first])
  assert type(found["frames"]) is np.ndarray  # not of memory shared with the workers
  with pytest.raises(ValueError, match=rf"{broken}/0000\d\.jpg: not a complete image"):
    next(batches)


def test_signals_to_the_whole_group_do_not_end_workers(davis):
  """Ctrl-C, or Slurm's SIGTERM, even while the workers start."""
  source = DavisFolder(str(davis))
  expected = run(source, num_steps=4)
  done = threading.Event()
  signalled = set()

  def send():
    while not done.wait(0.01):
      for worker in multiprocessing.active_children():
        with contextlib.suppress(ProcessLookupError):  # it has just ended
          os.kill(worker.pid, signal.SIGTERM)
          os.kill(worker.pid, signal.SIGINT)
          signalled.add(worker.pid)

  sender = threading.Thread(target=send)
  sender.start()
  try:
    found = run(source, num_steps=4, num_workers=2)
  finally:
    done.set()
    sender.join()
  assert_same(found, expected)
  assert len(signalled) >= 2
  # Memory that is shared with workers is given back, soon: a thread of grain does it.
  until = time.monotonic() + 20
  while shared_memory() and time.monotonic() < until:
    time.sleep(0.05)
  assert not shared_memory()


def shared_memory():
  return [x for x in gc.get_objects() if isinstance(x, SharedMemory)]


KILLED = """
import os, signal
from vosjax.data import pipeline, synthvos
from vosjax.data.transforms import clips

if __name__ == "__main__":
  source = synthvos.SynthVos(size=(32, 48), length=2, seed=0, num_videos=4)
  chain = (clips.SampleClip(2, 0),)
  batches = pipeline.batches(
    [source], None, chain, batch_size=1, seed=0, num_steps=10**6, num_workers=1
  )
  next(batches)
  os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_the_process_that_started_them(tmp_path):
  """As long as one lives, it holds the standard output that is read here."""
  script = tmp_path / "killed.py"
  script.write_text(KILLED)
  done = subprocess.run(
    [sys.executable, script], capture_output=True, text=True, timeout=60, check=False
  )
  assert done.returncode == -signal.SIGKILL, done.stderr


def test_clips_of_different_sizes_ask_for_resize(davis, tmp_path):
  chain = (clips.SampleClip(2),)
  small = [dataclasses.replace(DavisFolder(str(davis))[0])]

  class Cropped(Video):
    name, frame_names = "small", ("0", "1")

    def __len__(self):
      return 2

    def frame(self, index):
      return small[0].frame(index)[:, :20]

    def labels(self, index):
      return small[0].labels(index)[:, :20]

  with pytest.raises(ValueError, match=r"different shapes.*Add Resize"):
    list(
      pipeline.batches(
        [small, [Cropped()]], None, chain, batch_size=2, seed=0, num_steps=1
      )
    )


@pytest.mark.parametrize(
  "options, message",
  [
    ({"shard": (2, 2)}, "shard: got"),
    ({"batch_size": 0}, "batch_size: got 0"),
    ({"samples_per_epoch": 5}, "samples_per_epoch: got 5 with 4 videos"),
  ],
)
def test_impossible_requests_are_refused(davis, options, message):
  with pytest.raises(ValueError, match=message):
    run(DavisFolder(str(davis)), **options)


def test_every_source_needs_a_weight(davis):
  source = DavisFolder(str(davis))
  with pytest.raises(ValueError, match="weights: got .* for 1 sources"):
    pipeline.batches([source], [1.0, 2.0], CHAIN, batch_size=1, seed=0, num_steps=1)


def test_frames_are_decoded_once_and_only_for_their_batch(davis, monkeypatch):
  decoded, frame = [], FolderVideo.frame

  def counted(video, t):
    if video.frame_files[t].is_relative_to(davis):  # and not of a test before
      decoded.append(t)
    return frame(video, t)

  monkeypatch.setattr(FolderVideo, "frame", counted)
  assert len(run(DavisFolder(str(davis)), num_steps=3)) == 3
  assert len(decoded) == 3 * 2 * 3  # steps, clips, frames
