"""Trains, scores and shows a model, as a configuration says.

  python -m vosjax.main --config=configs/agame.py[:VARIANT] [--workdir=DIR]
      [--config.KEY=VALUE ...]

Whole benchmarks, with a model that was trained before or converted:

  python -m vosjax.main --config=configs/cosnet.py:fbms --config.data.root=FOLDER
      --config.evaluation.checkpoint=weights/cosnet
  python -m vosjax.main --config=configs/agame.py:paper --config.mode=predict
      --config.data.root=DAVIS --config.evaluation.subset=test-dev
      --config.evaluation.checkpoint=weights/agame --workdir=runs/test-dev

The first prints scores, the second writes masks for a server. The configuration's file
lists its variants; configs/base.py explains every key.
"""

import logging
import re
import sys

from absl import app, flags
from ml_collections import config_flags

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Configuration, e.g. configs/agame.py or configs/agame.py:smoke."
)
_WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "Folder of the run; a run that it holds goes on where it stopped. "
  "Without it: a new folder below runs/.",
)

_COORDINATOR = flags.DEFINE_string(
  "coordinator",
  None,
  "Several processes train one model: HOST:PORT of the first, "
  "or auto where JAX finds the others itself (Slurm, TPU pods).",
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "How many, unless auto.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Which, from 0, unless auto.")


def main(argv: list[str]) -> int:
  """Runs the configuration; returns the exit code."""
  if len(argv) > 1:
    return _refuse(f"unexpected argument {argv[1]!r}")
  if _CONFIG.value is None:
    return _refuse("give a configuration, e.g. --config=configs/agame.py")
  # These load JAX, which a mistyped flag need not wait for.
  from vosjax.benchmarks import training
  from vosjax.train import processes, run

  for library in ("absl", "jax"):  # they may warn, no more
    logging.getLogger(library).setLevel(logging.WARNING)
  try:
    if _COORDINATOR.value is not None:
      processes.connect(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    modes = {**run.MODES, "benchmark": training.benchmark}
    run.run(_CONFIG.value, _WORKDIR.value, modes)
  except run.Interrupted as stop:
    _refuse(str(stop))
    return 128 + stop.signum
  except KeyboardInterrupt:
    return processes.leave(130)
  except (ValueError, OSError) as error:
    return processes.leave(_refuse(str(error)))
  return 0


def _refuse(reason: str) -> int:
  reason = " ".join(reason.split())
  if absent := re.search(r"Failed loading config .*No such file .*: '(.+)'", reason):
    reason = f"no configuration {absent[1]}; give its path, e.g. configs/agame.py"
  sys.stderr.write(f"vosjax.main: {reason}\n")
  return 2


def _parse(argv: list[str]) -> list[str]:
  try:
    return flags.FLAGS(argv)
  except (AttributeError, KeyError) as error:
    key = re.search(r"\w+", str(error)).group()
    reason = f"the configuration has no key {key!r}; configs/base.py lists all"
  except (flags.Error, ValueError, TypeError, OSError) as error:
    own = error
    while "Traceback" in str(own):  # put there by the loader of configurations
      own = own.__context__
    reason = str(own)
  sys.exit(_refuse(reason))


if __name__ == "__main__":
  app.run(main, flags_parser=_parse)
