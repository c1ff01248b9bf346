"""Videos are shared by processes, and an interruption does not wait for the rest."""

import concurrent.futures
import time

import pytest

from vosjax.evaluation import evaluate
from vosjax.evaluation.mask_folders import MaskFiles


def test_an_interruption_cancels_what_has_not_started(monkeypatch):
  class Threads(concurrent.futures.ThreadPoolExecutor):
    def __init__(self, workers, **_):
      super().__init__(workers)

  scored = []

  def score(name, options, match_first, files):
    scored.append(files.name)
    time.sleep(0.01)
    return [], []

  def interrupt(name):
    raise KeyboardInterrupt

  monkeypatch.setattr(concurrent.futures, "ProcessPoolExecutor", Threads)
  monkeypatch.setattr(evaluate, "_score_files", score)
  videos = [MaskFiles(str(i), (), ()) for i in range(50)]
  with pytest.raises(KeyboardInterrupt):
    evaluate.evaluate_files("fbms", videos, workers=2, progress=interrupt)
  assert 0 < len(scored) < 25
