"""Arrays in the memory of earlier ones that nobody uses any more."""

import math
import weakref

import numpy as np
from jaxtyping import UInt8

# glibc keeps freed blocks for later if it has seen a larger one freed, of up to 32 MiB.
# Otherwise it returns even those of single pictures, and decoding takes twice as long.
_LARGEST_KEPT = 31 << 20


class Recycler:
  """Makes arrays as `np.empty` does, in memory that is used again and again.

  The system clears memory before it hands it out, and takes back that of large arrays
  when these go. For batches this takes an eighth of the time of decoding them.
  """

  def __init__(self):
    self._free: dict[int, list[np.ndarray]] = {}  # by size

  def empty(self, *shape: int) -> UInt8[np.ndarray, "..."]:
    """An array of any content, whose memory is free once all its views are gone."""
    free = self._free.setdefault(math.prod(shape), [])
    try:
      memory = free.pop()
    except IndexError:  # asking first would be too early: other threads take some, too
      np.empty(_LARGEST_KEPT, np.uint8)  # and free it
      memory = np.empty(math.prod(shape), np.uint8)
    # Views of an array refer to the first one that is none itself: to this one, since
    # NumPy does not look through a memoryview. So when it goes, all have gone.
    array = np.frombuffer(memoryview(memory), np.uint8)
    weakref.finalize(array, free.append, memory).atexit = False
    return array.reshape(shape)
