"""The command line: `vosjax COMMAND ...` or `python -m vosjax COMMAND ...`."""

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence

# Command -> (module with `configure(parser)` and `run(args)`, what it does).
COMMANDS = {
  "train": ("vosjax.cli.train", "train a model, or score one on a dataset"),
  "segment": ("vosjax.cli.segment", "follow objects through your own video"),
  "import-data": ("vosjax.cli.import_data", "make a data set of your own videos"),
  "evaluate": ("vosjax.cli.evaluate", "score predictions as the benchmarks do"),
  "convert": ("vosjax.cli.convert", "turn an official PyTorch checkpoint into ours"),
  "benchmark": ("vosjax.cli.benchmark", "measure the speed of a model here"),
}

EPILOG = """
`vosjax COMMAND --help` shows an example.
"""

BAD_INPUT = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one command and returns its exit code.

  A user's mistake (ValueError, OSError) becomes one line on standard error.
  """
  argv = list(sys.argv[1:] if argv is None else argv)
  try:
    parser = _parser(argv)
    args, further = parser.parse_known_args(argv)
    if further and not args.accepts_further:
      parser.error(f"unrecognized arguments: {' '.join(further)}")
    args.further = further
    return args.run(args) or 0
  except KeyboardInterrupt:
    return _complain("stopped.", INTERRUPTED)
  except BrokenPipeError:  # `vosjax ... | head`: nobody reads on, which is no fault
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
  except OSError as error:
    return _complain(_explain(error), BAD_INPUT)
  except ValueError as error:
    return _complain(str(error), BAD_INPUT)


def _parser(argv) -> argparse.ArgumentParser:
  """Only the module of the command that `argv` names is loaded."""
  width = max(map(len, COMMANDS))
  commands = "\n".join(f"  {n:<{width}}  {text}" for n, (_, text) in COMMANDS.items())
  raw = argparse.RawDescriptionHelpFormatter
  parser = argparse.ArgumentParser(
    prog="vosjax",
    description=f"Video object segmentation in JAX.\n\ncommands:\n{commands}",
    epilog=EPILOG,
    formatter_class=raw,
  )
  parser.set_defaults(accepts_further=False)  # arguments that only the command knows
  subparsers = parser.add_subparsers(
    metavar="COMMAND", required=True, help="one of the above"
  )
  for name, (module, summary) in COMMANDS.items():
    description = summary[0].upper() + summary[1:] + "."
    command = subparsers.add_parser(name, description=description, formatter_class=raw)
    if argv and argv[0] == name:
      implementation = importlib.import_module(module)
      implementation.configure(command)
      command.set_defaults(run=implementation.run)
  return parser


def _explain(error: OSError) -> str:
  """The system's words, with the file and what can be done."""
  if error.errno is None:
    return str(error)
  file = "" if error.filename is None else f"{error.filename}:"
  hint = {
    "ENOSPC": "Free some space and run the command again.",
    "EDQUOT": "Free some space and run the command again.",
    "EACCES": "Choose a place that you may read and write.",
    "EPERM": "Choose a place that you may read and write.",
    "EROFS": "Choose a place that you may write.",
  }.get(errno.errorcode.get(error.errno, ""), "")
  return f"{file} {error.strerror}. {hint}".strip()


def _complain(text: str, code: int) -> int:
  print(f"vosjax: {' '.join(text.split())}", file=sys.stderr)
  return code


if __name__ == "__main__":
  sys.exit(main())
