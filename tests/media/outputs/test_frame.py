"""Opacity and errors of single frames."""

import numpy as np
import pytest
from scipy import ndimage

from vosjax.media.outputs.frame import SegmentedFrame, naming_frame

av = pytest.importorskip("av")


@pytest.mark.parametrize(
  ("error", "text"),
  [
    (RuntimeError("out of memory"), "frame 7: out of memory"),
    (MemoryError(), "frame 7"),
    (OSError(5, "I/O error"), "[Errno 5] frame 7: I/O error"),
    (OSError(28, "Full", "7.png"), "[Errno 28] Full: '7.png'"),  # names its file
    (av.error.InvalidDataError(1, "Invalid"), "[Errno 1] frame 7: Invalid"),
    (ValueError("v.mp4: frame 7 is damaged"), "v.mp4: frame 7 is damaged"),
    (ValueError("v.mp4: frame 71 is damaged"), "frame 7: v.mp4: frame 71 is damaged"),
  ],
  ids=lambda value: str(value),
)
def test_an_error_names_its_frame_once_and_stays_the_same(error, text):
  with pytest.raises(type(error)) as caught, naming_frame("12"), naming_frame("7"):
    raise error
  assert caught.value is error and str(error) == text


@pytest.mark.parametrize(("height", "band"), [(60, 4), (960, 8)])
def test_only_the_edges_of_masks_are_translucent(height, band):
  """Wherever the network wavers: half of a ghost, and half of the object."""
  labels = np.zeros((height, height), np.int32)
  labels[20:50, 10:40] = 1
  labels[20:50, 25:40] = 2  # the border between objects is no edge
  probs = np.full((2, *labels.shape), 0.24, np.float32)
  image = np.zeros((*labels.shape, 3), np.uint8)
  frame = SegmentedFrame(0, "0", 0.0, image, labels, (1, 2), probs)
  inside = labels > 0
  assert ((frame.alpha >= 128) == inside).all()
  assert not frame.alpha[ndimage.distance_transform_edt(~inside) > band].any()
  assert (frame.alpha[ndimage.distance_transform_edt(inside) > band] == 255).all()
  assert frame.alpha[35, 9] > frame.alpha[35, 9 - band // 2] > 0
  assert frame.alpha[35, 10] < frame.alpha[35, 10 + band // 2] < 255
  for value in (0, 1):
    everywhere = np.full_like(labels, value)
    frame = SegmentedFrame(0, "0", 0.0, image, everywhere, (1, 2), probs)
    assert (frame.alpha == 255 * value).all()
