"""`.ci/accelerator` says which of its steps came to nothing."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
FILES = {
  "doctor": "doctor.json",
  "pytest": "goldens.xml",
  "train": "training/speed.json",
  "benchmark": "benchmarks.json",
}

pytestmark = pytest.mark.skipif(
  not all(map(shutil.which, ("bash", "timeout", "tee"))),
  reason="needs bash, and GNU's timeout",
)


@pytest.fixture
def measure(tmp_path):
  """Runs the script; `steps` are what its steps do, instead of writing their files."""

  def call(steps=None, minutes="1", missing=()):
    out = tmp_path / "out"
    script = (
      f'#!/bin/bash\nwrite() {{ mkdir -p "{out}/training"; touch "{out}/$1"; }}\n'
    )
    script += 'case " $* " in\n'
    for name in missing:  # in the list of modules that are looked for
      script += f'" -c "*" {name} "*) echo {name} ;;\n'
    script += f'" -c "*) exec {sys.executable} "$@" ;;\n'
    for name, file in FILES.items():
      script += f'*" {name} "*) {(steps or {}).get(name, f"write {file}")} ;;\n'
    python = tmp_path / "python"
    python.write_text(script + "esac\n")
    python.chmod(0o755)
    return subprocess.run(
      [str(ROOT / ".ci" / "accelerator"), minutes, str(out)],
      env={**os.environ, "PYTHON": str(python)},
      capture_output=True,
      text=True,
      timeout=60,
    )

  return call


def test_steps_that_write_their_files_end_well(measure, tmp_path):
  done = measure()
  assert (done.returncode, done.stderr) == (0, "")
  lines = done.stdout.splitlines()
  assert [line[:2] for line in lines[:-1]] == ["=="] * 4
  assert lines[-1] == "every step ended well"
  assert (tmp_path / "out" / "log.txt").read_text() == done.stdout


def test_each_step_that_came_to_nothing_is_named(measure):
  measure()  # whose files do not count for the next time
  steps = {
    "doctor": "write doctor.json; exit 1",
    "pytest": "kill -INT $$; write goldens.xml",
    "train": "exit 124",  # as `timeout` does
    "benchmark": "true",
  }
  done = measure(steps)
  assert done.returncode == 1
  lines = re.sub(r"after \d+ s", "after N s", done.stdout).splitlines()
  assert lines[4:] == [
    "doctor: failed with exit code 1",
    "goldens: failed with exit code 130",
    "goldens: no goldens.xml",
    "training: stopped or killed after N s",
    "training: no speed.json",
    "benchmarks: no benchmarks.json",
  ]


def test_steps_are_skipped_without_their_packages(measure):
  done = measure({"train": "exit 2"}, missing=["clu"])
  assert done.returncode == 0
  assert done.stdout.splitlines()[4:] == ["training: skipped, not installed: clu"]


@pytest.mark.parametrize("minutes", ["2.5", "x", "0", "-1", "08"])
def test_the_time_must_be_whole_minutes(measure, minutes, tmp_path):
  done = measure(minutes=minutes)
  assert (done.returncode, done.stdout) == (2, "")
  (line,) = done.stderr.splitlines()
  assert f"MINUTES is '{minutes}'" in line
  assert not (tmp_path / "out").exists()
