"""RSIS against the official program; tolerances from its specification."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.models.modules.conv import convolve
from vosjax.models.modules.recurrent_decoder import RecurrentDecoder
from vosjax.models.rsis import RSIS, RSISFeatures, RSISState


def gap(actual, expected):
  """Largest difference as a fraction of the largest expected magnitude."""
  actual, expected = np.asarray(actual), np.asarray(expected)
  assert actual.shape == expected.shape
  return np.abs(actual - expected).max() / np.abs(expected).max()


def last(x):
  """[n c h w] -> [n h w c]."""
  return jnp.moveaxis(jnp.asarray(x), 1, -1)


def first(x):
  return np.moveaxis(np.asarray(x), -1, 1)


@pytest.mark.parametrize("given", ["none", "state"])
def test_cell(official, golden, given):
  case = golden("rsis/golden_cell.npz")
  model, variables = official("rsis")
  x, hidden, cell = (last(case[name]) for name in ("input", "h", "c"))
  if given == "none":
    hidden, cell = jnp.zeros_like(hidden), jnp.zeros_like(cell)

  def step(model):
    level = model.decoder.cells[2]
    gates = level.read("upsampled", x[..., :64])
    gates += level.read("skip", x[..., 64:], bias=True)
    return level(gates + level.read("spatial", hidden), cell)

  state = model.apply(variables, method=step)
  assert gap(first(state.hidden), case[f"{given}_h"]) < 1e-5
  assert gap(first(state.cell), case[f"{given}_c"]) < 1e-5


def test_inference(official, shared):
  """Every stage, the heads, and four objects of two images."""
  with np.load(shared / "reference" / "rsis" / "golden_inference.npz") as arrays:
    case = dict(arrays)
  model, variables = official("rsis")

  def run(model, images):
    skips = model.encoder(images, train=False)
    features = model.encode(images)
    none = jnp.zeros((len(images), 4), bool)
    hidden = model.decoder(features.levels, (), none)
    return skips, hidden, model.segment(RSISState(), features, none)[1]

  images = jnp.asarray(case["images"] / np.float32(255))
  skips, hidden, prediction = jax.jit(
    lambda variables, images: model.apply(variables, images, method=run)
  )(variables, images)
  for n, skip in zip((5, 4, 3, 2, 1), skips, strict=True):
    assert gap(first(skip), case[f"skip{n}"]) < 1e-5
  for level, maps in enumerate(hidden):
    assert gap(first(maps[:, 0]), case[f"step0_h{level}"]) < 3e-5
  assert gap(prediction.logits[:, :1], case["step0_mask_logits"]) < 2e-5
  assert gap(jax.nn.sigmoid(prediction.logits), case["masks"]) < 3e-5
  classes, stop = (prediction.aux[f"{name}_logits"] for name in ("class", "stop"))
  assert gap(jax.nn.softmax(classes), case["class_probs"]) < 1e-5
  assert gap(stop[:, :1], case["step0_stop_logits"]) < 1e-5
  assert gap(jax.nn.sigmoid(stop)[..., None], case["stop_scores"]) < 1e-5


def tiny(**fields):
  return RSIS("resnet18", width=4, features=16, num_objects=2, **fields)


def test_the_box_head_is_optional():
  frames = jnp.zeros((2, 33, 47, 3))
  for box_head in (True, False):
    prediction, variables = jax.eval_shape(
      tiny(box_head=box_head).init_with_output, jax.random.key(0), frames
    )
    assert prediction.logits.shape == (2, 2, 33, 47)
    assert ("box" in variables["params"]) == box_head
    assert not box_head or prediction.aux["boxes"].shape == (2, 2, 4)


def test_heads_take_the_maximum_of_every_hidden_map():
  """Coarse to fine: 16, 8, 4, 2 and 1 of them here, 248 in the official program."""
  model, frames = tiny(box_head=True), jnp.zeros((1, 32, 48, 3))
  shapes = jax.eval_shape(model.init, jax.random.key(0), frames)
  rng = np.random.default_rng(0)

  def leaf(path, x):
    drawn = rng.normal(0, 0.3, x.shape).astype(np.float32)
    return 0.5 + np.abs(drawn) if path[-1].key in ("scale", "var") else drawn

  variables = jax.tree_util.tree_map_with_path(leaf, shapes)

  def run(model, frames):
    features = model.encode(frames)
    none = jnp.zeros((1, 2), bool)
    hidden = model.decoder(features.levels, (), none)
    return hidden, model.segment(RSISState(), features, none)[1].aux

  apply = jax.jit(lambda variables: model.apply(variables, frames, method=run))
  hidden, aux = apply(variables)
  side = np.concatenate([np.asarray(x).max((2, 3)) for x in hidden], axis=-1)
  assert side.shape == (1, 2, 31)
  heads = variables["params"]
  classes, stop, boxes = (
    side @ heads[name]["kernel"] + heads[name]["bias"]
    for name in ("classify", "stop", "box")
  )
  assert gap(aux["class_logits"], classes) < 1e-5
  assert gap(aux["stop_logits"], stop[..., 0]) < 1e-5
  assert gap(aux["boxes"], 1 / (1 + np.exp(-boxes))) < 1e-5


@pytest.mark.parametrize("mode", ["concat", "sum", "multiply", "none"])
def test_skip_modes(mode):
  """The shared gates against a convolution of the official concatenation."""
  decoder = RecurrentDecoder((8, 8), (8, 4), temporal=False, skip_mode=mode)
  rng = np.random.default_rng(0)
  skip, upsampled, hidden = (
    jnp.asarray(rng.standard_normal((1, 4, 4, c), np.float32)) for c in (8, 8, 4)
  )
  kernels = [
    jnp.array(rng.random((3, 3, sum(n for _, n in level), 4 * c), np.float32))
    for c, level in zip((8, 4), (decoder._inputs(0), decoder._inputs(1)))
  ]
  params = {
    f"cells_{i}": {"gates": {"kernel": kernel, "bias": kernel[0, 0, 0]}}
    for i, kernel in enumerate(kernels)
  }

  def step(decoder):
    shared = decoder.encode((skip, skip))[1]
    level = decoder.cells[1]
    x = upsampled if shared.factor is None else upsampled * shared.factor
    gates = shared.gates + level.read("upsampled", x) + level.read("spatial", hidden)
    joined = {
      "concat": jnp.concatenate([upsampled, skip], -1),
      "sum": upsampled + skip,
      "multiply": upsampled * skip,
      "none": upsampled,
    }[mode]
    joined = jnp.concatenate([joined, hidden], -1)
    return gates, convolve(joined, level.gates.kernel) + level.bias[None, None, None]

  gates, expected = decoder.apply({"params": params}, method=step)
  assert gap(gates, expected) < 1e-5


def test_masks_are_refused():
  with pytest.raises(ValueError, match="zero-shot"):
    tiny().init_state(RSISFeatures((), (4, 4)), jnp.zeros((1, 1, 4, 4)))
