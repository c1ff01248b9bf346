"""The SynthVOS builder writes what the generator draws."""

import importlib
import pathlib
import sys

import numpy as np
import pytest

from vosjax.data.prepared import PreparedFolder
from vosjax.data.synthvos import SynthVos

DATASETS = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def builder_module():
  if str(DATASETS) not in sys.path:
    sys.path.insert(0, str(DATASETS))
  return importlib.import_module("synthvos.synthvos_dataset_builder")


@pytest.mark.filterwarnings("default")
def test_records_hold_the_videos_of_the_generator(builder_module, tmp_path):
  builder = builder_module.Builder(
    data_dir=tmp_path, config="procedural_tiny", file_format="array_record"
  )
  builder.download_and_prepare()
  for seed, (split, count) in enumerate(builder.builder_config.num_videos.items()):
    prepared = PreparedFolder(str(builder.data_path), split)
    drawn = SynthVos(seed, count, size=(96, 160), length=8)
    by_name = {video.name: video for video in (drawn[i] for i in range(count))}
    assert {prepared[i].name for i in range(len(prepared))} == set(by_name)
    stored = prepared[0]
    original = by_name[stored.name]
    assert stored.frame_names == original.frame_names
    for t in range(len(original)):
      np.testing.assert_array_equal(stored.labels(t), original.labels(t))
      difference = stored.frame(t).astype(float) - original.frame(t)
      assert np.abs(difference).mean() < 6  # of 255, by JPEG
