"""Keeps compiled programs on disk, so that a second run starts without compiling.

JAX does the work, and its own switches in the environment win:
`JAX_COMPILATION_CACHE_DIR` for another folder, `JAX_ENABLE_COMPILATION_CACHE=false` for
no cache.
"""

import hashlib
import os
import pathlib
import platform
from typing import Any

import jax
import platformdirs

MAX_BYTES = 512 * 2**20  # the programs that were not used for longest are removed


def default_folder() -> pathlib.Path:
  """The folder of this machine's programs, in the user's folder for caches.

  Programs for one processor may crash another, which a home folder on a network can
  bring together, so each kind of processor has a folder of its own.
  """
  user = pathlib.Path(platformdirs.user_cache_dir("vosjax", appauthor=False))
  return user / f"programs-{_processor()}"


def enable() -> None:
  """Turns the cache on, unless the environment or the disk is against it."""
  config: Any = jax.config
  if not config.jax_enable_compilation_cache or config.jax_compilation_cache_dir:
    return
  folder = default_folder()
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError:
    return  # a home folder that cannot be written to
  if not os.access(folder, os.W_OK):
    return
  config.update("jax_compilation_cache_dir", str(folder))
  config.update("jax_compilation_cache_max_size", MAX_BYTES)
  config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _processor() -> str:
  """A short name of this kind of processor, the same on all machines that have it."""
  kind = f"{platform.machine()} {platform.processor()}"
  try:
    with open("/proc/cpuinfo") as file:
      lines = [line for line in file if line.startswith(("flags", "Features"))]
    kind += lines[0] if lines else ""
  except OSError:
    pass  # not Linux: the name of the processor has to do
  return hashlib.sha256(kind.encode()).hexdigest()[:8]
