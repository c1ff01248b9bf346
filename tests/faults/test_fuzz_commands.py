"""Random command lines and changes of a configuration."""

import shutil
import sys

import numpy as np
from fuzzing import examples, save_frames, save_mask, vosjax
from hypothesis import strategies as st

from vosjax.train import config_files, run


def _keys(config, path="config"):
  for key, value in config.items():
    if hasattr(value, "items"):
      yield from _keys(value, f"{path}.{key}")
    else:
      yield f"{path}.{key}"


KEYS = sorted(_keys(config_files.read("agame:smoke")))
VALUES = ("-1", "0", "1", "2", "7", "0.5", "-0.5", "nan", "inf", "1e-9", "", "x",
          "None", "True", "()", "(1,)", "(0, 0)", "(7, 3)", "(32, 48)", "(-1, 2)",
          "('a', 'b')", "{}", "[1, 2]", "../up", "é", "agame", "davis", "synthvos",
)  # fmt: skip


@examples(
  st.lists(
    st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), min_size=1, max_size=3
  )
)
def test_changes_of_a_configuration(folder, monkeypatch, changes):
  """All that comes before the first step, and its batch."""
  import jax

  from vosjax import checkpoints

  def zeros(model, config):
    del config
    shapes = checkpoints.variable_shapes(model)
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)

  def first_batches(config, model, stages, *_):
    del config, model
    for stage in stages:
      next(iter(stage.batches_from(0)))
    raise SystemExit(0)

  monkeypatch.setattr(run, "random_variables", zeros)
  monkeypatch.setattr(run, "_fit", first_batches)
  arguments = [f"--{key}={value}" for key, value in changes]
  return vosjax(folder, "train", "agame:smoke", "--workdir=out", *arguments)


WORDS = st.sampled_from([
  "in/v", "in/first.png", "in/res", "in/absent", "in", ".", "", " ", "-", "--", "0",
  "-1", "1", "3", "nan", "1e400", "12s", "1:02.5", "0:0:0:0", "x" * 300, "é", "\udcff",
  "all", "agame", "cosnet", "metrics", "masks", "overlay,coco", ",", "random", "none",
  "64x64", "0x0", "out", "in/v/00000.jpg", "in/list.txt", "--mask", "--out",
  "davis2017", "*", "~", "$HOME", "void", "backward", "bfloat16", "agame-lite", "cpu",
  "cpu,gpu", "16x16", "9" * 5000, "²", "0.0.0.0", "::1", "localhost", "one_shot=true",
  "features=-1", "backbone=null", "resnet18", "out/a.json", "in/v/a.json", "70000",
])  # fmt: skip
OPTIONS = {
  "segment": "mask masks colors model checkpoint save direction max-size start end "
  "every allow-gaps allow-damaged references reference-policy fusion seed crf dtype",
  "evaluate": "dataset root skip-ends label-255 from-appearance set match train-meta "
  "count-first-frames no-stability by-instances workers",
  "import-data": "images val workers",
  "first-frame": "frame",
  "convert": "",
  "app": "projects checkpoint host port token upload-limit allow-damaged no-browser",
  "benchmark": "minutes size objects batch dtype frames backbone field no-plain json",
  "doctor": "json",
  "export": "size objects platforms dtype weights-inside out",
  "train": "config num_processes process_id config.seed config.mode config.data.root",
}


VALID = {
  "segment": "in/v --mask in/first.png --checkpoint x --save masks --out out",
  "evaluate": "in/res in/res --out out",
  "import-data": "in/mine --out out",
  "first-frame": "in/v out.png",
  "convert": "resnet in/first.png --out out",
  "train": "agame:smoke --workdir=out",
  "app": "in/v --projects out --port 0",
  "benchmark": "rvos --size 16x16 --json out.json",
  "doctor": "--json out.json",
  "export": "agame-lite --size 64x96 --out out",
}


@st.composite
def command_lines(draw):
  """A line that works, with words more or less, or others."""
  command = draw(st.sampled_from(sorted(OPTIONS)))
  words = VALID[command].split()
  for _ in range(draw(st.integers(0, 3))):
    at = draw(st.integers(0, len(words)))
    what = draw(st.sampled_from(["option", "option", "word", "other", "less"]))
    if what == "option" and OPTIONS[command]:
      words += [f"--{draw(st.sampled_from(OPTIONS[command].split()))}", draw(WORDS)]
    elif what == "word":
      words.insert(at, draw(WORDS))
    elif at < len(words):
      words[at : at + 1] = [draw(WORDS)] * (what == "other")
  return [command, *words]


def _without_work(monkeypatch):
  """Commands check their arguments and write results, but compute and serve nothing."""
  import uvicorn

  from vosjax.benchmarks import data, everything, metrics, model
  from vosjax.benchmarks import segment as segment_speed
  from vosjax.cli import app, doctor, segment
  from vosjax.export import write

  monkeypatch.setattr(run, "_fit", lambda *_: sys.exit(0))
  monkeypatch.setattr(app, "load_segmenter", segment.load_segmenter)
  monkeypatch.setattr(app.webbrowser, "open", lambda _: None)
  monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
  # It would close the standard error of the test, which is redirected.
  monkeypatch.setattr(uvicorn.Config, "configure_logging", lambda _: None)
  monkeypatch.setattr(doctor, "CHECKS", {"browser": doctor.CHECKS["browser"]})
  for module in (data, metrics, segment_speed):
    monkeypatch.setattr(module, "measure", lambda *_, **__: {})
    monkeypatch.setattr(module, "table", str)
  monkeypatch.setattr(everything, "run", lambda *_, save, **__: save({}))
  monkeypatch.setattr(everything, "table", str)
  monkeypatch.setattr(model, "random_variables", lambda _: {})
  monkeypatch.setattr(model, "direct_flops", lambda *_: sys.exit(0))
  monkeypatch.setattr(write, "_shape_state", lambda *_: [])
  monkeypatch.setattr(write.jax.export, "export", lambda *_, **__: _Exported)


class _Exported:
  """A program that is lowered at once."""

  def __init__(self, *inputs):
    pass

  def serialize(self):
    return b""


@examples(command_lines())
def test_command_lines(folder, monkeypatch, words):
  _without_work(monkeypatch)
  save_frames(folder / "in/v"), save_mask(folder / "in/first.png")
  for t in range(3):
    save_mask(folder / f"in/res/{t:05}.png")
  save_frames(folder / "in/mine/frames")
  shutil.copytree(folder / "in/res", folder / "in/mine/masks")
  (folder / "in/list.txt").write_text("v\n")
  return vosjax(folder, *words)
