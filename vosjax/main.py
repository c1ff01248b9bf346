"""Trains and evaluates: python -m vosjax.main --config=configs/agame.py."""

import logging
import sys

from absl import app, flags
from ml_collections import config_flags

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Configuration, e.g. configs/agame.py or configs/agame.py:smoke."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run; resumed if it holds one. Default: a new one."
)


def main(argv: list[str]) -> int:
  """Runs the configuration; returns the exit code."""
  if len(argv) > 1:
    return _refuse(f"unexpected argument {argv[1]!r}")
  if _CONFIG.value is None:
    return _refuse("give a configuration, e.g. --config=configs/agame.py")
  _log_to_stdout()

  from vosjax.train.interrupt import Interrupted
  from vosjax.train.run import run  # loads JAX, which a mistyped flag need not

  try:
    run(_CONFIG.value, _WORKDIR.value)
  except Interrupted as stop:
    _refuse(f"{stop}; saved. The same command with the printed --workdir resumes it.")
    return 128 + stop.signum
  except KeyboardInterrupt:
    return 130
  except (ValueError, OSError) as error:
    return _refuse(str(error))
  return 0


def _log_to_stdout() -> None:
  # Libraries may warn; their progress reports would drown ours.
  logging.getLogger().setLevel(logging.WARNING)
  logging.getLogger("absl").setLevel(logging.WARNING)
  log = logging.getLogger("vosjax")
  log.setLevel(logging.INFO)
  log.propagate = False  # absl would print every line a second time
  log.addHandler(logging.StreamHandler(sys.stdout))


def _refuse(reason: str) -> int:
  sys.stderr.write(f"vosjax.main: {' '.join(reason.split())}\n")
  return 2


def _parse(argv: list[str]) -> list[str]:
  """Parses the flags; whatever is wrong with them is told in one line."""
  try:
    return flags.FLAGS(argv)
  except flags.UnrecognizedFlagError as error:
    reason = str(error)
  except (AttributeError, KeyError) as error:
    reason = f"the configuration has no key {error.args[0]} (all: configs/base.py)"
  except (flags.Error, ValueError, TypeError, OSError) as error:
    own = error
    while own.__context__ is not None:
      own = own.__context__
    # The loader wraps what a configuration file raised in a traceback.
    reason = str(own if "Traceback" in str(error) else error)
  sys.exit(_refuse(reason))


if __name__ == "__main__":
  app.run(main, flags_parser=_parse)
