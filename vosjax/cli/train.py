"""`vosjax train`: trains, scores, predicts with or benchmarks a configured model."""

import argparse
import logging
import sys

from vosjax.benchmarks import training
from vosjax.cli import problems
from vosjax.cli.problems import BAD_INPUT, INTERRUPTED
from vosjax.train import config_files, processes
from vosjax.train import run as runs
from vosjax.train.interrupt import Interrupted

EXAMPLE = """
examples:
  vosjax train agame:smoke
  vosjax train agame --workdir=runs/agame --config.seed=1
  vosjax train --config=mine.py --config.stages.main.num_steps=5000

Score a trained or converted model on a whole dataset, or write masks for a server:

  vosjax train cosnet:fbms --config.data.root=FOLDER \\
      --config.evaluation.checkpoint=weights/cosnet
  vosjax train agame:paper --config.mode=predict --config.data.root=DAVIS \\
      --config.evaluation.subset=test-dev --config.evaluation.checkpoint=weights/agame

`python -m vosjax.main` is the same command. An unknown VARIANT lists the known ones;
vosjax/train/config.py explains every KEY.
"""


def configure(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments of `vosjax train`."""
  parser.usage = (
    "vosjax train NAME[:VARIANT] | --config=FILE.py[:VARIANT]\n"
    "                    [--workdir=DIR] [--config.KEY=VALUE ...]"
  )
  parser.epilog = EXAMPLE
  parser.add_argument(
    "--config",
    metavar="FILE.py[:VARIANT]",
    help="configuration: a Python file with get_config(variant), or the name of a "
    "built-in one (agame, cosnet, ris, rsis, rvos), which may also come first "
    "without --config=",
  )
  parser.add_argument(
    "--workdir",
    metavar="DIR",
    help="folder of the run; an unfinished run in it is resumed (default: a new "
    "folder below runs/)",
  )
  parser.add_argument(
    "--coordinator",
    metavar="HOST:PORT",
    help="for several processes: address of the first one, or `auto` where JAX finds "
    "the others itself (Slurm, TPU pods)",
  )
  parser.add_argument(
    "--num_processes", type=int, metavar="N", help="number of processes, unless `auto`"
  )
  parser.add_argument(
    "--process_id",
    type=int,
    metavar="I",
    help="index of this process, from 0, unless `auto`",
  )
  # Left to `run`: NAME, and `--config.KEY=VALUE`, whose keys and types only the
  # configuration knows.
  parser.set_defaults(accepts_extra=True)


def run(args: argparse.Namespace) -> int:
  """Runs the configuration and returns the exit code.

  Raises:
    ValueError: the arguments, the configuration, the data or the workdir are unusable;
      says what to do.
    OSError: a file cannot be read or written.
  """
  name, changes = args.config, args.extra
  if name is None:
    if not changes or changes[0].startswith("-"):
      raise ValueError(
        "give a configuration, for example agame:smoke or --config=mine.py."
      )
    name, *changes = changes
  config = config_files.read(name, changes)
  for library in ("absl", "jax"):  # warnings only
    logging.getLogger(library).setLevel(logging.WARNING)
  modes = {**runs.MODES, "benchmark": training.benchmark}
  try:
    if args.coordinator is not None:
      processes.connect(args.coordinator, args.num_processes, args.process_id)
    runs.run(config, args.workdir, modes)
  except Interrupted as stop:
    sys.stderr.write(f"vosjax: {stop}\n")
    return 128 + stop.signum
  except KeyboardInterrupt:
    processes.end_one_of_several("stopped.", INTERRUPTED)
    raise
  except Exception as error:
    text = problems.explain(error, "train")
    if text is not None:
      processes.end_one_of_several(text, BAD_INPUT)
    raise
  return 0
