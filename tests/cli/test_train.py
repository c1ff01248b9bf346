"""Arguments and exit codes of `vosjax train`, with the run itself replaced."""

import gc
import signal
import sys
import time

import pytest

from vosjax import __main__ as command_line
from vosjax.cli import train
from vosjax.train.interrupt import Interrupted


@pytest.fixture
def runs(monkeypatch):
  """The runs that would have started: (configuration, workdir)."""
  seen = []
  monkeypatch.setattr(
    train.runs, "run", lambda config, workdir, modes: seen.append((config, workdir))
  )
  return seen


@pytest.mark.parametrize(
  "arguments",
  [
    ["agame:smoke", "--workdir=there", "--config.seed=3"],
    ["agame:smoke", "--config.seed", "3", "--workdir", "there"],
    ["--config=agame:smoke", "--config.seed=3", "--workdir=there"],
    ["--workdir=there", "--config", "agame:smoke", "--config.seed=3"],
  ],
)
def test_name_workdir_and_keys_in_any_order(runs, arguments):
  assert command_line.main(["train", *arguments]) == 0
  ((config, workdir),) = runs
  assert config.title.startswith("A-GAME, smoke test")
  assert config.seed == 3
  assert workdir == "there"


@pytest.mark.parametrize(
  ("arguments", "said"),
  [
    ([], "give a configuration, for example agame"),
    (["--workdir=there"], "give a configuration, for example agame"),
    (["agame", "extra"], "unexpected argument 'extra'"),
    (["--config=agame", "extra"], "unexpected argument 'extra'"),
    (["agame:nope"], "variant 'nope' is unknown; known: released"),
    (["agame", "--bogus"], "Unknown command line flag 'bogus'"),
    (["agame", "--coordinator=here:1"], "also needs --num_processes and --process_id"),
  ],
)
def test_a_mistake_is_reported_in_one_line_with_exit_code_2(
  runs, capsys, arguments, said
):
  assert command_line.main(["train", *arguments]) == 2
  printed = capsys.readouterr()
  assert said in printed.err
  assert printed.err.count("\n") == 1
  assert not printed.out
  assert not runs


@pytest.mark.parametrize(
  ("raised", "code", "said"),
  [
    (Interrupted(signal.SIGTERM, 7), 143, "SIGTERM: stopped after step 7, which is"),
    (KeyboardInterrupt(), 130, "stopped"),
    (ValueError("no data"), 2, "no data"),
    (OSError(28, "No space left on device", "x"), 2, "No space left on device"),
    (MemoryError("9 GiB"), 2, "not enough memory (9 GiB). In training, a larger"),
  ],
)
def test_how_a_run_ends_is_the_exit_code(monkeypatch, capsys, raised, code, said):
  def run(*_):
    raise raised

  monkeypatch.setattr(train.runs, "run", run)
  assert command_line.main(["train", "agame:smoke"]) == code
  printed = capsys.readouterr().err
  assert said in printed
  assert printed.count("\n") == 1


def test_help_shows_an_example(capsys):
  with pytest.raises(SystemExit) as stop:
    command_line.main(["train", "--help"])
  assert stop.value.code == 0
  assert "vosjax train agame:smoke" in capsys.readouterr().out


def test_other_commands_refuse_unknown_arguments(capsys):
  with pytest.raises(SystemExit) as stop:
    command_line.main(["convert", "agame", "x.pth", "--out", "y", "--bogus"])
  assert stop.value.code == 2
  assert "unrecognized arguments: --bogus" in capsys.readouterr().err


def test_an_interrupt_that_arrives_in_a_callback_is_not_lost(monkeypatch, capsys):
  """Python ignores what the garbage collector's callbacks raise, and JAX has one."""

  def collected(phase, info):
    gc.callbacks.remove(collected)
    raise KeyboardInterrupt

  def run(args):
    gc.callbacks.append(collected)
    gc.collect()
    time.sleep(5)
    raise AssertionError("the interrupt was lost")

  monkeypatch.setattr(train, "run", run)
  hook = sys.unraisablehook
  # A shell's background jobs ignore the signal, and so would this process then.
  handler = signal.signal(signal.SIGINT, signal.default_int_handler)
  try:
    assert command_line.main(["train", "agame"]) == 130
  finally:
    signal.signal(signal.SIGINT, handler)
  assert capsys.readouterr().err == "vosjax: stopped.\n"
  assert sys.unraisablehook is hook
