"""Which dataset is scored by which protocol, and what is said if it cannot be."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from vosjax.evaluation.protocols import STABLE_VIDEOS
from vosjax.evaluation.scored_video import ScoredVideo
from vosjax.train import feeds, run
from vosjax.train.recipes import agame
from vosjax.train.scoring import datasets

NAMES = (
  "davis",
  "fbms",
  "segtrack_v2",
  "synthvos",
  "voc",
  "youtube_objects",
  "youtube_vos",
)


@pytest.mark.parametrize(
  ("task", "year", "protocols"),
  [
    (
      "objects",
      "2017",
      ["davis2017", None, "segtrack-v2", "davis2017", None, None, "youtube-vos"],
    ),
    (
      "objects",
      "2016",
      ["davis2016", None, "segtrack-v2", "davis2017", None, None, "youtube-vos"],
    ),
    (
      "primary",
      "2016",
      [
        "davis2016",
        "fbms",
        "segtrack-v2-unsupervised",
        "davis2016",
        None,
        "youtube-objects",
        None,
      ],
    ),
    (
      "proposals",
      "2017",
      [
        "davis2017-unsupervised",
        None,
        None,
        "davis2017-unsupervised",
        "davis2017-unsupervised",
        None,
        None,
      ],
    ),
  ],
)
def test_dataset_and_task_choose_the_protocol(get_config, task, year, protocols):
  config = get_config("agame")
  config.data.year = year
  for name, expected in zip(NAMES, protocols, strict=True):
    config.evaluation.dataset = name
    if expected is None:
      with pytest.raises(ValueError, match=f"'{name}', on which .* not scored. Choo"):
        datasets.protocol_name(config, task)
    else:
      assert datasets.protocol_name(config, task) == expected


@pytest.mark.parametrize(
  ("file", "fields", "dataset", "said"),
  [
    ("cosnet", {}, "youtube_vos", "primary objects are not scored.*'fbms'"),
    ("agame", {}, "fbms", "given or matched objects are not scored.*'youtube_vos'"),
    ("rvos", {"one_shot": False}, "youtube_vos", "own proposals are not scored"),
  ],
)
def test_a_model_is_not_scored_by_the_protocol_of_another_task(
  get_config, trained, tmp_path, file, fields, dataset, said
):
  config = get_config(f"{file}:paper")
  config.mode = "evaluate"
  config.evaluation.update(
    dataset=dataset, match_first_frame=False, checkpoint=trained(file, **fields).path
  )
  with pytest.raises(ValueError, match=said):
    run.run(config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("mode", ["evaluate", "predict"])
def test_an_unknown_model_is_named(get_config, trained, mode):
  config = get_config("agame:paper")
  config.mode, config.model.name = mode, "game"
  config.evaluation.checkpoint = trained("agame").path
  with pytest.raises(ValueError, match=r"model.name is 'game'; .*known.*'agame'"):
    run.run(config, None)


def opening(get_config, root, dataset, subset, key="root"):
  config = get_config("cosnet:fbms")
  config.data[key] = str(root)
  config.evaluation.update(dataset=dataset, subset=subset)
  task = "objects" if dataset == "youtube_vos" else "primary"
  return datasets.load_scored(config, task)


@pytest.mark.parametrize("dataset", ["fbms", "youtube_objects", "youtube_vos"])
def test_a_missing_folder_is_reported_with_how_to_get_the_dataset(
  get_config, tmp_path, dataset
):
  key = "youtube_vos" if dataset == "youtube_vos" else "root"
  said = f"no folder .*absent.*datasets/{dataset}/README.md .*--config.data.{key}=FOLD"
  with pytest.raises(ValueError, match=said):
    opening(get_config, tmp_path / "absent", dataset, "test", key)
  (tmp_path / "Testset" / "cars").mkdir(parents=True)  # the original, as unpacked
  said = f"data.{key}: .* holds neither JPEGImages.*build.py writes, or.*export.py"
  with pytest.raises(ValueError, match=said):
    opening(get_config, tmp_path, dataset, "test", key)


def test_every_listed_video_needs_an_annotation_to_be_scored(get_config, fbms):
  listed = fbms / "list.txt"
  listed.write_text("cars\ntennis\n")
  shutil.rmtree(fbms / "Annotations/tennis")
  with pytest.raises(ValueError, match=r"missing: Annotations/tennis/\*\.png"):
    opening(get_config, fbms, "fbms", str(listed))
  names = [v.name for v in opening(get_config, fbms, "fbms", "test").source]
  assert names == ["cars"]  # without a list, those that are annotated


def test_frames_whose_truth_is_on_a_server_are_not_scored(
  get_config, davis, youtube_vos
):
  said = (
    "no annotation of deer/00001, deer/00002, deer/00003, orchid/00001, "
    "orchid/00002 and 1 more, which scores need.*--config.mode=predict"
  )
  with pytest.raises(ValueError, match=said):
    opening(get_config, davis, "davis", "test-dev")
  said = "no annotation of early/00015, early/00025, early/00035, late/00025, late/00"
  with pytest.raises(ValueError, match=said):
    opening(get_config, youtube_vos, "youtube_vos", "valid", "youtube_vos")


def test_videos_to_validate_on_are_scored_only_if_they_are_in_a_folder(
  get_config, davis
):
  config = get_config("agame:smoke")
  scored = datasets.load_scored(config, "objects")
  chosen_by = datasets.load_validation(config, scored)
  assert chosen_by.protocol is scored.protocol
  assert len(chosen_by.source) == config.validation.num_videos
  trained_on = feeds.synthvos(config, config.stages.main)
  seeds = {videos[0].name.split("-")[0] for videos in (scored.source, trained_on)}
  assert {chosen_by.source[0].name.split("-")[0]}.isdisjoint(seeds) and len(seeds) == 2
  config.data.update(root=str(davis), year="2016", resolution="480p")
  config.evaluation.dataset = "davis"
  scored = datasets.load_scored(config, "objects")
  assert datasets.load_validation(config, scored) is scored


def test_a_missing_list_does_not_mean_all_videos(get_config, youtube_vos):
  with pytest.raises(ValueError, match="no list 'heldout.txt'"):
    opening(
      get_config, youtube_vos / "train", "youtube_vos", "heldout.txt", "youtube_vos"
    )


def test_seen_categories_are_those_of_the_training_set(get_config, youtube_vos):
  (youtube_vos / "train/meta.json").rename(youtube_vos / "elsewhere.json")
  for path in (youtube_vos / "train/Annotations").iterdir():  # a complete valid
    shutil.copytree(
      path, youtube_vos / "valid/Annotations" / path.name, dirs_exist_ok=True
    )
  shutil.rmtree(youtube_vos / "valid/Annotations/other")
  arguments = get_config, youtube_vos, "youtube_vos", "valid", "youtube_vos"
  with pytest.raises(ValueError, match="meta.json does not exist.*which categories"):
    opening(*arguments)
  meta = {"videos": {"x": {"objects": {"1": {"category": "yak"}}}}}
  (youtube_vos / "train/meta.json").write_text(json.dumps(meta))
  protocol = opening(*arguments).protocol
  labels = np.zeros((2, 4, 4), np.uint8)
  labels[:, 1:3, 1:3] = 1
  scored = protocol.score(
    datasets.protocols.ScoredVideo("v", labels, labels, categories={1: "yak"})
  )
  assert protocol.summarize(scored)["J-Seen"] == 1


@pytest.mark.parametrize("task", ["objects", "primary"])
def test_stability_is_measured_of_primary_objects_alone(get_config, davis, task):
  config = get_config("agame:smoke")
  config.data.update(root=str(davis), year="2016", resolution="480p")
  config.evaluation.dataset = "davis"
  protocol = datasets.load_scored(config, task).protocol
  masks = np.zeros((4, 24, 24), np.uint8)
  masks[:, 6:18, 6:18] = 1
  (row,) = protocol.score(ScoredVideo(min(STABLE_VIDEOS), masks, masks))
  assert np.isnan(row.stability) == (task == "objects")


def test_proposals_are_limited_on_davis_alone(get_config, davis):
  config = get_config("ris:smoke")
  config.data.update(root=str(davis), resolution="480p")
  assert datasets.load_scored(config, "proposals").protocol.max_id == 254
  config.evaluation.dataset = "davis"
  assert datasets.load_scored(config, "proposals").protocol.max_id == 20


def test_void_of_synthvos_is_no_object(get_config):
  protocol = datasets.load_scored(get_config("agame:smoke"), "primary").protocol
  truth = np.zeros((3, 24, 24), np.uint8)
  truth[:, 5:19, 5:19] = 255
  truth[:, 6:18, 6:18] = 1
  (row,) = protocol.score(ScoredVideo("v", (truth == 1).astype(np.uint8), truth))
  assert row.region.tolist() == [1]


def test_procedural_videos_have_numbers_of_their_own(get_config):
  config = get_config("agame:smoke")
  config.evaluation.num_videos, config.validation.num_videos = 2, 5
  scored_set = datasets.load_scored(config, "objects")
  assert len(scored_set.source) == 2
  assert len(datasets.load_validation(config, scored_set).source) == 5
  config.evaluation.num_videos = 0
  with pytest.raises(ValueError, match="evaluation.num_videos is 0, but"):
    datasets.load_scored(config, "objects")


def test_prepared_videos_say_which_categories_are_seen_in_training():
  videos = [
    SimpleNamespace(categories={1: "cat", 2: "yak"}, seen={1: True, 2: False}),
    SimpleNamespace(categories={5: "dog"}, seen={5: True}),
  ]
  assert datasets._seen_categories(videos) == {"cat", "dog"}


def test_no_size_of_a_stage_is_trained_on_videos_that_score():
  """Seeds of the videos of every size, for a hundred seeds of runs, are others."""
  seeds = range(100)
  trained = {i * agame._SIZE_SEED_OFFSET + seed for i in range(8) for seed in seeds}
  assert len(trained) == 8 * len(seeds)  # no two runs share videos
  for offset in (datasets.UNSEEN_SEED_OFFSET, datasets.VALIDATION_SEED_OFFSET):
    assert not trained & {offset + seed for seed in seeds}
