"""The fit of scores to J, on samples whose law is known."""

import types
import xml.dom.minidom

import numpy as np
import pytest

import vosjax
from vosjax.benchmarks import calibration
from vosjax.data.synthvos import SynthVos
from vosjax.inference import confidence


@pytest.fixture(scope="module")
def samples():
  """Of J = sigmoid(1.2 x + 0.5 y - 0.7), plus noise, for logits x and y."""
  rng = np.random.default_rng(0)
  evidence = rng.uniform(0.02, 0.98, (4000, 2))
  total = confidence.logits(evidence) @ [1.2, 0.5] - 0.7
  overlaps = np.clip(1 / (1 + np.exp(-total)) + rng.normal(0, 0.02, 4000), 0, 1)
  return [
    calibration.Sample(k % 4, e, float(j))
    for k, (e, j) in enumerate(zip(evidence, overlaps))
  ]


def test_the_fit_finds_the_law(samples):
  np.testing.assert_allclose(calibration.fit(samples), [1.2, 0.5, -0.7], atol=0.02)


def test_the_summary_counts(samples):
  summary = calibration.summarize(calibration.cross_validate(samples), samples)
  lost = sum(sample.overlap < 0.5 for sample in samples)
  assert summary.lost == lost and summary.found <= min(lost, summary.flagged)
  assert summary.auc > 0.99 and summary.error < 0.03
  assert sum(count for count, *_ in summary.bins) == len(samples)
  assert all(abs(score - overlap) < 0.02 for _, score, overlap in summary.bins)
  drawn = xml.dom.minidom.parseString(calibration.draw({"SynthVOS": summary}))
  assert len(drawn.getElementsByTagName("circle")) == len(summary.bins)


def test_samples_come_from_annotated_videos(small):
  cued = small("agame", output_stride=8, deep="pyramid", matching_lags=(1,))
  videos = SynthVos(seed=0, num_videos=2, length=5, size=(32, 48))
  found = calibration.collect(vosjax.VideoSegmenter(*cued), videos, 3, strides=(1, 2))
  assert {sample.fold for sample in found} == {0, 1}
  assert all(sample.evidence.shape == (2,) for sample in found)
  assert all(0 <= sample.overlap <= 1 for sample in found)


def test_empty_masks_are_left_out(small, monkeypatch):
  """A hidden object and a lost one have the same evidence and opposite values of J."""
  segmenter = vosjax.VideoSegmenter(*small("agame"))

  def run(frames, labels):
    for t, _ in enumerate(frames):
      yield types.SimpleNamespace(
        labels=labels * (t < 2), object_ids=(1,), evidence=np.full((1, 2), 0.9)
      )

  monkeypatch.setattr(segmenter, "run", run)
  videos = SynthVos(seed=0, num_videos=1, length=3, size=(32, 48), max_objects=1)
  assert len(calibration.collect(segmenter, videos, 3)) == 1
