"""Errors of single frames."""

import pytest

from vosjax.media.outputs.frame import naming_frame

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
