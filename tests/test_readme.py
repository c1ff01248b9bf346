"""README and docs/ promise nothing that is missing: snippets run, commands parse."""

import argparse
import functools
import importlib
import pathlib
import re
import runpy
import shlex
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import vosjax
from vosjax import __main__ as command_line
from vosjax import convert, models
from vosjax.cli import train
from vosjax.evaluation.protocols import PROTOCOLS
from vosjax.train import config_files, configs
from vosjax.train.recipes import RECIPES

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [
  ROOT / "README.md",
  ROOT / "CONTRIBUTING.md",
  ROOT / "datasets" / "README.md",
  *sorted((ROOT / "docs").rglob("*.md")),
]
TEXT = "\n".join(page.read_text() for page in PAGES)
FOLDERS = ("configs", "datasets", "docs", "tests", "vosjax", ".ci")
# Parts of the package that docs/papers.md names without `vosjax/`.
UNITS = {path.name for path in (ROOT / "vosjax").iterdir() if path.is_dir()}
UNITS -= {"weights"}  # in the pages, a folder of the reader's own


def blocks(language, text=TEXT):
  return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(*start):
  """Argument lists of the commands that begin with the words of `start`."""
  found = []
  for line in "".join(blocks("sh")).replace("\\\n", "").splitlines():
    words = shlex.split(line.rpartition("&& ")[2])
    words[0] = pathlib.PurePath(words[0]).name
    if tuple(words[: len(start)]) == start:
      found.append(words[len(start) :])
  assert found, start
  return found


def rows(header):
  """Rows of the table whose header begins with `header`, as lists of cells."""
  lines = TEXT.splitlines()
  start = next(i for i, line in enumerate(lines) if line.startswith(f"| {header} |"))
  table = []
  for line in lines[start + 2 :]:
    if not line.startswith("|"):
      return table
    table.append([cell.strip() for cell in line.strip("|").split("|")])
  return table


def test_the_snippet_for_inference_segments_and_scores(capsys):
  found = {}
  exec(blocks("python", README)[0], found)
  j, f = map(float, capsys.readouterr().out.split())
  assert 0 <= j <= 1
  assert 0 <= f <= 1
  assert found["result"].labels.shape == (64, 96)


def test_the_snippet_for_outputs_writes_them(tmp_path, monkeypatch):
  """With a folder of frames in place of the video, and the first mask copied."""
  for package in ("av", "pycocotools"):
    pytest.importorskip(package, reason="needs vosjax[video]")

  def copy_first(frames, labels):
    probs = (labels == 1)[None].astype(np.float32)
    for frame in frames:
      yield types.SimpleNamespace(
        frame=frame, labels=labels, object_ids=(1,), probs=probs
      )

  segmenter = types.SimpleNamespace(run=copy_first)
  monkeypatch.setattr(vosjax, "VideoSegmenter", lambda *weights: segmenter)
  monkeypatch.chdir(tmp_path)
  pathlib.Path("holiday.mp4").mkdir()
  for t in range(3):
    Image.new("RGB", (32, 24)).save(f"holiday.mp4/{t:05d}.png")
  Image.fromarray(np.eye(24, 32, dtype=np.uint8)).save("first.png")
  page = (ROOT / "docs" / "own_video.md").read_text()
  exec(next(code for code in blocks("python", page) if "open_outputs" in code), {})
  written = {path.name for path in pathlib.Path("result").iterdir()}
  assert written >= {"00002.png", "alpha", "alpha.webm", "coco.json"}


@pytest.mark.parametrize(
  "traced",
  [
    True,
    pytest.param(False, marks=pytest.mark.slow),
  ],
)
def test_the_snippet_for_training_gives_gradients(traced, monkeypatch):
  if traced:  # everything but compiled, which takes most of a minute
    monkeypatch.setattr(jax, "jit", lambda f: functools.partial(jax.eval_shape, f))
  found = {}
  exec(blocks("python", README)[1], found)
  gradients, params = found["gradients"], found["variables"]["params"]
  assert jax.tree.map(jnp.shape, gradients) == jax.tree.map(jnp.shape, params)
  assert traced or all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_every_snippet_is_tested():
  assert len(blocks("python", README)) == 2


@pytest.mark.parametrize(
  "snippet", [x for x in blocks("python") if x not in blocks("python", README)]
)
def test_snippets_of_other_pages_compile(snippet):
  compile(snippet, "snippet", "exec")


def test_the_snippets_of_configurations_make_some(tmp_path):
  snippets = [x for x in blocks("python") if "def get_config" in x]
  assert len(snippets) == 2
  for snippet in snippets:
    (tmp_path / "mine.py").write_text(snippet)
    config = config_files.read(f"{tmp_path}/mine.py", ["--config.seed=1"])
    assert tuple(config.stages) == ("main",)


@pytest.mark.parametrize("name", sorted(set(command_line.COMMANDS) - {"train"}))
def test_every_command_parses(name):
  module, _ = command_line.COMMANDS[name]
  parser = argparse.ArgumentParser(exit_on_error=False)
  importlib.import_module(module).configure(parser)
  for words in commands("vosjax", name):
    parser.parse_args(words)


def test_every_command_is_documented():
  assert {words[0] for words in commands("vosjax")} == set(command_line.COMMANDS)


def test_training_commands_name_configurations_and_keys_that_exist(monkeypatch):
  monkeypatch.chdir(ROOT)  # where configs/ is
  parser = argparse.ArgumentParser(exit_on_error=False)
  train.configure(parser)
  for words in commands("vosjax", "train") + commands("python", "-m", "vosjax.main"):
    known, changes = parser.parse_known_args(words)
    name = known.config or changes.pop(0)
    config_files.read(name, changes)


def variants(name):
  with pytest.raises(ValueError, match="known: ") as error:
    config_files.read(f"{name}:nope")
  return set(str(error.value).partition("known: ")[2].rstrip(".").split(", "))


@pytest.mark.parametrize("name", configs.NAMES)
def test_the_variants_listed_are_all_there_are(name):
  cells = [cell for cell, _ in rows(f"variant of `{name}`")]
  assert set(re.findall(r"`:(\w+)`", "".join(cells))) == variants(name)


def test_variants_in_the_text_exist():
  known = set().union(*map(variants, configs.NAMES))
  for name in re.findall(r"`:(\w+)`", TEXT):
    assert name in known, name


def test_keys_in_the_text_exist():
  keys = set(re.findall(r"--config\.([a-z_.0-9]+)=", TEXT))
  assert keys
  for key in keys:
    field = key.removeprefix("model.fields.")
    if field != key:
      assert any(field in models.field_names(name) for name in models.MODELS), key
      continue
    section = config_files.read("agame")
    for name in key.split("."):
      assert name in section, key
      section = section[name]


def test_building_commands_name_builders_and_configurations(monkeypatch):
  build = runpy.run_path(str(ROOT / "datasets" / "build.py"))
  monkeypatch.setattr(sys, "path", [*sys.path])
  for words in commands("python", "datasets/build.py"):
    if words == ["--help"]:
      continue
    builder = build["builder_class"](words[0])
    (name,) = re.findall(r"--config[= ](\S+)", " ".join(words))
    assert name in {config.name for config in builder.BUILDER_CONFIGS}


def test_files_that_are_named_exist():
  quoted = re.findall(r"`([\w./]+)`", TEXT)
  named = [x.partition(":")[0] for x in quoted if x.split("/")[0] in FOLDERS]
  inside = [f"vosjax/{x}" for x in quoted if "/" in x and x.split("/")[0] in UNITS]
  (tree,) = re.findall(r"^```\n(vosjax/.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
  folders = [line.split()[0] for line in tree.splitlines()]
  paths = [*named, *inside, *folders]
  assert len(paths) > 50
  assert not [path for path in paths if not (ROOT / path).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
  for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
    path, _, anchor = link.partition("#")
    if "://" in link or anchor.startswith("vosjax."):  # an object of the API reference
      continue
    target = (page.parent / path).resolve() if path else page
    assert target.exists(), link
    assert not anchor or anchor in anchors(target.read_text()), link


def anchors(text):
  """Those of headings, as Markdown makes them, and explicit ones."""
  titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
  explicit = re.findall(r"^\((.+)\)=$", text, re.MULTILINE)
  return {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles} | {
    *explicit
  }


def test_the_test_command_is_the_one_that_is_run_on_a_fresh_clone():
  (line,) = [
    x
    for x in "".join(blocks("sh")).splitlines()
    if x.startswith("python3 -m venv") and x.endswith("-m pytest -n 2")
  ]
  assert line in (ROOT / ".ci" / "run").read_text()


def test_no_method_is_said_to_do_more_than_is_registered():
  for method, network, official, training, video in rows("method"):
    name = method.split()[0].lower().replace("-", "")
    has_config = (ROOT / "configs" / f"{name}.py").exists()
    for said, there in (
      (network, name in models.MODELS),
      (official, name in convert.TABLES),
      (training, name in RECIPES and has_config),
      (video, name in models.MODELS),
    ):
      assert said in ("yes", "not yet", "none were released"), said
      assert said != "yes" or there, f"{method}: {said}"


def test_every_registered_method_has_a_row():
  methods = {row[0].split()[0].lower().replace("-", "") for row in rows("method")}
  assert set(models.MODELS) <= methods


def test_every_dataset_is_scored_by_a_protocol_that_exists():
  scored = {
    name for row in rows("dataset | training") for name in re.findall("`(.+?)`", row[3])
  }
  assert scored <= set(PROTOCOLS)


def test_every_protocol_is_explained():
  explained = {name for row in rows("`--dataset`") for name in row[:1]}
  assert {name.strip("`") for name in explained} == set(PROTOCOLS)


def test_no_figure_is_left_out():
  cards = (ROOT / "vosjax" / "weights").glob("*.md")
  for text in (TEXT, *(card.read_text() for card in cards)):
    assert not re.findall(r"@[A-Z_0-9]+@", text)
