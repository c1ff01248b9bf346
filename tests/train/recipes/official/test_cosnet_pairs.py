"""COSNet's references and their augmentation, against the released program."""

import numpy as np

from vosjax.data.cache import ArrayVideo
from vosjax.data.transforms.pairs import Jitter
from vosjax.data.views import FrameSubset
from vosjax.train.recipes.official.cosnet_pairs import (
  AddReferences,
  CropScaleFlip,
  stretch,
)

SIZE = (20, 30)


def draw(count, draws=200):
  """Clips of a target, the third of six frames, each of which shows its number."""
  frames = np.zeros((6, *SIZE, 3), np.uint8)
  frames += np.arange(6, dtype=np.uint8)[:, None, None, None]
  labels = np.zeros((6, *SIZE), np.uint8)
  labels[:, :5, :5], labels[:, :5, 5:8] = 3, 255
  video = ArrayVideo("v", tuple("abcdef"), frames, labels)
  target, transform = FrameSubset(video, (2,)), AddReferences(count)
  return [transform.random_map(target, np.random.default_rng(i)) for i in range(draws)]


def times(clip):
  return clip["frames"][:, 0, 0, 0].tolist()


def test_the_released_augmentation(golden):
  case = golden("cosnet/golden_preprocess.npz")
  frame, labels = case["frame_bgr"], (case["label"] != 0).astype(np.uint8)
  names = list(case["train_parameter_names"])
  augment = CropScaleFlip(tuple(case["small_size"].tolist()))
  for row, image, mask in zip(
    case["train_parameters_f64"], case["train_images"], case["train_masks"]
  ):
    drawn = dict(zip(names, row))
    jitter = Jitter(
      int(drawn["crop_y"]),
      int(drawn["crop_x"]),
      drawn["scale"],
      bool(drawn["flip_draw"] > 0.5),
    )
    found, found_mask = augment.apply(frame, labels, jitter)
    np.testing.assert_array_equal(found_mask, mask)
    np.testing.assert_array_equal(found, image)


def test_contrast_is_stretched_and_a_crop_that_is_all_object_is_all_background(golden):
  case = golden("cosnet/golden_preprocess.npz")
  golden_mask = case["all_foreground_label_after_resize"]
  assert not golden_mask.any()
  frame = np.full((20, 40, 3), 60, np.uint8)
  frame[:, 20:] = 90
  augment = CropScaleFlip(golden_mask.shape)
  jitter = Jitter(1, 2, 1.3, mirror=True)
  found, mask = augment.apply(frame, np.ones((20, 40), np.uint8), jitter)
  assert (found.min(), found.max()) == (0, 255)
  np.testing.assert_array_equal(mask, golden_mask)


def test_crops_stop_one_pixel_short_of_the_border():
  frame, rng = np.zeros((20, 30, 3), np.uint8), np.random.default_rng(0)
  drawn = [CropScaleFlip(SIZE).draw(frame, rng) for _ in range(200)]
  assert {jitter.row for jitter in drawn} == {0, 1}
  assert {jitter.column for jitter in drawn} == {0, 1, 2}


def test_a_constant_image_has_no_contrast_to_stretch():
  assert not stretch(np.full((2, 2), 7, np.uint8)).any()
  found = stretch(np.array([10, 20, 30], np.uint8))
  np.testing.assert_array_equal(found, [0, 128, 255])


def test_a_single_reference_is_drawn_once_more_where_it_was_the_target():
  second = np.array([times(clip)[1] for clip in draw(1, draws=1000)])
  assert 0.01 < (second == 2).mean() < 0.05  # 1/6 times 1/6
  assert set(second) == set(range(6))


def test_several_references_are_distinct_and_may_be_the_target():
  drawn = [times(clip)[1:] for clip in draw(2)]
  assert all(len(set(references)) == 2 for references in drawn)
  assert any(2 in references for references in drawn)


def test_void_counts_as_object():
  (clip,) = draw(0, draws=1)
  assert (clip["labels"].sum(), clip["labels"].max()) == (40, 1)
