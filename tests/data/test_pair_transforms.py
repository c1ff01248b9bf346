"""COSNet's pairs and their augmentation, against the released program."""

import numpy as np

from vosjax.data.pair_transforms import CropScaleFlip, Jitter


def test_the_released_augmentation(golden):
  case = golden("cosnet/golden_preprocess.npz")
  frame, labels = case["frame_bgr"], (case["label"] != 0).astype(np.uint8)
  names = list(case["train_parameter_names"])
  augment = CropScaleFlip(tuple(case["small_size"].tolist()), official=True)
  for row, image, mask in zip(
      case["train_parameters_f64"], case["train_images"], case["train_masks"]
  ):
    drawn = dict(zip(names, row))
    jitter = Jitter(
        int(drawn["crop_y"]), int(drawn["crop_x"]), drawn["scale"],
        bool(drawn["flip_draw"] > 0.5),
    )  # fmt: skip
    found, found_mask = augment.apply(frame, labels, jitter)
    np.testing.assert_array_equal(found_mask, mask)
    np.testing.assert_array_equal(found, image)
