"""How a server ends."""

import subprocess
import sys

import pytest

pytest.importorskip("uvicorn")

SCRIPT = """
import pathlib, sys, threading, time
import jax, jax.numpy as jnp, uvicorn
from vosjax.app import follow, serving

class Server:
  def __init__(self, config):
    pass

  def run(self, sockets):
    def program(x):
      for _ in range(3000):
        x = jnp.sin(x) @ x
      return x

    compile_it = jax.jit(program).lower(jnp.ones((8, 8))).compile
    threading.Thread(target=compile_it, name=follow.THREAD, daemon=True).start()
    time.sleep(0.3)  # the compilation has begun and takes longer
    raise KeyboardInterrupt

class Listener:
  def getsockname(self):
    return "127.0.0.1", 1

uvicorn.Server = Server
serving.application = lambda *_: (None, None)
here = pathlib.Path.cwd()
settings = serving.Settings([here], here, None, "", {}, "token", False, 1)
try:
  serving.serve(Listener(), settings, lambda address: None)
except KeyboardInterrupt:
  print("stopped")
  sys.exit(130)
"""


def test_ctrl_c_while_programs_are_compiled_ends_without_an_abort(tmp_path):
  done = subprocess.run(
    [sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=tmp_path
  )
  assert (done.returncode, done.stdout, done.stderr) == (130, "stopped\n", "")
