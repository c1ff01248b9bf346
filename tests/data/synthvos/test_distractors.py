"""Things that look like objects but come and go: what COSNet's default trains on."""

import dataclasses

import numpy as np
import pytest

from vosjax.data.synthvos import SynthVos

LENGTH = 20


@pytest.fixture(scope="module")
def source():
  return SynthVos(
    1,
    8,
    size=(48, 64),
    length=LENGTH,
    max_objects=1,
    clutter=0.0,
    void=0.0,
    distractors=2,
  )


def strangers(video):
  """Layers that are there for a while only."""
  return [layer for layer in video.scene.layers if np.isfinite(layer.span).all()]


def test_strangers_stay_for_a_part_of_the_video_and_are_replaced(source):
  for i in range(len(source)):
    spans = np.array([layer.span for layer in strangers(source[i])])
    stay = spans[:, 1] - spans[:, 0]
    assert (stay >= 0.15 * LENGTH).all()
    assert (stay <= 0.35 * LENGTH).all()
    for t in range(LENGTH):
      assert ((spans[:, 0] <= t) & (t < spans[:, 1])).sum() == source.distractors


def test_strangers_are_background_that_is_drawn_in_their_time_alone(source):
  """Without one of them, frames change while it is there and nowhere else."""
  changed = 0
  for i in range(len(source)):
    video = source[i]
    scene, gone = video.scene, strangers(video)[0]
    assert gone.label == 0
    rest = tuple(layer for layer in scene.layers if layer is not gone)
    times = np.arange(LENGTH)
    frames, _ = scene.render(times)
    without, _ = dataclasses.replace(scene, layers=rest).render(times)
    differs = (frames != without).any((1, 2, 3))
    there = (gone.span[0] <= times) & (times < gone.span[1])
    assert not differs[~there].any()
    changed += differs[there].sum()
  assert changed > LENGTH


def test_without_strangers_nothing_comes_or_goes():
  plain = SynthVos(1, 4, size=(48, 64), length=LENGTH)
  assert not any(strangers(plain[i]) for i in range(len(plain)))


def test_a_negative_number_is_refused():
  with pytest.raises(ValueError, match="distractors=-1: expected at least 0"):
    SynthVos(1, 4, size=(48, 64), length=LENGTH, distractors=-1)
