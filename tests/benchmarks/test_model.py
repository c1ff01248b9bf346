"""The benchmark of a model measures what `VideoSegmenter` does."""

import jax
import numpy as np
import pytest

from vosjax import models
from vosjax.benchmarks import model
from vosjax.inference import programs, whole_video


def test_all_slots_and_batches_of_frames_are_timed(monkeypatch):
  """With random weights, scores would end the list of objects anywhere."""
  stops, batches = [], []
  step, encode_each = programs.step, whole_video.encode_each

  def watch_step(prepared, *args):
    stops.append(prepared.execution.stop_early)
    return step(prepared, *args)

  def watch_encode_each(prepared, variables, frames, batch_size):
    batches.append((len(frames), batch_size))
    return encode_each(prepared, variables, frames, batch_size)

  monkeypatch.setattr(programs, "step", watch_step)
  monkeypatch.setattr(whole_video, "encode_each", watch_encode_each)
  result = model.measure("ris", size=(16, 16), frames=3, channels=2, num_convolutions=1)
  assert stops and not any(stops)
  assert result["frames_at_once"] == whole_video.choose_batch_size(3) == 2
  assert set(batches) == {(2, 1), (2, 2)}  # the same two frames both times
  assert min(result["encode_ms"], result["encode_ms_in_run"]) > 0


def test_the_plain_network_takes_one_object_of_a_state_with_shared_parts():
  network = models.build(
    "agame",
    backbone="resnet18",
    width=4,
    output_stride=8,
    features=8,
    fusion_features=4,
    deep="pyramid",
    matching_lags=(1,),
  )
  variables = model.random_variables(network)
  plain = model._Plain(network, variables, (32, 32), objects=2, batch=1)
  plain.step()
  assert plain.state.matching.masks.shape[:2] == (1, 1)
  assert plain.state.matching.latest.value.count.shape == (1,)


def test_flops_are_those_of_a_count_by_hand():
  image = jax.ShapeDtypeStruct((1, 9, 11, 3), np.float32)
  kernel = np.ones((3, 3, 3, 4), np.float32)
  matrix = np.ones((4, 5), np.float32)

  def function(image):
    layout = ("NHWC", "HWIO", "NHWC")
    features = jax.lax.conv_general_dilated(
      image, kernel, (2, 2), "VALID", dimension_numbers=layout
    )
    return features @ matrix

  outputs = 4 * 5  # pixels
  by_hand = outputs * 2 * (3 * 3 * 3 * 4 + 4 * 5)
  assert model.count_flops(function, image) == by_hand


def test_flops_of_a_machine_whose_cpu_is_left_out(monkeypatch):
  def devices(platform):
    raise RuntimeError(f"Unknown backend {platform}")

  monkeypatch.setattr(jax, "devices", devices)
  with pytest.raises(ValueError, match="JAX_PLATFORMS=cuda,cpu"):
    model.count_flops(lambda x: x, jax.ShapeDtypeStruct((1,), np.float32))
