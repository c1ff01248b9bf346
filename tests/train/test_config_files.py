"""Configurations by name and path, with changes from the command line."""

import pathlib

import pytest

from vosjax.train import config_files
from vosjax.train.configs import agame

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("config", ["agame:smoke", f"{ROOT}/configs/agame.py:smoke"])
def test_name_and_path_give_the_same_configuration(config):
  assert config_files.read(config).to_dict() == agame.get_config("smoke").to_dict()


def test_changes_keep_the_type_of_each_key():
  config = config_files.read(
    "agame",
    [
      "--config.stages.main.num_steps=7",
      "--config.stages.main.losses.coarse=0.5",
      "--config.data.synthvos.kinds=('rod',)",
      "--config.data.synthvos.clutter",
      "1",
      "--config.model.fields.end_to_end=False",
      "--noconfig.data.synthvos.in_memory",
    ],
  )
  assert config.stages.main.num_steps == 7
  assert config.stages.main.losses.coarse == 0.5
  assert config.data.synthvos.kinds == ("rod",)
  assert config.data.synthvos.clutter == 1.0
  assert config.model.fields.end_to_end is False
  assert config.data.synthvos.in_memory is False


def test_a_field_without_a_default_value_takes_any():
  config = config_files.read("rvos", ["--config.model.fields.size=(96, 160)"])
  assert config.model.fields.size == (96, 160)


@pytest.mark.parametrize(
  ("config", "changes", "said"),
  [
    ("agame:nope", (), "agame: variant 'nope' is unknown; known: released"),
    (
      "agame",
      ["--config.seed=1", "--config.data.rooot=x"],
      "config.data has no key 'rooot'; known: cityscapes, .*, root, ",
    ),
    (
      "agame",
      ["--config.stages.mian.size=(8, 8)"],
      r"config.stages has no key 'mian'; known: main\.",
    ),
    ("agame", ["--config.seed.x=1"], "config.seed is a value and has no key 'x'"),
    ("agame", ["--config.seed=abc"], "seed is 'abc'; expected a whole number, as 0 is"),
    (
      "agame",
      ["--config.stages.main.learning_rate=1: 2"],
      r"main\.learning_rate is '1: 2'; expected a number, as [\d.]+ is\.",
    ),
    (
      "agame",
      ["--config.data.synthvos.in_memory=maybe"],
      "in_memory is 'maybe'; expected true or false, as False is",
    ),
    (
      "agame",
      ["--config.stages.main.size=(3,'a'"],
      r"size is \"\(3,'a'\"; expected values in parentheses, as \(192, 320\) is",
    ),
    (
      "agame",
      ["--config.checkpoint=nix"],
      r"is 'nix'; expected one of its keys: config\.checkpoint\.KEY; every_steps, keep",
    ),
    ("agame", ["--config.checkpoint="], "checkpoint is ''; expected one of its keys"),
    (
      "agame",
      ["--config.seed", "--config.mode=predict"],
      "seed is '--config.mode=predict'; expected a whole number",
    ),
    ("agame", ["--bogus"], "Unknown command line flag 'bogus'"),
    ("agame", ["extra"], "unexpected argument 'extra'"),
    ("absent.py", (), "no configuration absent.py; give one of agame, cosnet"),
    ("game", (), "no configuration game; give one of agame, cosnet"),
  ],
)
def test_a_mistake_is_named(config, changes, said):
  with pytest.raises(ValueError, match=said):
    config_files.read(config, changes)


def test_a_file_of_something_else_is_named(tmp_path):
  (tmp_path / "mine.py").write_text("config = {}\n")
  with pytest.raises(ValueError, match=r"mine.py has no function get_config\(variant"):
    config_files.read(f"{tmp_path}/mine.py")


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("def get_config(:\n", "mine.py, line 1: invalid syntax"),
    ("\x00", "mine.py: .* null bytes"),
    ("import absent_module\n", "mine.py, line 1: ModuleNotFoundError: No module named"),
    ("\nraise RuntimeError('boom')\n", "mine.py, line 2: RuntimeError: boom"),
    ("def get_config():\n  return {}['x y']\n", "mine.py, line 2: KeyError: x y"),
    ("get_config = 3\n", "mine.py: TypeError: 'int' object is not callable"),
    ("def get_config():\n  pass\n", r"mine.py: get_config\(\) returned a NoneType"),
    (
      "from vosjax.train import config\n"
      "get_config = lambda: config.agame_stage(num_step=2)\n",
      'mine.py, line 2: KeyError: Key "num_step" does not exist',
    ),
    (
      "from vosjax.train import config\n"
      "get_config = lambda: config.set_model(config.get_config(), 'game')\n",
      "model 'game' is unknown; known: .'agame', 'cosnet'",
    ),
  ],
)
def test_what_a_file_raises_is_reported_with_its_place(tmp_path, text, said):
  (tmp_path / "mine.py").write_text(text)
  with pytest.raises(ValueError, match=said):
    config_files.read(f"{tmp_path}/mine.py")


@pytest.mark.parametrize(
  ("change", "said"),
  [
    ("stages.main.size[9]=5", "stages.main.size has no item .* give it as a whole"),
    ("stages.main.size[0]=5", "stages.main.size has no item .* give it as a whole"),
    ("class=1", "Could not parse 'class'"),
  ],
)
def test_a_key_within_a_value_is_no_key(change, said):
  with pytest.raises(ValueError, match=said):
    config_files.read("agame", [f"--config.{change}"])
