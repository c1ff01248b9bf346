"""Compiled programs are kept on disk between runs of the command line."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from vosjax.cli import program_cache
program_cache.enable()
import jax, jax.numpy as jnp
events = []
jax.monitoring.register_event_listener(lambda name, **_: events.append(name))
jax.jit(lambda x: jnp.sin(x) @ x.T)(jnp.ones((8, 8))).block_until_ready()
print("hits", sum(name.endswith("/cache_hits") for name in events))
"""


def run(home, **environment):
  """Number of programs that a fresh process took from the disk."""
  names = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE")
  inherited = {k: v for k, v in os.environ.items() if k not in names}
  done = subprocess.run(
    [sys.executable, "-c", PROGRAM],
    env=inherited | {"XDG_CACHE_HOME": str(home), "JAX_PLATFORMS": "cpu"} | environment,
    capture_output=True,
    text=True,
    check=True,
  )
  assert not done.stderr, done.stderr
  return int(done.stdout.split()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="needs XDG_CACHE_HOME")
def test_the_second_process_compiles_nothing(tmp_path):
  assert run(tmp_path) == 0
  assert run(tmp_path) > 0
  assert run(tmp_path, JAX_ENABLE_COMPILATION_CACHE="false") == 0
  assert [path.name for path in tmp_path.iterdir()] == ["vosjax"]


def test_a_home_that_cannot_be_written_to_is_no_fault(tmp_path):
  (tmp_path / "file").write_text("")
  assert run(tmp_path / "file") == 0


def test_the_users_own_folder_wins(tmp_path):
  assert run(tmp_path / "home", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine")) == 0
  assert list((tmp_path / "mine").iterdir())
  assert not (tmp_path / "home").exists()
