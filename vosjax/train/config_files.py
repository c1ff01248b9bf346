"""Configurations by name or path, with changes from the command line."""

import importlib
import pathlib
import re
import runpy
import traceback
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from vosjax.train import configs

_EXPECTED = {
  bool: "true or false",
  int: "a whole number",
  float: "a number",
  tuple: "values in parentheses",
}


def read(config: str, changes: Sequence[str] = ()) -> ConfigDict:
  """Reads a configuration.

  Args:
    config: a built-in configuration, or the path of a Python file that has
      `get_config(variant)`; `:VARIANT` may follow. For example "agame", "agame:smoke"
      or "configs/agame.py:smoke".
    changes: `--config.KEY=VALUE` for each key to change, as on the command line.

  Raises:
    ValueError: the configuration, its variant or a key does not exist, a value has the
      wrong type, or an argument is not understood; says what to do.
  """
  loaded = _load(config)
  arguments = ["vosjax", *changes]
  values = flags.FlagValues()
  try:
    config_flags.DEFINE_config_dict(
      "config", loaded, flag_values=values, sys_argv=arguments
    )
    _, *rest = values(arguments)
  except (AttributeError, LookupError):
    raise ValueError(_unknown_key(loaded, changes)) from None
  except flags.IllegalFlagValueError as error:
    raise ValueError(_wrong_value(loaded, changes, error)) from None
  except (flags.Error, TypeError) as error:
    raise ValueError(str(error)) from None
  if rest:
    raise ValueError(f"unexpected argument {rest[0]!r}.")
  return values["config"].value


def _load(config: str) -> ConfigDict:
  name, _, variant = config.partition(":")
  if name in configs.NAMES:
    module = importlib.import_module(f"vosjax.train.configs.{name}")
    return module.get_config(variant)
  if not pathlib.Path(name).is_file():
    raise ValueError(
      f"no configuration {name}; give one of {', '.join(configs.NAMES)}, or a path "
      "such as configs/agame.py."
    )
  return _run(name, variant)


def _run(file: str, variant: str) -> ConfigDict:
  """Runs the user's file; whatever it raises is one line that names file and place.

  Raises:
    ValueError: the file cannot be run, has no `get_config`, which returns no ConfigDict
      or raises.
  """
  try:
    get_config = runpy.run_path(file).get("get_config")
    if get_config is None:
      raise ValueError(f"{file} has no function get_config(variant).")
    config = get_config(variant) if variant else get_config()
  except SyntaxError as error:
    place = f"{error.filename}, line {error.lineno}" if error.filename else file
    raise ValueError(f"{place}: {error.msg}.") from error
  except (ValueError, OSError):  # they say what is wrong themselves
    raise
  except Exception as error:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    place = f"{file}, line {lines[-1]}" if lines else file
    reason = error.args[0] if isinstance(error, KeyError) and error.args else error
    raise ValueError(f"{place}: {type(error).__name__}: {reason}") from error
  if not isinstance(config, ConfigDict):
    raise ValueError(
      f"{file}: get_config() returned a {type(config).__name__}; expected a ConfigDict."
    )
  return config


def _unknown_key(config: ConfigDict, changes: Sequence[str]) -> str:
  """Names the first key of `changes` that does not exist, and those that do."""
  for change in changes:
    section, path = config, "config"
    for name in re.split(r"[=\s]", change, maxsplit=1)[0].split(".")[1:]:
      if not isinstance(section, ConfigDict):
        return f"{path} is a value and has no key {name!r}."
      whole, bracket, _ = name.partition("[")
      if bracket and whole in section:
        return f"{path}.{whole} has no item that can be set; give it as a whole."
      if name not in section:
        return f"{path} has no key {name!r}; known: {', '.join(sorted(section))}."
      section, path = section[name], f"{path}.{name}"
  return f"unknown key in {' '.join(changes)}; vosjax/train/config.py lists all."


def _wrong_value(
  config: ConfigDict, changes: Sequence[str], error: flags.IllegalFlagValueError
) -> str:
  """Says what a key expects; the error alone knows which change it is about."""
  found = re.match(r"flag --config\.([\w.]+)=", str(error))
  if found is None:
    return str(error)
  rest = str(error)[found.end() :]
  given = [*changes, *(change.partition("=")[2] for change in changes)]
  came = max(
    (text for text in given if rest.startswith(f"{text}: ")), key=len, default=rest
  )
  value: Any = config
  for name in found[1].split("."):
    value = value[name]
  message = f"config.{found[1]} is {came!r}; expected "
  if isinstance(value, ConfigDict):
    return (
      f"{message}one of its keys: config.{found[1]}.KEY; {', '.join(sorted(value))}."
    )
  return (
    f"{message}{_EXPECTED.get(type(value), type(value).__name__)}, as {value!r} is."
  )
