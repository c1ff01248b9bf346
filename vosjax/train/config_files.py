"""Configurations by name or path, with changes from the command line."""

import pathlib
import re
from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict, config_flags

from vosjax.train import configs

_KNOWN = f"one of {', '.join(configs.NAMES)}, or a path such as configs/agame.py"


def read(config: str, changes: Sequence[str] = ()) -> ConfigDict:
  """Reads a configuration.

  Args:
    config: a built-in configuration or the path of a Python file with `get_config`,
      with `:VARIANT` after it, such as "agame", "agame:smoke" or
      "configs/agame.py:smoke".
    changes: `--config.KEY=VALUE` for each key to change, as on the command line.

  Raises:
    ValueError: the configuration, variant or a key does not exist, a value is of the
      wrong type, or an argument is not understood; says what to do.
  """
  arguments = ["vosjax", f"--config={_file(config)}", *changes]
  values = flags.FlagValues()
  config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=arguments)
  try:
    _, *rest = values(arguments)
  except (AttributeError, KeyError) as error:
    key = re.search(r"\w+", str(error))
    raise ValueError(
      f"the configuration has no key {key.group() if key else ''!r}; "
      "vosjax/train/config.py lists all."
    ) from None
  except (flags.Error, ValueError, TypeError, OSError) as error:
    raise ValueError(_reason(error)) from None
  if rest:
    raise ValueError(f"unexpected argument {rest[0]!r}.")
  return values["config"].value


def _file(config: str) -> str:
  """The file of a built-in configuration; anything else is a path already."""
  name, colon, variant = config.partition(":")
  if name not in configs.NAMES:
    return config
  path = pathlib.Path(configs.__file__).with_name(f"{name}.py")
  return f"{path}{colon}{variant}"


def _reason(error: BaseException) -> str:
  """The first cause; ml_collections hides it behind tracebacks in messages."""
  while "Traceback" in str(error) and error.__context__ is not None:
    error = error.__context__
  reason = " ".join(str(error).split())
  if absent := re.search(r"Failed loading config .*No such file .*: '(.+)'", reason):
    return f"no configuration {absent[1]}; give {_KNOWN}."
  return reason
