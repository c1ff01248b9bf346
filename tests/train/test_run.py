"""Runs in miniature: how they start, and how they end if something is wrong."""

import errno
import os
import pathlib
import signal
from types import SimpleNamespace

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from vosjax import checkpoints, convert, files
from vosjax.benchmarks import training
from vosjax.models import with_execution
from vosjax.train import config as base
from vosjax.train import run, writers
from vosjax.train.configs import cosnet, ris, rvos
from vosjax.train.configs.agame import get_config
from vosjax.train.interrupt import Interrupted
from vosjax.train.recipe import Scoring
from vosjax.train.recipes import agame
from vosjax.types import VideoBatch

ROOT = pathlib.Path(__file__).resolve().parents[2]


MODES = {**run.MODES, "benchmark": training.benchmark}  # as `vosjax train` has them


@pytest.fixture
def config():
  """Two tiny steps."""
  config = get_config("smoke")
  config.stages.main.update(num_steps=2, steps_per_epoch=2, unroll_steps=1)
  config.evaluation.update(num_videos=1, num_previews=1, length=4)
  return config


def official_resnet18():
  """A state dict with torchvision's names and shapes, and random values."""
  rng = np.random.default_rng(0)
  shapes = {
    "conv1.weight": (64, 3, 7, 7),
    "bn1": 64,
    "fc.weight": (10, 512),
    "fc.bias": (10,),
  }
  before = 64
  for stage, width in enumerate((64, 128, 256, 512), 1):
    for block in range(2):
      name = f"layer{stage}.{block}"
      shapes[f"{name}.conv1.weight"] = (width, before, 3, 3)
      shapes[f"{name}.conv2.weight"] = (width, width, 3, 3)
      shapes |= {f"{name}.bn1": width, f"{name}.bn2": width}
      if width != before:
        shapes[f"{name}.downsample.0.weight"] = (width, before, 1, 1)
        shapes[f"{name}.downsample.1"] = width
      before = width
  found = {}
  for name, shape in shapes.items():
    leaves = {name: shape}
    if isinstance(shape, int):
      names = ("weight", "bias", "running_mean", "running_var")
      leaves = {f"{name}.{leaf}": (shape,) for leaf in names}
    for leaf, size in leaves.items():
      found[leaf] = rng.uniform(0.01, 0.1, size).astype(np.float32)
  return found


@pytest.fixture
def fit_toy(toy, config, monkeypatch):
  """Trains the toy in a folder as a run does, one step in each of two stages.

  Takes the folder and a function that segments a video; returns what `_fit` does.
  """
  model = run.build(config)
  scored_set = run.datasets.load_scored(config, "objects")
  monkeypatch.setattr(toy, "STEPS", (1, 1))
  base.set_stages(config, s0=base.agame_stage(), s1=base.agame_stage())

  def fit(folder, segment):
    folder.mkdir(exist_ok=True)
    stages, initial = toy.make_stages(), toy.variables()
    scoring = Scoring("objects", lambda model, variables: segment)
    return run._fit(config, model, stages, initial, folder, scoring, scored_set)

  return fit


def true_labels(video):
  return (video.labels(t) for t in range(len(video)))


def test_a_resumed_run_logs_the_means_of_all_steps(config, fit_toy, tmp_path):
  config.log.every_steps = 2

  def losses(folder):
    lines = writers.read_metrics(tmp_path / folder)
    return [line for line in lines if "loss" in line]

  fit_toy(tmp_path / "whole", true_labels)
  config.time_limit = 1e-9
  fit_toy(tmp_path / "stopped", true_labels)
  assert not losses("stopped")
  config.time_limit = 0.0
  fit_toy(tmp_path / "stopped", true_labels)
  assert [line["step"] for line in losses("whole")] == [2]
  assert losses("stopped") == losses("whole")


def test_training_starts_from_a_converted_backbone(config, tmp_path, monkeypatch):
  official = official_resnet18()
  fields = convert.find_fields("resnet", official)
  variables = convert.convert("resnet", official, **fields)
  checkpoints.save(tmp_path / "resnet", "resnet", fields, variables)
  config.model.fields.width = 64
  config.backbone_checkpoint = str(tmp_path / "resnet")
  model = run.build(config)
  zeros = jax.tree.map(
    lambda leaf: np.zeros(leaf.shape, leaf.dtype), checkpoints.variable_shapes(model)
  )
  monkeypatch.setattr(run, "random_variables", lambda *_: zeros)  # they compile slowly
  initial = run.initial_variables(model, config)
  for collection in ("params", "batch_stats"):
    ours = flax.traverse_util.flatten_dict(initial[collection]["backbone"])
    theirs = flax.traverse_util.flatten_dict(variables[collection])
    assert ours.keys() == theirs.keys()
    for path, leaf in theirs.items():
      np.testing.assert_array_equal(ours[path], leaf, err_msg=str(path))
  stem = initial["params"]["backbone"]["stem"]["conv"]["kernel"]
  np.testing.assert_array_equal(stem[2, 3, 1, 5], official["conv1.weight"][5, 1, 2, 3])


def test_cosnet_starts_from_a_deeplab_and_random_variables_elsewhere(
  tmp_path, monkeypatch
):
  config = cosnet.get_config("smoke")
  config.model.fields.deep = "dilated"
  names = ("backbone", "width", "features", "branch_features", "rates")
  fields = {name: config.model.fields[name] for name in names}
  model, part = run.build(config), checkpoints.build("deeplab", fields)
  given, random = (
    jax.tree.map(
      lambda leaf, x=x: np.full(leaf.shape, x, leaf.dtype),
      checkpoints.variable_shapes(network),
    )
    for x, network in enumerate((part, model), 1)
  )
  checkpoints.save(tmp_path / "deeplab", "deeplab", fields, given)
  config.backbone_checkpoint = str(tmp_path / "deeplab")
  monkeypatch.setattr(run, "random_variables", lambda *_: random)  # compiles slowly
  initial = run.initial_variables(model, config)
  for path, leaf in flax.traverse_util.flatten_dict(initial).items():
    assert (np.asarray(leaf) == (1 if path[1] == "encoder" else 2)).all(), path


@pytest.mark.parametrize(
  ("make", "checkpoint", "is_said"),
  [
    (lambda: get_config("paper"), "", True),
    (lambda: get_config("paper"), "weights/resnet101", False),
    (rvos.get_config, "", True),
    (lambda: rvos.get_config("paper"), "", False),  # all of it is trained
    (lambda: cosnet.get_config("paper"), "", False),  # norms of shortcuts are frozen
    (lambda: get_config("imported"), "", False),  # a whole model to start from
    (lambda: ris.get_config("paper_people"), "", True),
  ],
)
def test_random_layers_that_are_never_trained_are_said(
  make, checkpoint, is_said, monkeypatch, caplog
):
  config = make()
  config.backbone_checkpoint = checkpoint
  model = run.build(config)
  monkeypatch.setattr(run.LOG, "propagate", True)
  run.describe(config, model, checkpoints.variable_shapes(model), {}, [])
  assert ("frozen layers are random" in caplog.text) == is_said


@pytest.fixture
def resnet(tmp_path):
  """Folder of a small ResNet, as `vosjax convert resnet` saves it."""
  fields = {"variant": "resnet18", "width": 8}
  model = checkpoints.build("resnet", fields)
  variables = jax.tree.map(
    lambda leaf: jnp.ones(leaf.shape, leaf.dtype), checkpoints.variable_shapes(model)
  )
  checkpoints.save(tmp_path / "resnet", "resnet", fields, variables)
  return str(tmp_path / "resnet")


@pytest.mark.parametrize(
  ("wrong", "said"),
  [
    ("width", r"variant=resnet18, width=8\), which does not fit the model's backbone"),
    ("absent", "is not a checkpoint: it does not exist"),
  ],
)
def test_a_backbone_that_does_not_fit_stops_before_anything_is_written(
  config, tmp_path, resnet, wrong, said
):
  config.backbone_checkpoint = resnet if wrong == "width" else str(tmp_path / "absent")
  with pytest.raises(ValueError, match=said):
    run.run(config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_model_is_not_scored(config, tmp_path, resnet):
  config.mode = "evaluate"
  config.evaluation.checkpoint = resnet
  with pytest.raises(ValueError, match="a ResNet, but this configuration is for agame"):
    run.run(config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


def test_a_missing_model_is_reported_with_how_to_get_one(config, tmp_path):
  config.mode = "evaluate"
  for workdir in (None, str(tmp_path)):
    with pytest.raises(ValueError, match=r"holds no model/.*evaluation\.checkpoint"):
      run.run(config, workdir)
  config.mode = "prophesy"
  with pytest.raises(ValueError, match=r"mode is 'prophesy'; known"):
    run.run(config, None)


@pytest.mark.parametrize(
  ("given", "backend", "expected"),
  [(1, "cpu", 1), (0, "cpu", True), (0, "gpu", False)],  # True: all steps
)
def test_the_scan_is_unrolled_on_cpu_unless_its_length_is_given(
  config, monkeypatch, given, backend, expected
):
  class Seen(Exception):
    pass

  def unroll(*_, unroll_steps, **__):
    raise Seen(unroll_steps)

  monkeypatch.setattr(agame, "unroll", unroll)
  monkeypatch.setattr(jax, "default_backend", lambda: backend)
  config.stages.main.unroll_steps = given
  objective = agame.make_objective(run.build(config), config.stages.main)
  frames, labels = jnp.zeros((1, 3, 2, 2, 3)), jnp.zeros((1, 3, 2, 2))
  with pytest.raises(Seen, match=str(expected)):
    objective({}, VideoBatch(frames, labels), None)


def test_stages_with_the_same_videos_share_them(config):
  config.data.synthvos.length = 0  # those of a clip
  with config.unlocked():
    for name in ("same", "longer"):
      config.stages[name] = config.stages.main.copy_and_resolve_references()
    config.stage_order = tuple(config.stages)
  config.stages.longer.clip_length += 1
  sources = run.make_stages(config, run.build(config))[1]
  main, same, longer = (
    sources[name]["synthvos"] for name in ("main", "same", "longer")
  )
  assert main is same
  assert longer is not main


def test_each_stage_draws_its_videos_in_an_order_of_its_own(config):
  def names(stage):
    return [name for batch in stage.batches_from(0) for name in batch["names"]]

  config.stages.main.update(size=(32, 32), clip_length=2)
  with config.unlocked():
    config.stages.second = config.stages.main.copy_and_resolve_references()
    config.stage_order = ("main", "second")
  first, second = run.make_stages(config, run.build(config))[0]
  assert names(first) != names(second)
  found = names(second)
  (again,) = run.make_stages(config, run.build(config))[0][1:]
  assert names(again) == found
  base.set_stages(config, main=config.stages.main)
  (alone,) = run.make_stages(config, run.build(config))[0]
  assert names(alone) == names(first)  # whose seed is that of the run


def test_a_stage_says_whether_it_starts_from_the_best_weights(config):
  with config.unlocked():
    config.stages.second = config.stages.main.copy_and_resolve_references()
    config.stage_order = ("main", "second")
  config.stages.second.from_best = True
  stages, _ = run.make_stages(config, run.build(config))
  assert [stage.from_best for stage in stages] == [False, True]


def test_a_folder_that_cannot_be_used_is_refused_before_anything_is_compiled(
  config, tmp_path, monkeypatch
):
  def compile_slowly(*_):
    raise AssertionError

  monkeypatch.setattr(run, "initial_variables", compile_slowly)
  (tmp_path / "file").touch()
  with pytest.raises(ValueError, match="workdir=.*/file exists but holds no run"):
    run.run(config, str(tmp_path / "file"))


def test_fields_that_make_no_network_are_one_line(config, tmp_path):
  config.model.fields.features = -1
  with pytest.raises(ValueError, match=r"fields make no network .*features=-1"):
    run.run(config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


def test_a_long_reason_why_fields_make_no_network_is_cut(config, monkeypatch):
  def fail(model, config):
    raise TypeError("wrong shapes " * 1000)

  monkeypatch.setattr(run, "_initial_variables", fail)
  with pytest.raises(ValueError, match=r"wrong \.\.\.\): \w+ \(.*\)\.$") as caught:
    run.initial_variables(run.build(config), config)
  assert len(str(caught.value)) < 2000


def test_a_second_run_in_a_workdir_is_refused(config, tmp_path):
  with (
    files.claimed(tmp_path / "run", "the first run"),
    pytest.raises(ValueError, match="--workdir=.*/run: another process is working"),
  ):
    run.run(config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


def test_a_mode_for_a_single_process_is_refused_to_several(
  config, tmp_path, monkeypatch
):
  monkeypatch.setattr(jax, "process_count", lambda: 2)
  config.mode = "benchmark"
  with pytest.raises(ValueError, match="'benchmark', which runs in a .* are 2. St"):
    run.run(config, str(tmp_path / "run"), MODES)
  assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["checkpoint", "metrics", "scores"])
def test_a_full_disk_leaves_nothing_half_written(config, tmp_path, monkeypatch, place):
  def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), place)

  if place == "checkpoint":
    monkeypatch.setattr(ocp.CheckpointManager, "save", full)
  elif place == "metrics":
    monkeypatch.setattr(writers.MetricsWriter, "write", full)
  else:
    monkeypatch.setattr(run.model_files, "_checksums", full)
  workdir = tmp_path / "run"
  with pytest.raises(OSError, match="No space left on device") as error:
    run.run(config, str(workdir))
  assert error.value.filename == place
  assert not (workdir / "model").exists()
  assert not list(workdir.rglob("*.part*"))
  assert not list(workdir.rglob("*tmp*"))


@pytest.mark.slow
def test_the_best_model_by_validation_is_kept_besides_the_last(
  config, tmp_path, monkeypatch
):
  scores = {1: 0.9, 2: 0.1}
  monkeypatch.setattr(run.Validation, "__call__", lambda _, step, state: scores[step])
  config.checkpoint.every_steps = config.validation.every_steps = 1
  run.run(config, str(tmp_path))
  best, last = (
    checkpoints.load(tmp_path / name)[1] for name in ("model", "model_last")
  )
  differ = jax.tree.map(lambda a, b: bool((a != b).any()), best, last)
  assert any(jax.tree.leaves(differ["params"]))
  steps = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
  assert steps == [1, 2]
  kept = run.Checkpoints(tmp_path / "checkpoints", keep=1)
  assert kept.best() == 1
  kept.close()


def test_a_model_is_scored_on_further_datasets_if_they_are_there(
  config, tmp_path, monkeypatch
):
  scored, warnings = [], []

  def score(config, scoring, model, variables, scored_set, path, **_):
    scored.append((config.evaluation.dataset, path.name, len(scored_set.source)))

  def warn(text, *values):
    warnings.append(text % values)

  monkeypatch.setattr(run, "score_model", score)
  monkeypatch.setattr(run.LOG, "warning", warn)
  model = run.build(config)
  config.data.root = str(tmp_path / "absent")
  run._score_also(config, "davis", model, {}, tmp_path)
  assert not scored and not warnings
  config.data.root = str(tmp_path)  # which holds no dataset
  run._score_also(config, "davis", model, {}, tmp_path)
  assert not scored
  [said] = warnings
  assert said.startswith("warning: no scores on davis: root: no folder")
  monkeypatch.setattr(
    run.datasets, "load_scored", lambda config, task: SimpleNamespace(source="ab")
  )
  run._score_also(config, "davis", model, {}, tmp_path)
  assert scored == [("davis", "davis", 2)]
  assert config.evaluation.dataset == "synthvos"


def test_an_unknown_further_dataset_is_refused_before_training(config, tmp_path):
  config.evaluation.also = ("davsi",)
  said = r"evaluation.also names 'davsi'; given .* objects are scored on \['davis',"
  with pytest.raises(ValueError, match=said):
    run.run(config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("best", [1, 2])
def test_a_run_returns_its_best_state_unless_that_is_the_last_and_repeats_nothing(
  best, config, fit_toy, tmp_path, monkeypatch
):
  validated = []

  def validate(step, state):
    validated.append(step)
    return float(step == best)

  monkeypatch.setattr(run, "Validation", lambda *_, **__: validate)
  config.checkpoint.every_steps = config.validation.every_steps = 1
  config.log.every_steps = 1
  for _ in range(2):  # the second time, nothing is left to do
    fitted = fit_toy(tmp_path, true_labels)
    assert int(fitted.last.step) == 2
    found = fitted.best and int(fitted.best.step)
    assert found == {1: 1, 2: None}[best]
    assert validated == [1, 2]
    assert [line["step"] for line in writers.read_metrics(tmp_path)] == [1, 2]


@pytest.mark.parametrize("place", ["frame", "curves", "score"])
def test_a_run_that_ends_in_its_last_validation_is_completed_by_the_next_start(
  place, config, fit_toy, tmp_path, monkeypatch
):
  """Told to stop in a frame, or killed after the score has been logged."""
  frames, last_frame = [], 0

  def segment(video):
    for t in range(len(video)):
      frames.append(t)
      if len(frames) == last_frame:
        os.kill(os.getpid(), signal.SIGTERM)
      yield video.labels(t)

  def fail_the_second_time(owner, name):
    original, calls = getattr(owner, name), []

    def fail(*args):
      calls.append(args)
      if len(calls) == 2:
        raise MemoryError
      return original(*args)

    monkeypatch.setattr(owner, name, fail)

  config.validation.every_steps = config.log.curves_every_steps = 1
  config.log.every_steps = 1
  fit_toy(tmp_path / "whole", segment)
  count = len(frames) // 2  # of a validation
  frames.clear()
  if place == "frame":
    last_frame = count + 1
  elif place == "curves":
    fail_the_second_time(writers, "draw_curves")
  else:
    fail_the_second_time(run.Checkpoints, "add_score")
  with pytest.raises((Interrupted, MemoryError)):
    fit_toy(tmp_path / "ended", segment)
  assert len(frames) == (last_frame or 2 * count)
  frames.clear()
  fit_toy(tmp_path / "ended", segment)
  assert len(frames) == count
  for name in ("metrics.jsonl", "curves.png"):
    found, expected = (tmp_path / folder / name for folder in ("ended", "whole"))
    assert found.read_bytes() == expected.read_bytes()


def test_training_starts_from_a_whole_model(config, tmp_path):
  fields = config.model.fields.to_dict()
  model = run.build(config)
  ones = jax.tree.map(
    lambda leaf: np.ones(leaf.shape, leaf.dtype), checkpoints.variable_shapes(model)
  )
  checkpoints.save(tmp_path, "agame", fields, ones)
  config.model_checkpoint = str(tmp_path)
  initial = run.initial_variables(model, config)
  assert all((np.asarray(leaf) == 1).all() for leaf in jax.tree.leaves(initial))
  config.model.fields.width = 8
  with pytest.raises(ValueError, match="model_checkpoint .* does not fit the model"):
    run.initial_variables(run.build(config), config)


def test_other_fields_than_those_of_a_whole_model_are_warned_of(
  config, filled, tmp_path, monkeypatch, caplog
):
  monkeypatch.setattr(run.LOG, "propagate", True)
  checkpoints.save(tmp_path, "agame", config.model.fields.to_dict(), filled(1))
  config.model_checkpoint = str(tmp_path)
  model = with_execution(run.build(config), dtype="bfloat16")
  run.initial_variables(model, config)
  assert "model_checkpoint" not in caplog.text
  config.model.fields.update(relative_scores=False, update_rate=0.0)
  run.initial_variables(run.build(config), config)
  assert "has relative_scores=True, update_rate=0.1, and" in caplog.text
  assert "this run relative_scores=False, update_rate=0.0." in caplog.text


@pytest.fixture
def filled(config):
  """Makes a model's variables that all have one value."""
  shapes = checkpoints.variable_shapes(run.build(config))
  return lambda x: jax.tree.map(lambda leaf: np.full(leaf.shape, x, leaf.dtype), shapes)


def test_a_run_records_its_videos_and_is_compared_with_its_initial_weights(
  config, filled, tmp_path, monkeypatch
):
  scored, chosen_by = [], []
  fitted = run.Fitted(SimpleNamespace(variables=filled(2)), None)

  def fit(*arguments):
    chosen_by.extend(video.name for video in arguments[-1].source)
    return fitted

  def score(config, scoring, model, variables, scored_set, path, *, initial):
    scored.append(([video.name for video in scored_set.source], initial))

  monkeypatch.setattr(run, "random_variables", lambda *_: filled(1))  # slow
  monkeypatch.setattr(run, "_fit", fit)
  monkeypatch.setattr(run, "score_model", score)
  run.run(config, str(tmp_path / "run"))
  [(names, compared)] = scored
  assert len(chosen_by) == len(names) == 1
  assert not set(chosen_by) & set(names)
  assert all((leaf == 1).all() for leaf in jax.tree.leaves(compared))
  _, saved = checkpoints.load(tmp_path / "run/model")
  assert all((leaf == 2).all() for leaf in jax.tree.leaves(saved))
  assert not (tmp_path / "run/model_last").exists()
  assert "synthvos" in (tmp_path / "run/videos.json").read_text()


def test_a_resumed_run_that_ends_with_its_best_step_keeps_no_older_last_model(
  config, filled, tmp_path, monkeypatch
):
  best, last = (SimpleNamespace(variables=filled(x), step=x) for x in (1, 2))
  monkeypatch.setattr(run, "random_variables", lambda *_: filled(0))
  monkeypatch.setattr(run, "score_model", lambda *_, **__: None)
  for fitted, kept in ((run.Fitted(last, best), True), (run.Fitted(last, None), False)):
    monkeypatch.setattr(run, "_fit", lambda *_, fitted=fitted: fitted)
    run.run(config, str(tmp_path / "run"))
    assert (tmp_path / "run/model_last").exists() == kept
