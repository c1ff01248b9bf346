"""Values of label maps."""

import numpy as np
import pytest

from vosjax.labels import find_ids


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_ids_are_ascending_without_background_and_void(dtype):
  labels = np.array([[7, 0, 255], [2, 7, 254]], dtype)
  found = find_ids(labels)
  assert found == (2, 7, 254)
  assert all(type(i) is int for i in found)  # ids go to messages and files
  assert find_ids(np.array([[0, 255]], dtype)) == ()
