"""DAVIS protocols equal the official toolkits; other datasets follow conventions."""

import json

import numpy as np
import pytest

from vosjax import metrics
from vosjax.evaluation import protocols
from vosjax.evaluation.evaluate import UnusablePredictionsError, evaluate
from vosjax.evaluation.protocols import split_void
from vosjax.evaluation.scored_video import ScoredVideo

COLUMNS = ("J_mean", "J_recall", "J_decay", "F_mean", "F_recall", "F_decay")
PROTOCOL = {
  "semi-supervised": protocols.davis2017,
  "unsupervised": protocols.davis2017_unsupervised,
}


@pytest.fixture(scope="module")
def real(shared):
  """Reads golden values on real masks, which are not part of the repository."""

  def load(name):
    path = shared / "reference" / name
    if path.suffix == ".json":
      return json.loads(path.read_text())
    with np.load(path) as arrays:
      return dict(arrays)

  return load


CONFIGURATIONS = ["semi", "semi_void", "unsup", "unsup_void", "unsup_few"]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_davis2017_equals_the_toolkit(golden, name):
  check_davis2017(golden, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_davis2017_equals_the_toolkit_on_real_masks(real, name):
  check_davis2017(real, name)


def check_davis2017(load, name):
  """Compares values of frames, matches, rows, global numbers and CSV text."""
  expected = load("metrics/golden_sequences.json")[name]
  frames = load("metrics/golden_sequences.npz")
  videos = [
    ScoredVideo(video, masks[expected["results"]], masks[expected["ground_truth"]])
    for video in expected["sequences"]
    for masks in [load(f"metrics/inputs_{video}.npz")]
  ]
  result = evaluate(PROTOCOL[expected["task"]](), videos)
  summary = expected.get("global_") or expected["global"]
  assert dict(result.summary) == summary
  assert len(result.rows) == len(expected["rows"])
  for row, wanted in zip(result.rows, expected["rows"]):
    index = int(row.name.rpartition("_")[2]) - 1
    assert row.name == wanted["row"]
    assert [*row.j, *row.f] == [wanted[column] for column in COLUMNS]
    assert row.object_id == wanted.get("gt_label", index + 1)
    assert row.predicted_id == wanted.get("proposal_label", index + 1)
    for measure, values in (("J", row.region), ("F", row.contour)):
      key = f"{name}/{row.video}/{measure}"
      np.testing.assert_array_equal(values, frames[key][index])
  for file, text in expected.get("csv", {}).items():
    ours = result.global_csv() if file.startswith("global") else result.rows_csv()
    assert ours == text
  if expected["task"] == "unsupervised":
    video = videos[-1]
    keys = ("score", "proposal", "object")
    check_matching(
      video, {key: frames[f"{name}/{video.name}/match_{key}"] for key in keys}
    )


def check_matching(video, expected):
  """Compares the score of every proposal for every object, and the assignment."""
  num_proposals, num_objects = expected["score"].shape
  truth, void = split_void(video.truth)
  scores = metrics.score_proposals(
    video.prediction, truth, num_proposals, num_objects, void
  )
  means = (scores.region.mean(-1) + scores.contour.mean(-1)) / 2
  np.testing.assert_array_equal(means, expected["score"])
  proposals, objects = metrics.match_proposals(means)
  np.testing.assert_array_equal(proposals, expected["proposal"])
  np.testing.assert_array_equal(objects, expected["object"])


def test_davis2016_equals_the_toolkit(golden, monkeypatch):
  check_davis2016(golden, monkeypatch, stable={"blob-one"})


@pytest.mark.slow
def test_davis2016_with_t_of_all_videos_equals_the_toolkit(golden, monkeypatch):
  check_davis2016(golden, monkeypatch)


@pytest.mark.slow
def test_davis2016_equals_the_toolkit_on_real_masks(real, monkeypatch):
  check_davis2016(real, monkeypatch)


def check_davis2016(load, monkeypatch, stable=None):
  """Compares values of frames, rows and averages.

  T is slow: `stable` names the videos to measure it on, by default all those where the
  toolkit did.
  """
  expected = load("metrics/golden_davis16.json")
  frames = load("metrics/golden_davis16.npz")
  t_means = {name: row.get("T_mean", np.nan) for name, row in expected["rows"].items()}
  stable = stable or {name for name, t in t_means.items() if not np.isnan(t)}
  monkeypatch.setattr(protocols, "STABLE_VIDEOS", stable)
  result = evaluate(
    protocols.davis2016(),
    [
      ScoredVideo(name, masks["pert"], masks["gt"])
      for name in expected["rows"]
      for masks in [load(f"metrics/inputs_{name}.npz")]
    ],
  )
  for row in result.rows:
    wanted = expected["rows"][row.name]
    np.testing.assert_allclose(
      [*row.j, *row.f], [wanted[c] for c in COLUMNS], rtol=0, atol=1e-9
    )
    for measure, values in (("J", row.region), ("F", row.contour)):
      padded = np.pad(values, 1, constant_values=np.nan)
      np.testing.assert_array_equal(padded, frames[f"{row.name}/{measure}"])
    t_mean = t_means[row.name] if row.name in stable else np.nan
    assert row.stability == pytest.approx(t_mean, abs=1e-9, nan_ok=True)
  t_mean = np.mean([t_means[name] for name in stable])
  assert result.summary["T-Mean"] == pytest.approx(t_mean, abs=1e-9)
  for name, value in expected["average"].items():
    measure, statistic = name.split("_")
    if measure != "T":
      found = result.summary[f"{measure}-{statistic.capitalize()}"]
      assert found == pytest.approx(value, abs=1e-9)


def test_davis2016_without_stability_measures_no_t():
  truth = moving([1])
  (row,) = evaluate(
    protocols.davis2016(stability=False), [ScoredVideo("bear", truth, truth)]
  ).rows
  assert np.isnan(row.stability)


def test_davis2016_counts_255_as_foreground():
  truth = np.zeros((4, 6, 6), np.uint8)
  truth[:, 1:4, 1:4] = 255
  (row,) = evaluate(protocols.davis2016(), [ScoredVideo("x", truth // 255, truth)]).rows
  assert row.j.mean == row.f.mean == 1.0
  assert row.frames == ("00001", "00002")


def moving(ids, num_frames=4):
  """Objects two rows high that move one column to the right in each frame."""
  labels = np.zeros((num_frames, 4 * len(ids), 12), np.uint8)
  for t in range(num_frames):
    for row, i in enumerate(ids):
      labels[t, 4 * row + 1 : 4 * row + 3, t + 1 : t + 6] = i
  return labels


def test_youtube_vos_scores_an_object_after_its_first_frame():
  truth = moving([1, 2, 4])
  truth[:2][truth[:2] == 2] = 0  # object 2 appears in frame 2
  truth[3][truth[3] == 4] = 0  # object 4 leaves
  predicted = truth.copy()
  predicted[3][predicted[3] == 2] = 0  # and is lost in frame 3
  video = ScoredVideo("v", predicted, truth, categories={1: "cat", 2: "yak", 4: "dog"})
  result = evaluate(protocols.youtube_vos(seen={"cat", "dog"}), [video])
  scored = {row.object_id: list(row.region) for row in result.rows}
  assert scored == {1: [1, 1, 1], 2: [0], 4: [1, 1, 1]}
  assert dict(result.summary) == {
    "G": 0.5,
    "J-Seen": 1,
    "J-Unseen": 0,
    "F-Seen": 1,
    "F-Unseen": 0,
  }
  first = evaluate(protocols.youtube_vos(seen={"cat"}, skip_first=False), [video])
  assert {row.object_id: len(row.region) for row in first.rows} == {1: 4, 2: 2, 4: 4}
  assert "first frames count" in first.description


def test_youtube_vos_ignores_objects_that_first_appear_in_the_last_frame():
  truth = moving([1, 2])
  truth[:3][truth[:3] == 2] = 0
  video = ScoredVideo("v", truth, truth, categories={1: "cat", 2: "cat"})
  result = evaluate(protocols.youtube_vos(seen={"cat"}), [video])
  assert [row.object_id for row in result.rows] == [1]


def test_youtube_objects_are_averaged_by_category_and_by_video():
  truth, empty = moving([1]), np.zeros_like(moving([1]))
  videos = [
    ScoredVideo(name, predicted, truth)
    for name, predicted in [
      ("cat/0001", truth),
      ("cat_0002", truth),
      ("cat3/002", empty),
      ("dog", empty),
    ]
  ]
  summary = evaluate(protocols.youtube_objects(), videos).summary
  assert summary["J-cat"] == pytest.approx(2 / 3)
  assert summary["J-Mean-by-Category"] == pytest.approx(1 / 3)
  assert summary["J-Mean-by-Video"] == 0.5


def test_fbms_merges_objects_and_ignores_void():
  truth = moving([1, 2])
  predicted = (truth > 0).astype(np.uint8)
  truth[:, 0] = 255
  predicted[:, 0] = 1  # hidden by void
  (row,) = evaluate(protocols.fbms(), [ScoredVideo("v", predicted, truth)]).rows
  assert len(row.region) == 4
  assert row.j.mean == 1.0
  binary = ScoredVideo("v", predicted, predicted * np.uint8(255))
  assert evaluate(protocols.fbms(), [binary]).rows[0].j.mean == 1.0


def test_davis2017_scores_the_objects_of_the_first_frame():
  truth = moving([1, 2])
  truth[0][truth[0] == 2] = 0
  predicted = np.where(truth == 2, 0, truth).astype(np.uint8)
  result = evaluate(protocols.davis2017(), [ScoredVideo("v", predicted, truth)])
  assert [row.object_id for row in result.rows] == [1]


def test_segtrack_ignores_void():
  truth = moving([1])
  predicted = truth.copy()
  truth[:, 0], predicted[:, 0] = 255, 1
  (row,) = evaluate(protocols.segtrack_v2(), [ScoredVideo("v", predicted, truth)]).rows
  assert row.j.mean == row.f.mean == 1.0


def test_segtrack_scores_each_object_without_the_first_frame():
  truth = moving([1, 2])
  predicted = np.where(truth == 2, 0, truth).astype(np.uint8)
  predicted[0] = 0
  result = evaluate(protocols.segtrack_v2(), [ScoredVideo("v", predicted, truth)])
  assert [row.j.mean for row in result.rows] == [1.0, 0.0]
  assert result.summary["J-Mean"] == 0.5
  merged = evaluate(
    protocols.segtrack_v2_unsupervised(), [ScoredVideo("v", truth, truth)]
  )
  assert [len(row.region) for row in merged.rows] == [4]


@pytest.mark.parametrize(
  "protocol, text",
  [
    (protocols.davis2017(), "has the truth's ids 2"),
    (protocols.segtrack_v2(), "has the truth's ids 2"),
    (protocols.youtube_vos(seen=()), "has the truth's ids 2"),
    (protocols.davis2017_unsupervised(), "shows 1 of 2 objects"),
    (protocols.fbms(), None),
  ],
)
def test_objects_that_are_never_predicted_are_warned_of(protocol, text):
  truth = moving([1, 2])
  predicted = np.where(truth == 2, 0, truth).astype(np.uint8)
  lines = protocol.warn(ScoredVideo("v", predicted, truth))
  assert [text in line for line in lines] == [True] * (text is not None)
  assert not protocol.warn(ScoredVideo("v", truth, truth))
  (line,) = protocol.warn(ScoredVideo("v", np.zeros_like(truth), truth))
  assert "prediction" in line


@pytest.mark.parametrize(
  "protocol, labels, text",
  [
    (protocols.davis2017, [1, 2], "v/00001.png: holds object id 3.*ids up to 2"),
    (protocols.davis2017_unsupervised, [1], "id 21.*up to 20"),
    (lambda: protocols.youtube_vos(seen=()), [1, 2], "id 3.*up to 2"),
  ],
)
def test_all_ids_that_are_too_large_are_named(protocol, labels, text):
  truth = moving(labels)
  predicted = truth.copy()
  predicted[1:, -1, -1] = 3 if len(labels) > 1 else 21
  with pytest.raises(UnusablePredictionsError, match=text) as error:
    evaluate(
      protocol(),
      [ScoredVideo("v", predicted, truth), ScoredVideo("w", predicted, truth)],
    )
  assert {line.partition("/")[0] for line in error.value.problems} == {"v", "w"}


def test_videos_with_nothing_to_score_are_named():
  short = moving([1], 2)
  with pytest.raises(ValueError, match="v: 2 annotated frames"):
    evaluate(protocols.davis2017(), [ScoredVideo("v", short, short)])
  empty = np.zeros((4, 8, 8), np.uint8)
  with pytest.raises(ValueError, match="v: the annotation shows no object"):
    evaluate(protocols.davis2017_unsupervised(), [ScoredVideo("v", empty, empty)])
  with pytest.raises(ValueError, match="v: object 1 has no category.*meta.json"):
    evaluate(protocols.youtube_vos(seen=()), [ScoredVideo("v", short, short)])
  with pytest.raises(ValueError, match="'davis2018'.*davis2016, davis2017"):
    protocols.build("davis2018")
  with pytest.raises(ValueError, match="nothing to score"):
    evaluate(protocols.davis2017(), [])
  with pytest.raises(ValueError, match=r"prediction is \[2, 4, 12\]"):
    ScoredVideo("v", short, short[:, :, :5])
