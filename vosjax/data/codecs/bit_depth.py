"""How many bits the values of a video's 16-bit images use, and what is said of it."""

from collections.abc import Sequence
from pathlib import Path

from vosjax.data.codecs import images

_MAX_SAMPLES = 100  # frames from which the range of values is read


def find_bits(name: str, files: Sequence[Path]) -> int:
  """The bits that 16-bit values use, from frames that are spread over a video.

  Args:
    name: of the video, for error messages.
    files: of all frames.

  Returns:
    16 also for images of 8 bits, see `images.read_image`.

  Raises:
    OSError: a file cannot be opened.
    ValueError: an image is incomplete, or the values are colours, of which only the
      upper 8 bits can be read, and these are nearly black.
  """
  is_gray, is_color = images.is_16_bit_gray(files[0]), images.is_16_bit_color(files[0])
  if not is_gray and not is_color:
    return 16
  step = -(-len(files) // _MAX_SAMPLES)
  largest = max(map(images.largest_value, files[::step]))
  if is_gray:
    return images.significant_bits(largest)
  bits = images.significant_bits((largest + 1) * 256 - 1)
  if bits < 16:
    raise ValueError(
      f"{name}: 16-bit colours that fit in {bits} bits, which would turn black. Save "
      "the frames in 8 bits, scaled to the full range."
    )
  return 16


def deep_warning(name: str, bits: int) -> str:
  """What is said about values that use fewer than the 16 bits they are stored in."""
  return (
    f"{name}: 16-bit values that fit in {bits} bits; {(1 << bits) - 1} is taken as "
    "white in every frame."
  )
