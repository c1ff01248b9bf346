"""Sources of a stage, and error messages about missing data."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from vosjax.data.cache import ArrayVideo
from vosjax.data.formats.davis import DavisFolder
from vosjax.data.records.videos import EncodedFrame, PreparedVideo
from vosjax.data.synthvos import SynthVos
from vosjax.data.transforms import clips
from vosjax.data.video import Source
from vosjax.train import feeds
from vosjax.train.config import ordered_stages
from vosjax.train.configs.agame import get_config
from vosjax.train.recipes import RECIPES, agame
from vosjax.train.scoring import datasets

SIZE = (32, 48)


def make_folder(root, subset="train", year="2016", videos=("one", "two"), length=5):
  """Videos of a moving square."""
  for name in videos:
    for t in range(length):
      labels = np.zeros(SIZE, np.uint8)
      labels[8:24, 8 + t : 24 + t] = 1
      for folder, array, suffix in (
        ("JPEGImages", np.repeat(labels[..., None] * 200, 3, 2), "jpg"),
        ("Annotations", labels, "png"),
      ):
        path = root / folder / "480p" / name / f"{t:05d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
  lists = root / "ImageSets" / year
  lists.mkdir(parents=True, exist_ok=True)
  (lists / f"{subset}.txt").write_text("\n".join(videos) + "\n")
  return root


@pytest.fixture
def config(tmp_path):
  """A small stage on a folder in DAVIS layout."""
  config = get_config("davis_folder")
  config.data.root = str(make_folder(tmp_path / "davis"))
  config.data.resolution = "480p"
  config.stages.main.update(size=SIZE, batch_size=2, clip_length=3, num_steps=4)
  config.stages.main.sources.synthvos = 0.0
  return config


def batches(config):
  stage = config.stages.main
  sources = feeds.training_sources(config, stage)
  return list(RECIPES["agame"].batches(config, stage, sources, config.seed)(0))


def test_clips_are_read_from_a_folder(config):
  found = batches(config)
  assert len(found) == 4
  assert found[0]["frames"].shape == (2, 3, *SIZE, 3)
  assert {name.split("/")[0] for b in found for name in b["names"]} == {"one", "two"}


def test_youtube_vos_has_its_own_limits():
  config = get_config("paper")
  transforms = {
    name: agame.clip_transforms(config, config.stages.alpha, name)
    for name in ("davis", "youtube_vos", "synthvos")
  }
  least = {
    name: next(t for t in chosen if isinstance(t, clips.ChooseObject)).min_pixels
    for name, chosen in transforms.items()
  }
  assert least == {"davis": 25, "youtube_vos": 10, "synthvos": 25}
  assert transforms["youtube_vos"][0] == clips.RequireSize((720, 1280))
  assert isinstance(transforms["davis"][0], clips.SampleClip)


def test_videos_of_another_size_are_skipped(config, tmp_path):
  config.data.youtube_vos = str(make_folder(tmp_path / "ytv", year="2017"))
  config.stages.main.sources.update(davis=0.0, youtube_vos=1.0)
  config.data.youtube_vos_size = SIZE
  assert len(batches(config)) == 4
  config.data.youtube_vos_size = (32, 64)
  with pytest.raises(ValueError, match="100 videos in a row"):
    batches(config)


def test_youtube_vos_is_read_as_it_is_unpacked(config, tmp_path):
  root = make_folder(tmp_path / "ytv", year="2017")
  for folder in ("JPEGImages", "Annotations"):
    (root / "train").mkdir(exist_ok=True)
    (root / folder / "480p").rename(root / "train" / folder)
  (root / "train/Annotations/two/00002.png").unlink()
  config.data.youtube_vos, config.data.youtube_vos_size = str(root), SIZE
  config.stages.main.sources.update(davis=0.0, youtube_vos=1.0)
  assert len(batches(config)) == 4
  config.data.youtube_vos = str(tmp_path / "absent")
  with pytest.raises(ValueError, match=r"youtube-vos\.org .*`vosjax import-data`"):
    batches(config)


def test_of_prepared_youtube_vos_annotated_frames_are_trained_on(config, monkeypatch):
  """Frames between them would count as frames without the object."""
  frames = [
    EncodedFrame(f"{t:05d}", b"jpeg", b"" if t % 5 else b"png") for t in range(9)
  ]
  video = PreparedVideo("a", tuple(frames), "nowhere")

  class Records(Source):
    def __len__(self):
      return 1

    def __getitem__(self, index):
      return (video,)[index]

  monkeypatch.setattr(feeds, "folder_source", lambda *_, **__: Records())
  (found,) = feeds.youtube_vos(config)
  assert found.frame_names == ("00000", "00005")


def test_synthvos_is_prepared_if_its_folder_exists_and_procedural_otherwise(tmp_path):
  config = get_config("paper")
  config.data.synthvos.folder = str(tmp_path / "absent")
  source = feeds.synthvos(config, config.stages.alpha)
  assert isinstance(source, SynthVos)
  assert feeds.origin(source) == "procedural"
  config.data.synthvos.folder = str(make_folder(tmp_path / "there", year="2017"))
  source = feeds.synthvos(config, config.stages.alpha)
  assert isinstance(source, DavisFolder)
  assert feeds.origin(source) == f"from {tmp_path}/there"


def test_procedural_videos_may_be_longer_than_clips_and_kept_in_memory():
  config = get_config()
  config.stages.main.update(size=SIZE, clip_length=3)
  config.data.synthvos.update(num_videos=2, length=6, in_memory=True)
  source = feeds.synthvos(config, config.stages.main)
  assert len(source[0]) == 6
  assert source[0] is source[0]  # rendered once
  config.data.synthvos.update(length=0, in_memory=False)
  source = feeds.synthvos(config, config.stages.main)
  assert len(source[0]) == 3
  assert source[0] is not source[0]
  config.data.synthvos.length = 2
  with pytest.raises(ValueError, match=r"length is 2, shorter than the clips of 3 fr"):
    feeds.synthvos(config, config.stages.main)


@pytest.mark.parametrize("key", ["min_object_pixels", "min_chosen_pixels.synthvos"])
def test_objects_cannot_be_larger_than_procedural_videos(key):
  config = get_config()
  config.stages.main.size = SIZE
  area = SIZE[0] * SIZE[1]
  config.update_from_flattened_dict({f"data.{key}": area - 1})
  feeds.synthvos(config, config.stages.main)
  config.update_from_flattened_dict({f"data.{key}": area})
  with pytest.raises(ValueError, match=f"data.{key} is {area}, but frames of "):
    feeds.synthvos(config, config.stages.main)


class Blank(Source):
  """Videos of one frame, which differ in their names alone."""

  def __init__(self, name, count):
    self._name, self._count = name, count

  def __len__(self):
    return self._count

  def __getitem__(self, index):
    frames, labels = np.zeros((1, 2, 2, 3), np.uint8), np.zeros((1, 2, 2), np.uint8)
    return ArrayVideo(f"{self._name}{index}", ("0",), frames, labels)


def blank_batches(config, start=0):
  """Names of the clips in each batch, from two and six videos."""
  stage = config.stages.main
  sources = {"davis": Blank("davis", 2), "synthvos": Blank("synthvos", 6)}
  transforms = lambda _: (clips.WholeClip(),)  # noqa: E731
  found = feeds.batches(config, stage, sources, config.seed, transforms)(start)
  return [batch["names"] for batch in found]


def test_a_stage_says_how_its_sources_are_mixed(config):
  stage = config.stages.main
  stage.update(batch_size=4, num_steps=2)
  stage.sources.update(davis=0.5, synthvos=1.5)
  found = blank_batches(config)
  assert len({name for names in found for name in names}) == 8  # a whole pass
  assert blank_batches(config, 1) == found[1:]
  config.seed += 1
  assert blank_batches(config) != found
  stage.samples_per_epoch = 9
  with pytest.raises(ValueError, match="got 9 with 8 videos"):
    blank_batches(config)
  stage.replacement = True
  assert len(blank_batches(config)) == 2


def test_processes_share_a_batch(config, monkeypatch):
  config.stages.main.update(batch_size=4, num_steps=2)
  config.stages.main.sources.update(davis=1.0, synthvos=3.0)
  alone = blank_batches(config)
  monkeypatch.setattr(feeds.jax, "process_count", lambda: 2)
  parts = []
  for index in range(2):
    monkeypatch.setattr(feeds.jax, "process_index", lambda index=index: index)
    parts.append(blank_batches(config))
  for whole, *halves in zip(alone, *parts, strict=True):
    assert [len(half) for half in halves] == [2, 2]
    assert sorted(sum(halves, [])) == sorted(whole)


def test_processes_feed_an_accelerator_and_threads_a_cpu(config, monkeypatch):
  def choose():
    return feeds.choose_num_workers(config, config.stages.main)

  monkeypatch.setattr("vosjax.cores.available", lambda: 16)
  assert choose() == 0
  monkeypatch.setattr("jax.default_backend", lambda: "gpu")
  assert choose() == 15
  monkeypatch.setattr("vosjax.cores.available", lambda: 1)
  assert choose() == 1
  config.data.num_workers = 3
  assert choose() == 3
  config.data.num_workers = -1
  config.data.synthvos.in_memory = True
  assert choose() == 1  # no procedural video is used
  config.stages.main.sources.synthvos = 1.0  # kept once
  assert choose() == 0
  config.data.num_workers = -2
  with pytest.raises(ValueError, match="data.num_workers is -2"):
    choose()


def test_a_corrupt_frame_is_named(config):
  for path in pathlib.Path(config.data.root).glob("JPEGImages/480p/one/*"):
    path.write_bytes(path.read_bytes()[:100])
  with pytest.raises(ValueError, match=r"one/0000\d\.jpg: not a complete image"):
    batches(config)


def test_a_missing_mask_is_named_before_anything_starts(config):
  pathlib.Path(config.data.root, "Annotations/480p/two/00002.png").unlink()
  with pytest.raises(ValueError, match=r"davis: .*missing: .*two/00002\.png"):
    feeds.training_sources(config, config.stages.main)


def test_the_lists_that_exist_are_named_where_one_is_missing(config):
  config.data.year = "2017"
  with pytest.raises(ValueError, match=r"'train' of year 2017.*2016/train\.txt"):
    feeds.training_sources(config, config.stages.main)


def test_names_and_weights_of_sources_are_checked(config):
  config.stages.main.sources.davis = 0.0
  with pytest.raises(ValueError, match="every weight is 0"):
    feeds.training_sources(config, config.stages.main)
  config.stages.main.sources.davis = float("inf")
  with pytest.raises(ValueError, match="the weight of davis is inf"):
    feeds.training_sources(config, config.stages.main)
  config.evaluation.dataset = "imagenet"
  with pytest.raises(ValueError, match="'imagenet'; known"):
    datasets.load_scored(config, "objects")


def test_procedural_videos_to_score_are_unseen_and_move_at_normal_speed():
  config = get_config()
  config.data.synthvos.update(num_videos=2, length=8)
  config.evaluation.update(num_videos=2, length=3, size=SIZE)
  config.stages.main.size = SIZE
  to_train = feeds.synthvos(config, config.stages.main)
  to_score = datasets.load_scored(config, "objects").source
  names = [{source[i].name for i in range(2)} for source in (to_train, to_score)]
  assert not names[0] & names[1]
  config.data.synthvos.speed = 9.0
  assert datasets.load_scored(config, "objects").source == to_score
  assert feeds.synthvos(config, config.stages.main) != to_train


@pytest.mark.parametrize("start", range(8))
def test_feeds_take_turns_from_any_step_on(start):
  def part(name):
    return lambda step: ((name, i) for i in range(step, 9))

  whole = [(name, i) for i in range(3) for name in "abc"][:7]
  found = list(feeds.take_turns([part(name) for name in "abc"], 7)(start))
  assert found == whole[start:]


def test_sizes_of_a_stage_take_turns(config):
  stage = config.stages.main
  stage.sources.synthvos, stage.sources.davis = 1.0, 0.0
  stage.update(more_sizes=((48, 64), SIZE), num_steps=7)
  found = batches(config)
  turns = [SIZE, (48, 64), SIZE]
  assert [batch["frames"].shape[2:4] for batch in found] == [*turns, *turns, SIZE]
  frames = [batch["frames"] for batch in found if batch["frames"].shape[2:4] == SIZE]
  for i, one in enumerate(frames):  # each turn has videos of its own
    assert not any((one == other).all() for other in frames[:i])


def test_videos_of_folders_are_resized_in_turn(config):
  config.stages.main.more_sizes = ((48, 64),)
  shapes = [batch["frames"].shape[2:4] for batch in batches(config)]
  assert shapes == [SIZE, (48, 64), SIZE, (48, 64)]


def test_a_further_size_that_is_none_is_named(config):
  config.stages.main.more_sizes = ((48,),)
  with pytest.raises(ValueError, match=r"stages.main.more_sizes is \(48,\); expected"):
    ordered_stages(config)
