"""Dense CRF against pydensecrf's marginals and the definition of its filter."""

import jax.numpy as jnp
import numpy as np
import pytest

from vosjax import crf


def stretched(soft):
  """Soft mask as COSNet's release passes it on."""
  soft = soft.astype(np.float32)
  return (soft - soft.min()) / (soft.max() - soft.min())


@pytest.mark.parametrize("i", [0, 1])
def test_marginals_of_every_iteration(golden, i):
  case = golden("cosnet/golden_crf.npz")
  expected = case[f"q1_iterations_{i}"]
  for iterations in range(6):
    found = np.asarray(
      crf.refine(
        case[f"rgb_{i}"],
        stretched(case[f"soft_{i}"]),
        bilateral_position=float(case[f"bilateral_sdim_{i}"]),
        bilateral_color=float(case["bilateral_schan"]),
        bilateral_compatibility=float(case[f"bilateral_compat_{i}"]),
        gaussian_position=float(case["gaussian_sdim"]),
        gaussian_compatibility=float(case["gaussian_compat"]),
        iterations=iterations,
      )
    )
    assert np.abs(found - expected[iterations]).max() < 1e-4
    assert np.abs(found - expected[iterations]).mean() < 1e-6
  assert ((found > 0.5) == (case[f"mask_{i}"] > 0)).all()


def test_a_coarse_mask_moves_to_the_edge_of_the_image():
  frame = np.full((40, 48, 3), 60, np.uint8)
  frame[:, 24:] = 200
  probs = np.full((40, 48), 0.2, np.float32)
  probs[:, 20:] = 0.8
  found = crf.refine(frame, probs, bilateral_position=10.0, bilateral_compatibility=8.0)
  np.testing.assert_array_equal(found > 0.5, frame[:, :, 0] > 100)


def test_the_lattice_approximates_the_exact_gaussian():
  points = np.random.RandomState(0).uniform(0, 3, (400, 3))
  lattice = crf.make_lattice(points)
  np.testing.assert_allclose(lattice.weights.sum(1), 1, atol=1e-6)
  assert lattice.weights.min() > -1e-6
  values = np.random.RandomState(1).uniform(0, 1, 400).astype(np.float32)
  distance = np.square(points[:, None] - points[None]).sum(-1)
  exact = np.exp(-distance / 2) @ values
  values, ones = jnp.asarray(values), jnp.ones(400)
  found = crf._filter(lattice, values) / crf._filter(lattice, ones)
  np.testing.assert_allclose(found, exact / np.exp(-distance / 2).sum(1), rtol=0.1)


@pytest.mark.parametrize(
  ("change", "text"),
  [
    ({"frame": np.zeros((8, 9), np.uint8)}, r"frame is uint8 \[8, 9\]"),
    ({"probs": np.zeros((8, 8))}, r"probs are \[8, 8\] but the frame is \[8, 9\]"),
    ({"probs": np.full((8, 9), 255)}, "range from 255.0 to 255.0"),
    ({"probs": np.full((8, 9), np.nan)}, "range from nan"),
    ({"bilateral_position": 0.0}, "bilateral_position is 0.0; it must be positive"),
  ],
)
def test_bad_input_is_named(change, text):
  given = {
    "frame": np.zeros((8, 9, 3), np.uint8),
    "probs": np.zeros((8, 9)),
    "bilateral_position": 10.0,
    "bilateral_compatibility": 8.0,
  }
  with pytest.raises(ValueError, match=text):
    crf.refine(**(given | change))
