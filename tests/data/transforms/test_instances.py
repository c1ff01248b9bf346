"""Samples of single frames whose instances are sorted, with their classes."""

import numpy as np

from vosjax.data.cache import ArrayVideo, InMemory
from vosjax.data.pipeline import batches
from vosjax.data.synthvos import SynthVos
from vosjax.data.transforms.affine import RandomAffine
from vosjax.data.transforms.clips import RandomFlip, Resize
from vosjax.data.transforms.instances import LargestFirst, SampleFrame

RNG = np.random.default_rng(0)


def labels():
  """Areas: id 7 has 3 pixels, id 2 has 6, id 9 has 1; 255 is void."""
  ids = np.zeros((4, 6), np.uint8)
  ids[0, :3], ids[1:3, :3], ids[3, 5], ids[3, 0] = 7, 2, 9, 255
  return ids


def video(classes, *label_maps):
  frames = np.zeros((len(label_maps), 4, 6, 3), np.uint8)
  names = tuple(str(t) for t in range(len(label_maps)))
  return ArrayVideo("v", names, frames, np.stack(label_maps), classes)


def test_instances_are_sorted_by_area_with_their_classes():
  clip = SampleFrame().random_map(video({7: 1, 2: 3, 9: 2}, labels()), RNG)
  clip = LargestFirst(5).random_map(clip, RNG)
  np.testing.assert_array_equal(clip["classes"], [3, 1, 2, 0, 0])
  expected = np.zeros((4, 6), np.uint8)
  expected[1:3, :3], expected[0, :3], expected[3, 5] = 1, 2, 3
  np.testing.assert_array_equal(clip["labels"][0], expected)


def test_small_and_surplus_instances_become_background():
  clip = SampleFrame().random_map(video({7: 1, 2: 3, 9: 2}, labels()), RNG)
  few = LargestFirst(1).random_map(clip, RNG)
  np.testing.assert_array_equal(few["classes"], [3])
  np.testing.assert_array_equal(few["labels"][0] == 1, labels() == 2)
  for number, low in ((3, 0), (5, 0), (5, -1)):  # background is no instance
    found = LargestFirst(number, min_pixels=low).random_map(clip, RNG)
    expected = LargestFirst(number).random_map(clip, RNG)
    np.testing.assert_array_equal(found["labels"], expected["labels"])
  large = LargestFirst(3, min_pixels=3).random_map(clip, RNG)
  np.testing.assert_array_equal(large["classes"], [3, 1, 0])
  assert LargestFirst(3, min_pixels=7).random_map(clip, RNG) is None


def test_without_classes_everything_is_of_class_1():
  clip = SampleFrame().random_map(video({}, labels()), RNG)
  assert list(LargestFirst(4).random_map(clip, RNG)["classes"]) == [1, 1, 1, 0]


def test_only_frames_with_objects_are_taken():
  empty, void = np.zeros((4, 6), np.uint8), np.full((4, 6), 255, np.uint8)
  shown = video({}, empty, labels(), void)
  for seed in range(8):
    clip = SampleFrame().random_map(shown, np.random.default_rng(seed))
    assert clip["name"] == "v/1"
  assert SampleFrame().random_map(video({}, empty, void), RNG) is None


def test_batches_carry_classes_that_fit_their_labels():
  """However a frame is rotated, moved and mirrored, instances keep their classes."""
  source = InMemory(SynthVos(0, 6, size=(48, 64), length=1, clutter=0.0))
  kinds = [set(source[i].classes.values()) for i in range(6)]
  chain = (
    SampleFrame(),
    Resize((32, 40)),
    RandomFlip(),
    RandomAffine(),
    LargestFirst(5),
  )
  (batch,) = batches([source], None, chain, batch_size=6, seed=0, num_steps=1)
  for found, classes, name in zip(batch["labels"], batch["classes"], batch["names"]):
    shown = np.unique(found)
    np.testing.assert_array_equal(shown[shown > 0], 1 + np.flatnonzero(classes))
    areas = [(found == i).sum() for i in shown[shown > 0]]
    assert areas == sorted(areas, reverse=True)
    index = int(name.split("/")[0][-6:])
    assert set(classes[classes > 0]) <= kinds[index]


def test_videos_kept_in_memory_have_their_classes():
  source = SynthVos(0, 2, size=(48, 64), length=1)
  assert InMemory(source)[1].classes == source[1].classes
