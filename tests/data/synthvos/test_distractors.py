"""Things that look like objects but come and go, which COSNet's default trains on."""

import dataclasses

import numpy as np
import pytest

from vosjax.data.synthvos import SynthVos

LENGTH = 12


@pytest.fixture(scope="module")
def source():
  return SynthVos(
    1,
    4,
    size=(48, 64),
    length=LENGTH,
    max_objects=1,
    clutter=0.0,
    void=0.0,
    distractors=2,
  )


def distractors(video):
  """Layers that are present for a part of the video."""
  return [layer for layer in video.scene.layers if np.isfinite(layer.span).all()]


def test_distractors_stay_for_a_part_of_the_video_and_are_replaced(source):
  for video in source:
    spans = np.array([layer.span for layer in distractors(video)])
    stay = spans[:, 1] - spans[:, 0]
    assert (stay >= 0.15 * LENGTH).all()
    assert (stay <= 0.35 * LENGTH).all()
    for t in range(LENGTH):
      assert ((spans[:, 0] <= t) & (t < spans[:, 1])).sum() == source.distractors


def test_distractors_are_background_during_their_span_only(source):
  """Without one of them, frames differ during its span and at no other time."""
  changed = 0
  for video in source:
    scene, removed = video.scene, distractors(video)[0]
    assert removed.label == 0
    rest = tuple(layer for layer in scene.layers if layer is not removed)
    times = np.arange(LENGTH)
    frames, _ = scene.render(times)
    without, _ = dataclasses.replace(scene, layers=rest).render(times)
    differs = (frames != without).any((1, 2, 3))
    present = (removed.span[0] <= times) & (times < removed.span[1])
    assert not differs[~present].any()
    changed += differs[present].sum()
  assert changed > LENGTH / 2


def test_without_distractors_all_layers_are_always_present():
  source = SynthVos(1, 4, size=(48, 64), length=LENGTH)
  assert not any(distractors(video) for video in source)
