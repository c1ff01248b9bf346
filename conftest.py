"""Tests that need a package of an extra are skipped where it is not installed."""

import importlib.util
import re

import pytest

OPTIONAL = {
  "array_record",
  "av",
  "clu",
  "flatbuffers",
  "grain",
  "ml_collections",
  "nbclient",
  "nbformat",
  "pycocotools",
  "sphinx",
  "tensorboardX",
  "tensorflow_datasets",
  "yaml",
}


def _missing_package(error: BaseException | None) -> str | None:
  """The package of an extra that is not installed, if that is what went wrong."""
  while error is not None:
    if isinstance(error, ModuleNotFoundError) and error.name:
      package = error.name.partition(".")[0]
      if package in OPTIONAL and importlib.util.find_spec(package) is None:
        return package
    error = error.__cause__ or error.__context__
  return None


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
  report = yield
  if report.outcome == "failed" and isinstance(collector, pytest.Module):
    found = re.findall(r"No module named '(\w+)", str(report.longrepr))
    package = next((x for x in found if x in OPTIONAL), None)
    if package and importlib.util.find_spec(package) is None:
      report.outcome = "skipped"
      report.longrepr = (str(collector.path), 1, f"Skipped: needs {package}")
  return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup():
  return (yield from _skipping())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
  return (yield from _skipping())


def _skipping():
  try:
    return (yield)
  except Exception as error:
    package = _missing_package(error)
    if package is None:
      raise
    pytest.skip(f"needs {package}")
