"""Configurations by name or path, with changes from the command line."""

import importlib
import pathlib
import re
import runpy
from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict, config_flags

from vosjax.train import configs


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
  arguments = ["vosjax", *changes]
  values = flags.FlagValues()
  loaded = _load(config)
  try:
    config_flags.DEFINE_config_dict(
      "config", loaded, flag_values=values, sys_argv=arguments
    )
    _, *rest = values(arguments)
  except (AttributeError, KeyError):
    raise ValueError(_unknown_key(loaded, changes)) from None
  except (flags.Error, TypeError) as error:
    raise ValueError(str(error)) from None
  if rest:
    raise ValueError(f"unexpected argument {rest[0]!r}.")
  return values["config"].value


def _unknown_key(config: ConfigDict, changes: Sequence[str]) -> str:
  """Names the first key of `changes` that does not exist, and those that do."""
  for change in changes:
    section, path = config, "config"
    for name in re.split(r"[=\s]", change, maxsplit=1)[0].split(".")[1:]:
      if not isinstance(section, ConfigDict):
        return f"{path} is a value and has no key {name!r}."
      if name not in section:
        return f"{path} has no key {name!r}; known: {', '.join(sorted(section))}."
      section, path = section[name], f"{path}.{name}"
  return f"unknown key in {' '.join(changes)}; vosjax/train/config.py lists all."


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
  get_config = runpy.run_path(name).get("get_config")
  if get_config is None:
    raise ValueError(f"{name} has no function get_config(variant).")
  return get_config(variant) if variant else get_config()
