"""Videos are shared by processes, and an interruption does not wait for the rest."""

import concurrent.futures
import threading

import numpy as np
import pytest
from PIL import Image

from vosjax.evaluation import evaluate
from vosjax.evaluation.mask_files import MaskFiles


def test_other_processes_find_the_same_scores(tmp_path):
  paths = {}
  for name, column in (("truth", 2), ("prediction", 3)):
    labels = np.zeros((20, 30), np.uint8)
    labels[5:15, column:20] = 1
    (tmp_path / name).mkdir()
    paths[name] = (tmp_path / name / "00000.png",)
    Image.fromarray(labels).convert("P").save(paths[name][0])
  videos = [MaskFiles("dog", **paths)]
  done = []
  alone, shared = (
    evaluate.evaluate_files("fbms", videos, workers=workers, progress=done.append)
    for workers in (1, 2)
  )
  assert 0.9 < alone.summary["J-Mean"] < 1
  assert alone.to_json() == shared.to_json()
  assert done == ["dog", "dog"]


def test_an_interruption_cancels_what_has_not_started(monkeypatch):
  class Threads(concurrent.futures.ThreadPoolExecutor):
    def __init__(self, workers, **_):
      super().__init__(workers)

    def __exit__(self, *error):  # what has not started is cancelled by then
      go_on.set()
      return super().__exit__(*error)

  scored, go_on = [], threading.Event()

  def score(name, options, match_first, files):
    scored.append(files.name)
    assert files.name == "0" or go_on.wait(60)
    return evaluate.Outcome([], [])

  def interrupt(name):
    raise KeyboardInterrupt

  monkeypatch.setattr(concurrent.futures, "ProcessPoolExecutor", Threads)
  monkeypatch.setattr(evaluate, "_score_files", score)
  videos = [MaskFiles(str(i), (), ()) for i in range(50)]
  with pytest.raises(KeyboardInterrupt):
    evaluate.evaluate_files("fbms", videos, workers=2, progress=interrupt)
  assert 0 < len(scored) <= 3
