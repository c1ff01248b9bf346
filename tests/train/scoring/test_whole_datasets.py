"""Whole datasets, each scored by one command with a model that exists already."""

import functools
import json
import weakref
from types import SimpleNamespace

import flax.linen as nn
import jax
import numpy as np
import pytest

from vosjax import VideoSegmenter, metrics
from vosjax.data.video import Source, Video
from vosjax.evaluation import protocols
from vosjax.evaluation.first_frame_matching import FirstFrameMatcher
from vosjax.train import run
from vosjax.train.recipe import Scoring
from vosjax.train.recipes import rvos
from vosjax.train.scoring import datasets, segmenters
from vosjax.train.scoring.score import score_model
from vosjax.train.scoring.video_scores import (
  read_truth,
  scored_video,
  segment_video,
)


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
  """Videos are scored on one device, so that programs are compiled once."""
  first = jax.local_devices()[:1]
  monkeypatch.setattr(jax, "local_devices", lambda: first)


def evaluate(config, workdir):
  run.run(config, str(workdir))
  results = json.loads((workdir / "eval/results.json").read_text())
  return results["summary"], {row["name"]: row for row in results["rows"]}


def cosnet(get_config, trained, variant, root):
  """Sets what the command line would set, and nothing else."""
  config = get_config(f"cosnet:{variant}")
  config.data.root = str(root)
  config.evaluation.checkpoint = trained("cosnet").path
  return config


def primary_j(sets, trained, root, name, annotated):
  """J of the annotated frames; references may be any frames."""
  made = trained("cosnet")
  segmenter = VideoSegmenter(made.model, made.variables, references=5)
  found = [result.labels for result in segmenter.run(sets.read(root, name))]
  return [metrics.region_similarity(found[t] > 0, sets.truth(t) > 0) for t in annotated]


def test_fbms_is_scored_on_annotated_frames_with_references_from_all(
  get_config, trained, sets, fbms, tmp_path
):
  config = cosnet(get_config, trained, "fbms", fbms)
  summary, rows = evaluate(config, tmp_path / "run")
  assert rows["cars"]["frames"] == ["cars_01", "cars_06"]
  assert rows["tennis"]["frames"] == ["tennis0", "tennis10"]
  cars = primary_j(sets, trained, fbms, "cars", (1, 6))
  tennis = primary_j(sets, trained, fbms, "tennis", (0, 10))  # 10 comes after 9
  assert 0 < np.mean(cars) < 1
  assert rows["cars"]["J_per_frame"] == pytest.approx(cars)
  assert rows["tennis"]["J_per_frame"] == pytest.approx(tennis)
  assert summary["J-Mean"] == pytest.approx((np.mean(cars) + np.mean(tennis)) / 2)


def test_youtube_objects_averages_categories_and_videos(
  get_config, trained, youtube_objects, tmp_path, capsys
):
  config = cosnet(get_config, trained, "youtube_objects", youtube_objects)
  config.evaluation.num_previews = 1
  summary, rows = evaluate(config, tmp_path / "run")
  assert set(rows) == {"cat/0001", "cat/0004/002", "dog/0002"}
  j = {name: row["J"]["mean"] for name, row in rows.items()}
  assert summary["J-cat"] == pytest.approx((j["cat/0001"] + j["cat/0004/002"]) / 2)
  assert summary["J-Mean-by-Category"] == pytest.approx(
    (summary["J-cat"] + j["dog/0002"]) / 2
  )
  assert summary["J-Mean-by-Video"] == pytest.approx(np.mean(list(j.values())))
  printed = f"J-Mean-by-Category {100 * summary['J-Mean-by-Category']:.1f}"
  assert printed in capsys.readouterr().out
  assert (tmp_path / "run/preview/cat/0001.png").is_file()
  assert (tmp_path / "run/preview/cat/0001.mp4").is_file()


def test_davis_2016_has_its_own_variant(get_config, trained, davis, tmp_path):
  config = cosnet(get_config, trained, "davis2016", davis)
  summary, rows = evaluate(config, tmp_path / "run")
  assert rows["bear"]["frames"] == ["00001", "00002", "00003"]
  assert set(rows) == {"bear", "tree"}
  assert summary["T-Mean"] is not None  # bear is in the list for T


def test_segtrack_v2_is_scored_by_both_of_its_protocols(
  get_config, trained, sets, tmp_path
):
  root = tmp_path / "SegTrackv2"
  for name in ("bmx", "drift"):
    sets.write(root, name, 4, {t: sets.truth(t) for t in range(4)}, suffix="png")
  config = cosnet(get_config, trained, "segtrack_v2", root)
  _, rows = evaluate(config, tmp_path / "primary")
  frames = {name: row["frames"] for name, row in rows.items()}
  every = [f"{t:05}" for t in range(4)]
  assert frames == {"bmx": every, "drift": every}
  config = get_config("agame:paper")
  config.mode = "evaluate"
  config.data.root = str(root)
  config.evaluation.update(
    dataset="segtrack_v2", subset="test", checkpoint=trained("agame").path
  )
  summary, rows = evaluate(config, tmp_path / "objects")
  assert set(rows) == {"bmx_1", "bmx_2", "drift_1", "drift_2"}
  assert rows["bmx_2"]["frames"] == every[1:]
  j = [row["J"]["mean"] for row in rows.values()]
  assert summary["J-Mean"] == pytest.approx(np.mean(j)) and any(j)


def on_youtube_vos(config, checkpoint, root):
  config.mode = "evaluate"
  config.data.youtube_vos = str(root / "train")
  config.evaluation.update(
    dataset="youtube_vos", subset=str(root / "held_out.txt"), checkpoint=checkpoint
  )
  return config


def test_youtube_vos_held_out_is_scored_by_seen_and_unseen(
  get_config, trained, sets, youtube_vos, tmp_path, capsys
):
  network = trained("agame")
  config = on_youtube_vos(get_config("agame:paper"), network.path, youtube_vos)
  train = youtube_vos / "train"
  meta = json.loads((train / "meta.json").read_text())
  summary, rows = evaluate(config, tmp_path / "run")
  assert set(rows) == {"late_1", "late_2", "early_1", "early_2"}
  assert rows["late_2"]["frames"] == ["00025", "00035", "00045"]
  assert rows["late_1"]["frames"] == ["00045"]  # its first one is given
  segmenter = VideoSegmenter(network.model, network.variables)
  frames = sets.read(train, "late")
  segmenter.start(frames[1], sets.truth(1, (2,)))
  found = [
    segmenter.step(frames[2]),
    segmenter.step(frames[3], sets.truth(3, (1,))),
    segmenter.step(frames[4]),
  ]
  expected = [
    metrics.region_similarity(result.labels == 2, sets.truth(t) == 2)
    for t, result in enumerate(found, 2)
  ]
  assert 0 < np.mean(expected) < 1
  assert rows["late_2"]["J_per_frame"] == pytest.approx(expected)
  assert summary["G"] is None  # no category is unseen
  assert summary["J-Seen"] == pytest.approx(
    np.mean([row["J"]["mean"] for row in rows.values()])
  )
  assert "J-Unseen -" in capsys.readouterr().out

  held_out = youtube_vos / "held_out"
  train.rename(held_out)
  train.mkdir()
  del meta["videos"]["late"], meta["videos"]["early"]  # no yak is left to train on
  (train / "meta.json").write_text(json.dumps(meta))
  config.data.youtube_vos = str(held_out)
  summary, rows = evaluate(config, tmp_path / "run")
  j = {
    i: np.mean([rows[f"{name}_{i}"]["J"]["mean"] for name in ("late", "early")])
    for i in (1, 2)
  }
  assert summary["J-Seen"] == pytest.approx(j[1])
  assert summary["J-Unseen"] == pytest.approx(j[2])


@pytest.mark.parametrize("one_shot", [True, False])
def test_rvos_is_scored_on_youtube_vos(
  get_config, trained, sets, youtube_vos, tmp_path, one_shot
):
  """The checkpoint says whether it is one-shot, whatever the variant trains."""
  network = trained("rvos", one_shot=one_shot)
  config = on_youtube_vos(get_config("rvos:paper"), network.path, youtube_vos)
  _, rows = evaluate(config, tmp_path / "run")
  assert rows["late_2"]["frames"] == ["00025", "00035", "00045"]
  summaries = json.loads((tmp_path / "run/eval/summary.json").read_text())
  assert ("copy the first mask" in summaries) == one_shot
  if one_shot:  # object 2 stands still, object 1 moves slowly
    assert summaries["copy the first mask"]["J-Seen"] > 0.8


class Recorder:
  """Stands in for a segmenter and records its inputs."""

  def __init__(self, *_, **__):
    self.calls = []
    Recorder.last = self

  def run(self, frames, given=None):
    for t in range(len(frames)):
      labels = None if given is None else next(given)
      ids = None if labels is None else sorted(set(np.unique(labels).tolist()) - {0})
      self.calls.append((int(frames[t][0, 0, 0]), ids))
      halves = np.zeros((2, 4, 6), np.float32)
      halves[0, :, :3] = halves[1, :, 3:] = 1
      yield SimpleNamespace(labels=np.full((4, 6), 9, np.int32), probs=halves)


class Sparse(Video):
  """Object 2 comes in frame 2 and object 1, on the left, in frame 4."""

  name, frame_names = "v", tuple("abcdef")

  def __len__(self):
    return 6

  def frame(self, index):
    return np.full((4, 6, 3), index, np.uint8)

  def labels(self, index):
    if index in (0, 3):
      return None
    labels = np.zeros((4, 6), np.uint8)
    labels[:, 3:] = 2 * (index >= 2)
    labels[:, :3] = index >= 4
    return labels


def test_objects_are_given_once_in_their_first_frame(monkeypatch):
  monkeypatch.setattr(segmenters, "VideoSegmenter", Recorder)
  segment = segmenters.one_shot_segmenter(nn.Module(), {}, late=True)
  found = segment_video(segment, Sparse())
  assert Recorder.last.calls == [
    (0, None),
    (1, None),
    (2, [2]),
    (3, None),
    (4, [1]),
    (5, None),
  ]
  assert (found == 9).all()
  segment = segmenters.one_shot_segmenter(nn.Module(), {})  # as on DAVIS
  segment_video(segment, Sparse())
  given = [ids for _, ids in Recorder.last.calls]
  assert given == [None, None, [2], None, None, None]


def test_instances_are_matched_in_the_first_frame_of_each_object(monkeypatch):
  monkeypatch.setattr(rvos, "VideoSegmenter", Recorder)
  seen = []
  step = FirstFrameMatcher.step

  def spy(self, masks, annotated):
    seen.append(annotated is not None)
    return step(self, masks, annotated)

  monkeypatch.setattr(FirstFrameMatcher, "step", spy)
  segment = rvos.segment_zero_shot(nn.Module(), {}, matched=True, late=True)
  found = segment_video(segment, Sparse())
  assert Recorder.last.calls == [(t, None) for t in range(6)]
  assert seen == [False, False, True, False, True, False]
  assert found[:, 0, 0].tolist() == [0, 0, 0, 0, 1, 1]
  assert found[:, 0, 5].tolist() == [0, 0, 2, 2, 2, 2]


def test_the_baseline_leaves_late_objects_where_they_appeared():
  copy = functools.partial(segmenters.copy_first_mask, late=True)
  found = segment_video(copy, Sparse())
  assert found[:, 0, 0].tolist() == [0, 0, 0, 0, 1, 1]
  assert found[:, 0, 5].tolist() == [0, 0, 2, 2, 2, 2]


def test_only_annotated_frames_are_scored():
  predicted = np.arange(6, dtype=np.uint8)[:, None, None] + np.zeros((4, 6), np.uint8)
  scored = scored_video(predicted, Sparse(), read_truth(Sparse()))
  assert scored.frames == ("b", "c", "e", "f")
  assert scored.prediction[:, 0, 0].tolist() == [1, 2, 4, 5]
  assert scored.truth[:, 0, 0].tolist() == [0, 0, 1, 1]


class _Network(nn.Module):
  """Is never called."""


def test_one_video_is_in_memory_at_a_time(get_config, tmp_path):
  alive = weakref.WeakSet()

  class Opened(Sparse):
    def __init__(self):
      alive.add(self)

  class Videos(Source):
    def __len__(self):
      return 5

    def __getitem__(self, index):
      assert len(alive) <= 1  # the one before goes when this one has come
      return Opened()

  def segment(video):
    return (video.labels(5) for _ in range(len(video)))

  made = Scoring("primary", lambda *_: segment)
  (tmp_path / "run").mkdir()
  scored_set = datasets.ScoredSet(Videos(), protocols.fbms())
  config = get_config("cosnet:fbms")
  results = score_model(config, made, _Network(), {}, scored_set, tmp_path / "run")
  [result] = results.values()
  assert len(result.rows) == 5
