"""`vosjax doctor` finds what is broken and names what is missing."""

import configparser
import functools
import json
import pathlib

import pytest

from vosjax import metrics
from vosjax.__main__ import main
from vosjax.benchmarks import health
from vosjax.cli import doctor, extras

QUICK = {k: doctor.CHECKS[k] for k in ("versions", "devices", "convolution", "metrics")}


@pytest.fixture
def results(tmp_path, monkeypatch):
  """Runs the command, whose exit code is expected, and returns results by name."""
  return functools.partial(run, tmp_path / "doctor.json", monkeypatch)


def run(file, monkeypatch, code, checks=QUICK):
  monkeypatch.setattr(doctor, "CHECKS", checks)
  assert main(["doctor", "--json", str(file)]) == code
  outcome = json.loads(file.read_text())
  assert outcome["ok"] == (code == 0)
  return {check["name"]: check for check in outcome["checks"]}


def test_a_sound_installation_passes(capsys):
  assert main(["doctor"]) == 0
  printed = capsys.readouterr().out
  assert printed.endswith("everything works\n")
  for text in ("jax 0.", "cpu", "training step", "J, F and T of a fixed sample"):
    assert text in printed


def test_wrong_metrics_fail_with_both_values(results, monkeypatch):
  exact = metrics.region_similarity
  monkeypatch.setattr(metrics, "region_similarity", lambda *args: exact(*args) + 2**-53)
  check = results(1)["metrics"]
  assert check["ok"] is False
  assert "J of a fixed sample is 0.79315263908701" in check["found"]
  assert "expected 0.7931526390870185" in check["found"]


def test_a_wrong_convolution_fails(results, monkeypatch):
  monkeypatch.setattr(health, "compare_convolution", lambda: 1e-3)
  check = results(1)["convolution"]
  assert "1.0e-03" in check["found"]
  assert "Update the driver" in check["remedy"]


def test_a_step_that_does_not_descend_fails(results, monkeypatch):
  monkeypatch.setattr(health, "train_one_step", lambda: (0.5, float("nan")))
  checks = {"training step": doctor.CHECKS["training step"]}
  assert results(1, checks)["training step"]["ok"] is False


def test_a_broken_backend_is_one_failed_check_among_others(results):
  def broken(name):
    raise RuntimeError("Unable to initialize backend 'cuda'\nno device")

  found = results(1, QUICK | {"devices": broken})
  assert found["devices"]["found"].startswith("RuntimeError: Unable to initialize")
  assert "JAX_PLATFORMS=cpu" in found["devices"]["remedy"]
  assert found["convolution"]["ok"]


def test_missing_packages_are_named_with_what_installs_them(results, monkeypatch):
  monkeypatch.setattr(extras, "find_missing", lambda extra: ["av"] * (extra == "video"))
  found = results(0)
  assert found["extra video"]["ok"] is None
  assert found["extra video"]["found"].startswith("av: ")
  assert found["extra video"]["remedy"] == 'pip install "vosjax[video]"'


def requirements(section, key):
  """Names of packages in setup.cfg, and the oldest release of each, or None."""
  setup_cfg = configparser.ConfigParser()
  setup_cfg.read(pathlib.Path(__file__).resolve().parents[2] / "setup.cfg")
  lines = setup_cfg[section][key].strip().splitlines()
  found = {}
  for line in lines:
    name, _, oldest = line.partition(" >= ")
    if name.startswith("vosjax["):
      found |= requirements(section, name.removeprefix("vosjax[").removesuffix("]"))
    else:
      found[name] = oldest or None
  return found


@pytest.mark.parametrize("extra", extras.EXTRAS)
def test_the_extras_are_those_of_the_package(extra):
  names = {"pyyaml": "yaml", "tensorflow-datasets": "tensorflow_datasets"}
  required = requirements("options.extras_require", extra)
  assert set(extras.EXTRAS[extra]) == {names.get(name, name) for name in required}
  assert extra in extras.PURPOSES


def test_the_requirements_are_those_of_the_package():
  required = requirements("options", "install_requires")
  assert set(extras.REQUIRED.values()) == set(required)
  required |= requirements("options.extras_require", "video")
  assert {name: least for name, least in required.items() if least} == extras.OLDEST


@pytest.mark.parametrize("release, ok", [("0.8.3", False), ("0.9.0.1", True)])
def test_a_requirement_that_is_too_old_fails(release, ok, results, monkeypatch):
  installed = extras.version
  monkeypatch.setattr(
    extras, "version", lambda name: release if name == "jax" else installed(name)
  )
  checks = {"requirements": doctor.CHECKS["requirements"]}
  check = results(0 if ok else 1, checks)["requirements"]
  assert check["ok"] is ok
  if not ok:
    assert check["found"] == "jax 0.8.3 is too old, 0.9 is needed"
    assert check["remedy"] == "pip install 'jax>=0.9'"


def test_a_missing_requirement_fails(results, monkeypatch):
  missing = {"fifth_package": "fifth-package"}
  monkeypatch.setattr(extras, "REQUIRED", extras.REQUIRED | missing)
  checks = {"requirements": doctor.CHECKS["requirements"]}
  check = results(1, checks)["requirements"]
  assert check["ok"] is False
  assert check["remedy"] == "pip install fifth-package"


def test_a_command_names_the_package_that_it_lacks(capsys, monkeypatch):
  def lacking(name):
    raise ModuleNotFoundError("No module named 'clu.metrics'", name="clu.metrics")

  monkeypatch.setattr(doctor, "run", lacking)
  assert main(["doctor"]) == 2
  assert capsys.readouterr().err == (
    'vosjax: clu is not installed. Run `pip install "vosjax[train]"`.\n'
  )


def test_a_missing_module_of_our_own_is_not_hidden(monkeypatch):
  def lacking(name):
    raise ModuleNotFoundError("No module named 'vosjax.nope'", name="vosjax.nope")

  monkeypatch.setattr(doctor, "run", lacking)
  with pytest.raises(ModuleNotFoundError, match="nope"):
    main(["doctor"])
