"""Small computations with known results, which tell whether an installation works."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, UInt8

from vosjax import metrics, models
from vosjax.benchmarks.model import random_variables

TOLERANCE = 1e-5  # of the largest value
_SIZE = (96, 128)
_STEP = 0.02  # length of a step down the gradient

# Of the masks that `compare_metrics` draws. J and F are ratios of whole numbers, hence
# exact; T goes through logarithms, whose last bits depend on the processor.
_J = 0.7931526390870185
_F = 0.5121951219512195
_T, _T_TOLERANCE = 0.0005553241704845197, 1e-9


def compare_convolution() -> float:
  """Convolves 3x3, and returns the largest difference from NumPy.

  Returns:
    As a fraction of the largest value.
  """
  rng = np.random.default_rng(0)
  x = rng.standard_normal((1, 24, 40, 16), np.float32)
  kernel = rng.standard_normal((3, 3, 16, 32), np.float32)

  @jax.jit
  def convolve(x, kernel):
    return jax.lax.conv_general_dilated(
      x,
      kernel,
      (1, 1),
      "VALID",
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
      precision="highest",
    )

  patches = np.lib.stride_tricks.sliding_window_view(x[0], (3, 3), axis=(0, 1))
  expected = np.einsum("hwcij,ijcd->hwd", patches.astype(np.float64), kernel)
  error = np.abs(np.asarray(convolve(x, kernel))[0] - expected).max()
  return float(error / np.abs(expected).max())


def train_one_step() -> tuple[float, float]:
  """Loss of a small RIS on two images, before and after one step down its gradient."""
  model = models.build("ris", channels=4, num_convolutions=2, num_objects=2)
  frames, masks = (np.stack(x) for x in zip(*(_draw_square(t) for t in range(2))))
  clip = jnp.asarray(frames[None, :, ::4, ::4], jnp.float32) / 255
  signs = 2 * jnp.asarray(masks[None, :, None, ::4, ::4], jnp.float32) - 1
  variables = random_variables(model)
  active = jnp.ones((1, 2), bool)

  @jax.jit
  def loss_and_gradient(params):
    def loss(params):
      unrolled = models.unroll(model, {"params": params}, clip, active=active)
      return jax.nn.softplus(-signs * unrolled.predictions.logits).mean()

    return jax.value_and_grad(loss)(params)

  before, gradient = loss_and_gradient(variables["params"])
  norm = jnp.sqrt(sum(jnp.square(g).sum() for g in jax.tree.leaves(gradient)))
  step = _STEP / norm
  params = jax.tree.map(lambda p, g: p - step * g, variables["params"], gradient)
  return float(before), float(loss_and_gradient(params)[0])


def compare_metrics() -> list[str]:
  """J, F and T of drawn masks that differ from what they are, as sentences."""
  predicted, truth = _draw_disc(30, 40, 20), _draw_disc(33, 42, 20)
  moving = np.stack([_draw_disc(30 + t, 40 + 2 * t, 20) for t in range(3)])
  cases: tuple[tuple[str, float, float, float], ...] = (
    ("J", metrics.region_similarity(predicted, truth), _J, 0.0),
    ("F", metrics.contour_accuracy(predicted, truth), _F, 0.0),
    ("T", metrics.temporal_stability(moving), _T, _T_TOLERANCE),
  )
  return [
    f"{name} of a fixed sample is {float(found)!r}, expected {expected!r}"
    for name, found, expected, tolerance in cases
    if not abs(found - expected) <= tolerance
  ]


def _draw_square(t: int) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
  """A frame with a bright textured square on a dark gradient, and its mask."""
  rows, columns = np.mgrid[: _SIZE[0], : _SIZE[1]]
  mask = (abs(rows - 48 - t) < 20) & (abs(columns - 50 - 3 * t) < 20)
  ground = np.stack([rows // 2, columns // 3, 60 + 0 * rows], axis=-1)
  square = np.stack([200 + 0 * rows, 180 - rows, 40 + columns % 16], axis=-1)
  return np.where(mask[..., None], square, ground).astype(np.uint8), mask


def _draw_disc(row: int, column: int, radius: int) -> Bool[np.ndarray, "h w"]:
  rows, columns = np.mgrid[: _SIZE[0], : _SIZE[1]]
  return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
