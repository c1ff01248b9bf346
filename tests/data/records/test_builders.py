"""What a shard is made of."""

from pathlib import Path

import pytest

from vosjax.data.records import builders
from vosjax.data.records.video_builder import VideoFiles

pytestmark = pytest.mark.filterwarnings("default")  # tfds and its dependencies


def test_all_files_of_an_item_are_found():
  video = VideoFiles(
    "bus",
    (Path("a.jpg"),),
    (None,),
    boxes=(Path("a.xml"),),
    layers=(Path("1.png"),),
    objects={1: {"file": Path("b")}},
  )
  assert sorted(map(str, builders.paths(video))) == ["1.png", "a.jpg", "a.xml", "b"]
