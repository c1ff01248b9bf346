"""The sources of the released COSNet."""

import numpy as np

from vosjax.data.cache import ArrayVideo
from vosjax.data.video import Source
from vosjax.train.recipes.official.cosnet import WithoutEnds


class Videos(Source):
  """Four videos of one frame, named by letters."""

  origin = "there"

  def __len__(self):
    return 4

  def __getitem__(self, index):
    frames, labels = np.zeros((1, 2, 2, 3), np.uint8), np.zeros((1, 2, 2), np.uint8)
    return ArrayVideo("abcd"[index], ("0",), frames, labels)


def test_the_first_and_last_video_are_never_drawn():
  inner = WithoutEnds(Videos())
  assert [inner[i].name for i in range(len(inner))] == ["b", "c"]
  assert inner.origin == "there"
