"""Derivatives of every mode and order, through clips of every model."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax import models

SIZE = (32, 32)
SMALL = {"backbone": "resnet18", "width": 4}
CASES = {
  "agame": SMALL | {"features": 4, "fusion_features": 4},
  "cosnet": SMALL
  | {"features": 4, "branch_features": 4, "size": None, "num_references": 1},
  "ris": {"channels": 2, "num_convolutions": 1, "stride": 2, "num_objects": 2},
  "rsis": SMALL | {"features": 16, "num_objects": 2},
  "rvos": SMALL | {"features": 8, "one_shot": True},
}


def draw(shapes, rng):
  """Arrays of an ordinary scale; running variances are positive."""

  def make(path, leaf):
    x = rng.normal(0, 0.2, leaf.shape).astype(np.float32)
    return 1 + np.abs(x) if path[-1].key in ("var", "scale") else x

  return jax.tree_util.tree_map_with_path(make, shapes)


def dot(a, b):
  return sum(jnp.vdot(x, y) for x, y in zip(*map(jax.tree.leaves, (a, b))))


@pytest.fixture(scope="module", params=CASES)
def case(request):
  """(f, x, u, v): a smooth function of parameters, a point and two directions.

  The parameters are those outside of the backbone, where the step of the scan is.
  """
  model = models.build(request.param, **CASES[request.param])
  rng = np.random.default_rng(0)
  frames = jnp.asarray(rng.random((1, 3, *SIZE, 3)), jnp.float32)
  masks = jnp.zeros((1, 2, *SIZE)).at[:, 0, 4:20, 4:20].set(1).at[:, 1, 16:, 16:].set(1)
  shapes = jax.eval_shape(model.init, jax.random.key(0), frames[:, 0], masks)
  variables = draw(shapes, rng)
  given = masks if model.readout.one_shot else None
  fixed = ("backbone", "encoder")
  held = {k: x for k, x in variables["params"].items() if k in fixed}
  point = {k: x for k, x in variables["params"].items() if k not in fixed}
  cotangent = jnp.asarray(rng.normal(size=(1, 3, 2, *SIZE)), jnp.float32)

  def f(params):
    clip = models.unroll(model, variables | {"params": held | params}, frames, given)
    logits = clip.predictions.logits
    weights = cotangent[:, : logits.shape[1], : logits.shape[2]]
    return (jnp.tanh(logits / 8) * weights).sum() / 32

  # Compiled, it is traced once and for all: only its derivatives remain to be found.
  return jax.jit(f), point, draw(point, rng), draw(point, rng)


@pytest.fixture(scope="module")
def derivatives(case):
  """All of them, compiled as one program."""
  f, x, u, v = case
  gradient = jax.grad(f)

  @jax.jit
  def compute(x, u, v):
    points, directions = (
      jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
      for trees in ((x, x), (u, v))
    )
    # Forward over reverse, for a batch of points and directions.
    batch, products = jax.vmap(lambda x, d: jax.jvp(gradient, (x,), (d,)))(
      points, directions
    )
    return {
      "slope": jax.jvp(f, (x,), (v,))[1],
      "linearized": jax.linearize(f, x)[1](v),
      "gradient": gradient(x),
      "batch": batch,
      "hessian_u": jax.tree.map(lambda x: x[0], products),
      "hessian_v": jax.tree.map(lambda x: x[1], products),
    }

  return compute(x, u, v)


def assert_equal_trees(actual, expected, rtol):
  largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
  assert largest > 0
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=rtol * largest),
    actual,
    expected,
  )


def test_forward_mode_is_the_slope(case, derivatives):
  """Differences in float32, across some ReLUs, are only this accurate."""
  f, x, _, v = case
  step = 1e-3
  ahead, behind = (
    f(jax.tree.map(lambda a, b, s=s: a + s * b, x, v)) for s in (step, -step)
  )
  slope = float(ahead - behind) / (2 * step)
  assert abs(slope) > 1e-3
  np.testing.assert_allclose(derivatives["slope"], slope, rtol=0.1)


def test_modes_of_the_first_derivative_agree(case, derivatives):
  v = case[3]
  slope = derivatives["slope"]
  np.testing.assert_allclose(dot(derivatives["gradient"], v), slope, rtol=1e-3)
  np.testing.assert_allclose(derivatives["linearized"], slope, rtol=1e-4)


def test_the_second_derivative_is_symmetric(case, derivatives):
  _, _, u, v = case
  forth, back = dot(u, derivatives["hessian_v"]), dot(v, derivatives["hessian_u"])
  size = np.sqrt(dot(u, u) * dot(derivatives["hessian_v"], derivatives["hessian_v"]))
  assert size > 1e-3
  assert abs(forth - back) < 1e-3 * size


def test_gradients_of_a_batch_of_parameters(derivatives):
  twice = jax.tree.map(lambda a: jnp.stack([a, a]), derivatives["gradient"])
  assert_equal_trees(derivatives["batch"], twice, 1e-4)


def test_a_whole_hessian_on_another_device():
  """Forward over reverse and reverse over reverse, on another than the first device."""
  model = models.build("ris", **CASES["ris"])
  frames = jnp.ones((1, 1, 8, 8, 3)) / 2
  variables = draw(
    jax.eval_shape(model.init, jax.random.key(0), frames[:, 0]),
    np.random.default_rng(0),
  )

  def f(kernel):
    params = variables["params"] | {
      "inhibition": variables["params"]["inhibition"]
      | {"score": {"kernel": kernel, "bias": jnp.zeros(1)}}
    }
    clip = models.unroll(model, {"params": params}, frames)
    return jnp.square(clip.predictions.logits).mean()

  kernel = variables["params"]["inhibition"]["score"]["kernel"]
  with jax.default_device(jax.devices("cpu")[-1]):
    hessian = jax.jit(jax.hessian(f))(kernel)
    reverse = jax.jit(jax.jacrev(jax.jacrev(f)))(kernel)
  assert hessian.devices() == {jax.devices("cpu")[-1]}
  largest = np.abs(hessian).max()
  assert largest > 1e-3
  np.testing.assert_allclose(hessian, reverse, atol=1e-4 * largest)


@functools.partial(jax.jit, static_argnums=0)
def gradient(model, variables, frames):
  def loss(params):
    clip = models.unroll(model, {"params": params}, frames)
    return jnp.square(clip.predictions.logits).mean()

  return jax.grad(loss)(variables["params"])


def test_gradients_are_exported_for_several_platforms():
  model = models.build("ris", **CASES["ris"])
  frames = jnp.ones((1, 2, 8, 8, 3)) / 2
  variables = draw(
    jax.eval_shape(model.init, jax.random.key(0), frames[:, 0]),
    np.random.default_rng(0),
  )
  exported = jax.export.export(
    jax.jit(functools.partial(gradient, model)), platforms=("cpu", "cuda", "tpu")
  )(variables, frames)
  assert_equal_trees(
    exported.call(variables, frames), gradient(model, variables, frames), 1e-5
  )
