"""`vosjax doctor`: checks an installation, its devices and what is missing."""

import argparse
import pathlib
import platform
import sys
import time
import webbrowser
from collections.abc import Callable
from typing import NamedTuple

from vosjax import files
from vosjax.cli import arguments, extras

EXAMPLE = """
examples:
  vosjax doctor
  vosjax doctor --json doctor.json

Takes some ten seconds. The exit code is 1 if a check fails. What is merely missing is
listed with the command that installs it, and does not fail.
"""

PACKAGES = (
  "jax",
  "jaxlib",
  "flax",
  "optax",
  "orbax-checkpoint",
  "numpy",
  "scipy",
)


class Check(NamedTuple):
  """The outcome of one check.

  Attributes:
    name: what was checked.
    ok: True, False, or None where something optional is missing.
    found: what was found.
    remedy: what to do about it; "" if nothing.
  """

  name: str
  ok: bool | None
  found: str
  remedy: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments of `vosjax doctor`."""
  parser.epilog = EXAMPLE
  parser.add_argument(
    "--json",
    type=pathlib.Path,
    metavar="FILE",
    help="also write the results to this file",
  )


def run(args: argparse.Namespace) -> int:
  """Runs all checks, prints them, and returns 1 if one failed.

  Raises:
    ValueError: the folder of `--json` does not exist.
  """
  arguments.require_folder(args.json)
  checks: list[Check] = []
  for name, check in CHECKS.items():
    began = time.perf_counter()
    try:
      result = check(name)
    except Exception as error:  # whatever is broken, the other checks still count
      text = " ".join(f"{type(error).__name__}: {error}".split())
      result = Check(name, False, text, REMEDIES.get(name, ""))
    seconds = time.perf_counter() - began
    if seconds > 1:
      result = result._replace(found=f"{result.found} ({seconds:.0f} s)")
    checks.append(result)
    print(_format(result), flush=True)
  for extra in extras.EXTRAS:
    checks.append(_check_extra(extra))
    print(_format(checks[-1]))
  failed = [check.name for check in checks if check.ok is False]
  print(f"failed: {', '.join(failed)}" if failed else "everything works")
  if args.json:
    outcome = {"ok": not failed, "checks": [check._asdict() for check in checks]}
    files.write_json(args.json, outcome)
  return 1 if failed else 0


def _format(check: Check) -> str:
  mark = {True: "ok", False: "FAILED", None: "missing"}[check.ok]
  remedy = f"\n{'':<28}{check.remedy}" if check.remedy else ""
  return f"{mark:<8}{check.name:<20}{check.found}{remedy}"


def _check_versions(name: str) -> Check:
  found = [f"vosjax {sys.modules['vosjax'].__version__}"]
  found += [f"Python {platform.python_version()}"]
  found += [f"{package} {extras.version(package)}" for package in PACKAGES]
  return Check(name, True, ", ".join(found))


def _check_requirements(name: str) -> Check:
  missing, old = extras.find_missing_requirements(), extras.find_too_old()
  found = [f"not installed: {' '.join(missing)}"] if missing else []
  for package in old:
    release, oldest = extras.version(package), extras.OLDEST[package]
    found.append(f"{package} {release} is too old, {oldest} is needed")
  if not found:
    return Check(name, True, "all packages that vosjax requires are installed")
  wanted = [*missing, *(f"'{package}>={extras.OLDEST[package]}'" for package in old)]
  return Check(name, False, "; ".join(found), f"pip install {' '.join(wanted)}")


def _check_devices(name: str) -> Check:
  import jax

  devices = jax.devices()
  memory = (devices[0].memory_stats() or {}).get("bytes_limit")
  size = f", {memory / 2**30:.0f} GiB each" if memory else ""
  found = f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform}{size})"
  unused = devices[0].platform == "cpu" and pathlib.Path("/dev/nvidia0").exists()
  if unused:
    return Check(
      name,
      False,
      f"{found}, but this machine has an NVIDIA GPU",
      "Install JAX with CUDA, for instance `pip install -U 'jax[cuda13]'`.",
    )
  return Check(name, True, found)


def _check_convolution(name: str) -> Check:
  from vosjax.benchmarks import health

  error = health.compare_convolution()
  remedy = "" if error < health.TOLERANCE else REMEDIES[name]
  found = f"differs from NumPy by {error:.1e} of the largest value"
  return Check(name, error < health.TOLERANCE, found, remedy)


def _check_training(name: str) -> Check:
  from vosjax.benchmarks import health

  before, after = health.train_one_step()
  ok = after < before
  found = f"the loss of a small network went from {before:.4f} to {after:.4f}"
  return Check(name, ok, found, "" if ok else REMEDIES[name])


def _check_metrics(name: str) -> Check:
  from vosjax.benchmarks import health

  wrong = health.compare_metrics()
  if wrong:
    return Check(name, False, f"{'; '.join(wrong)}", REINSTALL)
  return Check(name, True, "J, F and T of a fixed sample are exact")


def _check_browser(name: str) -> Check:
  try:
    webbrowser.get()
  except webbrowser.Error:
    return Check(
      name,
      None,
      "none here",
      "Where a command shows a page, open its address elsewhere.",
    )
  return Check(name, True, "can be opened")


def _check_extra(extra: str) -> Check:
  absent = extras.find_missing(extra)
  if not absent:
    return Check(f"extra {extra}", True, f"for {extras.PURPOSES[extra]}")
  found = f"{', '.join(absent)}: for {extras.PURPOSES[extra]}"
  return Check(f"extra {extra}", None, found, f'pip install "vosjax[{extra}]"')


REINSTALL = "Install vosjax and NumPy again."
REMEDIES = {
  "devices": "Install the JAX for this machine, see "
  "https://docs.jax.dev/en/latest/installation.html, or set JAX_PLATFORMS=cpu.",
  "convolution": "Update the driver and JAX together, or set JAX_PLATFORMS=cpu.",
  "training step": "Update the driver and JAX together, or set JAX_PLATFORMS=cpu.",
}
CHECKS: dict[str, Callable[[str], Check]] = {
  "versions": _check_versions,
  "requirements": _check_requirements,
  "devices": _check_devices,
  "convolution": _check_convolution,
  "training step": _check_training,
  "metrics": _check_metrics,
  "browser": _check_browser,
}
