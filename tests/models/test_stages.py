"""Stages of a backbone, side by side."""

import jax.numpy as jnp
import numpy as np

from vosjax.models.backbones.stages import Stages, join_stages


def test_stages_are_joined_at_stride_8_from_fine_to_coarse():
  """Of a frame of 40 x 72, whose coarse features cover more than the frame."""
  row, column = np.mgrid[:5, :9] * 8 + 3.5  # in the middle of each position
  shapes = {"stem": (20, 36), "stage1": (10, 18), "stage2": (5, 9)}
  shapes |= {"stage3": (3, 5), "stage4": (2, 3)}
  places = {}
  for (name, (h, w)), stride in zip(shapes.items(), (2, 4, 8, 16, 32)):
    places[name] = (np.mgrid[:h, :w] + 0.5) * stride - 0.5
  stages = Stages(
    **{k: jnp.asarray(np.moveaxis(v, 0, -1)[None]) for k, v in places.items()}
  )
  joined = np.asarray(join_stages(stages))[0]
  assert joined.shape == (5, 9, 6)
  np.testing.assert_allclose(joined[..., 0], row)
  np.testing.assert_allclose(joined[..., 1], column)
  # Interpolation continues a slope, but for positions outside of all coarse middles.
  for channel, (stride, expected) in enumerate(
    ((16, row), (16, column), (32, row), (32, column)), 2
  ):
    inside = expected >= stride / 2
    if channel % 2 == 0:
      inside &= expected <= places["stage3" if stride == 16 else "stage4"][0].max()
    np.testing.assert_allclose(joined[..., channel][inside], expected[inside])
