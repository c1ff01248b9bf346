"""The command line: `vosjax COMMAND ...` or `python -m vosjax COMMAND ...`."""

import argparse
import contextlib
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

import vosjax
from vosjax.cli import problems
from vosjax.cli.problems import BAD_INPUT, INTERRUPTED

# Command -> (module with `configure(parser)` and `run(args)`, one-line description).
COMMANDS = {
  "train": ("vosjax.cli.train", "train a model, or score one on a dataset"),
  "segment": ("vosjax.cli.segment", "segment objects in your own video"),
  "app": ("vosjax.cli.app", "paint, follow and correct objects on a page"),
  "first-frame": ("vosjax.cli.first_frame", "save the frame to paint a mask on"),
  "import-data": ("vosjax.cli.import_data", "make a dataset from your own videos"),
  "evaluate": ("vosjax.cli.evaluate", "score predictions under a dataset's protocol"),
  "convert": ("vosjax.cli.convert", "convert an official PyTorch checkpoint"),
  "export": ("vosjax.cli.export", "write a model as StableHLO, to run without vosjax"),
  "benchmark": ("vosjax.cli.benchmark", "measure speed on this machine"),
  "doctor": ("vosjax.cli.doctor", "check this installation and its devices"),
}

EPILOG = """
`vosjax COMMAND --help` shows an example.
"""

_REPEAT_SECONDS = 0.1  # by then, the code that swallows exceptions has returned


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one command and returns its exit code.

  Unusable arguments and input files, a lack of memory and missing packages of an extra
  are reported in one line on standard error, without a traceback.
  """
  argv = list(sys.argv[1:] if argv is None else argv)
  try:
    with _repeating_lost_interrupts():
      parser = _parser(argv)
      args, extra = parser.parse_known_args(argv)
      if extra and not args.accepts_extra:
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
      args.extra = extra
      return args.run(args) or 0
  except KeyboardInterrupt:
    return _complain("stopped.", INTERRUPTED)
  except BrokenPipeError:  # as in `vosjax ... | head`, which is fine
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
  except ModuleNotFoundError as error:
    from vosjax.cli import extras

    text = extras.explain_missing(error.name)
    if text is None:  # a mistake of ours
      raise
    return _complain(text, BAD_INPUT)
  except Exception as error:
    text = problems.explain(error, argv[0] if argv else "")
    if text is None:
      raise
    return _complain(text, BAD_INPUT)


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
  """Builds the parser; imports only the module of the command that `argv` names."""
  width = max(map(len, COMMANDS))
  commands = "\n".join(f"  {n:<{width}}  {text}" for n, (_, text) in COMMANDS.items())
  raw = argparse.RawDescriptionHelpFormatter
  parser = argparse.ArgumentParser(
    prog="vosjax",
    description=f"Video object segmentation in JAX.\n\ncommands:\n{commands}",
    epilog=EPILOG,
    formatter_class=raw,
  )
  parser.add_argument(
    "--version", action="version", version=f"%(prog)s {vosjax.__version__}"
  )
  parser.set_defaults(accepts_extra=False)  # a command may parse the rest itself
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


@contextlib.contextmanager
def _repeating_lost_interrupts() -> Iterator[None]:
  """Repeats a Ctrl-C that arrives where Python ignores exceptions.

  JAX frees memory in a callback of the garbage collector, often the first Python code
  that runs after a long compilation, and thus where a Ctrl-C pressed meanwhile is
  raised.
  """

  def repeat(ignored: "sys.UnraisableHookArgs") -> None:
    if not issubclass(ignored.exc_type, KeyboardInterrupt):
      previous(ignored)
      return
    timer = threading.Timer(_REPEAT_SECONDS, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True  # nothing waits for it when the command is done
    timer.start()

  previous = sys.unraisablehook
  sys.unraisablehook = repeat
  try:
    yield
  finally:
    sys.unraisablehook = previous


def _complain(text: str, code: int) -> int:
  print(f"vosjax: {' '.join(text.split())}", file=sys.stderr)
  return code


if __name__ == "__main__":
  sys.exit(main())
