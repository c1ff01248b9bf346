"""Scores during and after training, of models that need no network."""

import dataclasses
import json
import logging
import sys

import flax.linen as nn
import jax
import numpy as np
import pytest

from vosjax import viz
from vosjax.data.cache import ArrayVideo
from vosjax.data.synthvos import SynthVos
from vosjax.data.video import Source
from vosjax.evaluation import protocols
from vosjax.train import writers
from vosjax.train.configs.agame import get_config
from vosjax.train.recipe import Scoring
from vosjax.train.scoring import previews, tables, video_scores
from vosjax.train.scoring.datasets import ScoredSet
from vosjax.train.scoring.score import Validation, score_model
from vosjax.train.state import TrainState

VARIABLES = {"params": {}, "batch_stats": {}}


class Network(nn.Module):
  """Is never called."""


@pytest.fixture
def scoring():
  """Predicts the truth, and counts the videos; its further measure is a constant."""
  seen = []

  def make_segment(model, variables):
    del model, variables

    def segment(video):
      seen.append(video.name)
      return (video.labels(t) for t in range(len(video)))

    return segment

  made = Scoring("objects", make_segment, measures=lambda scored: {"best Dice": 0.625})
  return made, seen


@pytest.fixture
def scored_set():
  source = SynthVos(0, 3, size=(32, 48), length=3, max_objects=1, void=0.0)
  return ScoredSet(source, protocols.build("davis2017"))


@pytest.mark.parametrize(("num_videos", "expected"), [(2, 2), (0, 3)])
def test_the_first_videos_are_validated_and_0_means_all(
  scoring, scored_set, tmp_path, num_videos, expected
):
  config = get_config("smoke")
  config.validation.num_videos = num_videos
  made, seen = scoring
  writer = writers.MetricsWriter(tmp_path)
  validate = Validation(config, made, Network(), scored_set, writer, tmp_path)
  state = TrainState(step=7, params={}, batch_stats={}, opt_state=(), key=None)
  assert validate(7, state) == 1.0
  writer.close()
  # Devices take the videos side by side.
  assert sorted(seen) == [video.name for video in scored_set.source][:expected]
  assert writers.read_metrics(tmp_path) == [{"step": 7, "validation": 1.0}]
  assert (tmp_path / "preview/step0000007.png").is_file()


class Videos(Source):
  """Videos in memory."""

  def __init__(self, videos):
    self._videos = list(videos)

  def __len__(self):
    return len(self._videos)

  def __getitem__(self, index):
    return self._videos[index]


def cut(video, start):
  """The frames of a video from one on, of which `start` frames lose their objects."""
  frames, labels = video.clip(0, len(video))
  labels = labels.copy()
  labels[:start] = 0
  return ArrayVideo(video.name, video.frame_names, frames, labels)


def test_videos_that_show_no_object_to_score_are_left_out_and_named(
  scoring, scored_set, tmp_path, caplog, monkeypatch
):
  """An object that enters later is none that DAVIS 2017 scores."""
  monkeypatch.setattr(logging.getLogger("vosjax"), "propagate", True)
  first, *others = scored_set.source
  scored_set = scored_set._replace(source=Videos([cut(first, 1), *others]))
  made, seen = scoring
  writer = writers.MetricsWriter(tmp_path)
  config = get_config("smoke")
  config.validation.num_videos = config.evaluation.num_videos = 0
  validate = Validation(config, made, Network(), scored_set, writer, tmp_path)
  state = TrainState(step=7, params={}, batch_stats={}, opt_state=(), key=None)
  assert validate(7, state) == 1.0
  writer.close()
  said = "not validated on: {} (the annotation shows no object that davis2017 scores)"
  assert said.format(first.name) in caplog.text
  assert sorted(seen) == [video.name for video in others]
  final = score_model(config, made, Network(), VARIABLES, scored_set, tmp_path)
  assert {row.video for row in final["this model"].rows} == {x.name for x in others}
  assert "not scored: " in caplog.text
  nothing = Videos(cut(video, 3) for video in scored_set.source)
  nothing = scored_set._replace(source=nothing)
  with pytest.raises(ValueError, match="there is no video to validate on: .*object"):
    Validation(config, made, Network(), nothing, None, tmp_path)
  with pytest.raises(ValueError, match=r"none of the 3 video\(s\) can be scored"):
    score_model(config, made, Network(), VARIABLES, nothing, tmp_path / "other")


class Slots(Network):
  """May find more objects than the toolkit of DAVIS takes."""

  num_objects: int = 22


def test_more_proposals_than_a_protocol_takes_are_refused_before_work(
  scoring, scored_set, tmp_path
):
  made, seen = scoring
  davis = scored_set._replace(protocol=protocols.build("davis2017-unsupervised"))
  arguments = (get_config("smoke"), made, Slots())
  with pytest.raises(ValueError, match="up to 22 objects .* at most 20 proposals"):
    Validation(*arguments, davis, None, tmp_path)
  with pytest.raises(ValueError, match="up to 22 objects .* at most 20 proposals"):
    score_model(*arguments, VARIABLES, davis, tmp_path)
  assert not seen


@pytest.mark.parametrize("devices", [1, 2])
def test_a_validation_that_is_stopped_ends_in_the_middle_and_writes_nothing(
  scoring, scored_set, tmp_path, monkeypatch, devices
):
  made, _ = scoring
  frames, whole = [], made.segment

  def segment_counted(model, variables):
    def segment(video):
      for labels in whole(model, variables)(video):
        frames.append(video.name)
        yield labels

    return segment

  made = made._replace(segment=segment_counted)
  found = jax.local_devices()[:devices]
  if len(found) < devices:
    pytest.skip("needs two devices")
  monkeypatch.setattr(jax, "local_devices", lambda: found)
  config = get_config("smoke")
  config.validation.num_videos = 0  # all three
  writer = writers.MetricsWriter(tmp_path)
  validate = Validation(
    config,
    made,
    Network(),
    scored_set,
    writer,
    tmp_path,
    is_stopped=lambda: len(frames) >= 2,
  )
  state = TrainState(step=7, params={}, batch_stats={}, opt_state=(), key=None)
  assert validate(7, state) is None
  writer.close()
  assert len(frames) in ([2] if devices == 1 else [2, 3])
  done = len(frames)
  assert validate(8, state) is None  # and does not begin
  assert len(frames) == done
  assert not writers.read_metrics(tmp_path)
  assert not (tmp_path / "preview").exists()


@pytest.mark.parametrize(
  ("checkpoint", "name"), [("", "initial weights"), ("some/model", "before this run")]
)
def test_a_model_is_compared_with_what_it_was_before(
  scoring, scored_set, tmp_path, checkpoint, name
):
  config = get_config("smoke")
  config.model_checkpoint = checkpoint
  config.evaluation.update(num_videos=1, num_previews=0)
  results = score_model(
    config, scoring[0], Network(), VARIABLES, scored_set, tmp_path, initial=VARIABLES
  )
  assert list(results) == ["this model", name]
  summary = json.loads((tmp_path / "eval/summary.json").read_text())
  assert {key: means["best Dice"] for key, means in summary.items()} == dict.fromkeys(
    results, 0.625
  )
  measures = {"this model": {"best Dice": 0.625}, name: {"best Dice": 0.25}}
  heads, ours, theirs = tables.format_table(results, measures).splitlines()
  assert heads.endswith("best Dice")
  assert (ours.split()[-1], theirs.split()[-1]) == ("0.625", "0.250")


def test_scores_are_written_where_there_is_no_folder_yet(scoring, scored_set, tmp_path):
  config = get_config("smoke")
  config.evaluation.update(num_videos=1, num_previews=0)  # no preview makes the folder
  workdir = tmp_path / "davis"
  score_model(config, scoring[0], Network(), VARIABLES, scored_set, workdir)
  summary = json.loads((workdir / "eval/summary.json").read_text())
  assert list(summary) == ["this model"]


def contents(folder):
  return {
    path.relative_to(folder): path.read_bytes()
    for path in folder.rglob("*")
    if path.is_file()
  }


def test_files_are_the_same_for_any_number_of_devices(
  scoring, scored_set, tmp_path, monkeypatch
):
  config, devices = get_config("smoke"), jax.local_devices()
  config.evaluation.update(num_videos=0, num_previews=2)
  for count in {1, len(devices)}:
    monkeypatch.setattr(jax, "local_devices", lambda count=count: devices[:count])
    folder = tmp_path / str(count)
    score_model(config, scoring[0], Network(), VARIABLES, scored_set, folder)
  expected = contents(tmp_path / "1")
  assert len(expected) == 4 + 2 * 2  # scores, and an image and a video of each preview
  assert contents(tmp_path / str(len(devices))) == expected


def remove_pyav(monkeypatch):
  monkeypatch.setitem(sys.modules, "av", None)


def remove_encoder(monkeypatch):
  absent = dataclasses.replace(previews.H264, name="absent")
  monkeypatch.setattr(previews, "H264", absent)


@pytest.mark.parametrize(
  ("remove", "advice"),
  [(remove_pyav, "vosjax[video]"), (remove_encoder, "--only-binary av av")],
)
def test_previews_without_an_encoder_are_images(
  scoring, scored_set, tmp_path, monkeypatch, caplog, remove, advice
):
  """What was trained is scored on any machine."""
  remove(monkeypatch)
  monkeypatch.setattr(logging.getLogger("vosjax"), "propagate", True)
  config = get_config("smoke")
  config.evaluation.update(num_videos=0, num_previews=1)
  score_model(config, scoring[0], Network(), VARIABLES, scored_set, tmp_path)
  (preview,) = (tmp_path / "preview").iterdir()
  assert preview.suffix == ".png"
  assert any((tmp_path / "eval").iterdir())
  assert advice in caplog.text


def test_an_interrupted_evaluation_goes_on_where_it_stopped(
  scoring, scored_set, tmp_path, monkeypatch, caplog
):
  def interrupted(video):
    if len(seen) == 2:
      raise KeyboardInterrupt
    return segment(video)

  def score(folder, variables=VARIABLES, **changes):
    seen.clear()
    made = scoring[0]._replace(**changes)
    score_model(config, made, Network(), variables, scored_set, folder)

  seen, config = scoring[1], get_config("smoke")
  config.evaluation.update(num_videos=0, num_previews=0)
  segment = scoring[0].segment(None, None)
  first = jax.local_devices()[:1]
  monkeypatch.setattr(jax, "local_devices", lambda: first)
  stopped, expected = tmp_path / "stopped", tmp_path / "expected"
  names = [video.name for video in scored_set.source]
  score(expected)
  assert seen == names
  with pytest.raises(KeyboardInterrupt):
    score(stopped, segment=lambda *_: interrupted)
  assert len(contents(stopped)) == 2
  monkeypatch.setattr(video_scores.LOG, "propagate", True)
  with caplog.at_level(logging.INFO, "vosjax"):
    score(stopped)
  assert f"2 of {len(names)} videos are scored already" in caplog.text
  assert seen == names[2:]
  assert contents(stopped) == contents(expected)
  with pytest.raises(KeyboardInterrupt):
    score(stopped, segment=lambda *_: interrupted)
  score(stopped, variables=VARIABLES | {"params": {"w": np.ones(1)}})
  assert seen == names  # what another model reached does not count
  assert contents(stopped) == contents(expected)


def test_a_contact_sheet_shows_the_truth_above_the_prediction(monkeypatch):
  def sheet(rows, *, row_captions, **_):
    shown.update(zip(row_captions, rows, strict=True))
    return np.zeros((1, 1, 3), np.uint8)

  shown = {}
  monkeypatch.setattr(previews.viz, "contact_sheet", sheet)
  frames, truth = np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 8), np.uint8)
  truth[:, :4] = 1
  predicted = np.zeros_like(truth)
  predicted[:, :, :4] = 2
  previews.contact_sheet(predicted, ArrayVideo("v", ("0",), frames, truth))
  for caption, labels in (("truth", truth[0]), ("prediction", predicted[0])):
    np.testing.assert_array_equal(shown[caption], [viz.overlay(frames[0], labels)])
