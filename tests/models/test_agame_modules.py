"""A-GAME's modules against the official program; tolerances from its specification."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.models.backbones import resnet
from vosjax.ops.resize import max_pool_3x3


def gap(actual, expected):
  """Largest difference as a fraction of the largest expected magnitude."""
  actual, expected = np.asarray(actual), np.asarray(expected)
  assert actual.shape == expected.shape
  return np.abs(actual - expected).max() / np.abs(expected).max()


def noise(seed, shape):
  return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def last(x):
  """[n c h w] -> [n h w c]."""
  return jnp.moveaxis(jnp.asarray(x), 1, -1)


def first(x):
  return np.moveaxis(np.asarray(x), -1, 1)


@pytest.fixture(scope="module")
def agame(official):
  return official("agame")


@pytest.fixture(scope="module")
def run(agame):
  """Calls a function of the bound model; also returns the outputs of each layer."""
  model, variables = agame

  def call(method, *args):
    apply = jax.jit(
      lambda variables, *args: model.apply(
        variables, *args, method=method, capture_intermediates=True
      )
    )
    out, captured = apply(variables, *args)
    return out, captured["intermediates"]

  return call


@pytest.fixture(scope="module")
def modules(golden):
  return golden("agame/golden_modules.npz")


def outputs(layer):
  """Outputs of a captured layer, call by call."""
  return layer["__call__"]


def stats(x):
  """Mean, deviation and norm, as they are stored."""
  x = np.asarray(x, np.float64)
  return [x.mean(), x.std(), np.linalg.norm(x)]


def test_the_stand_in_weights_are_those_of_the_goldens(golden, stand_in):
  """Compared by the norm and the first number of every tensor."""
  case, tensors = golden("agame/golden_weights.npz"), stand_in("agame")
  assert list(tensors) == case["names"].tolist()
  flat = [tensor.astype(np.float64).ravel() for tensor in tensors.values()]
  np.testing.assert_array_equal([x[0] for x in flat], case["first"])
  np.testing.assert_allclose([np.linalg.norm(x) for x in flat], case["l2"], rtol=1e-12)


def test_backbone_stages(golden, run):
  case = golden("agame/golden_backbone.npz")
  image = jnp.asarray(case["image"][None] / np.float32(255))
  normalised = resnet.normalise(image)[0, ::8, ::8].transpose(2, 0, 1)
  assert gap(normalised, case["input_sub"]) < 1e-6

  def see(model, x):
    stages = model.network(resnet.normalise(x))
    return vars(stages) | {"maxpool": max_pool_3x3(stages.stem)}

  stages, _ = run(see, image)
  for official, ours in (
    ("conv1", "stem"),
    ("maxpool", "maxpool"),
    ("layer1", "stage1"),
    ("layer2", "stage2"),
    ("layer3", "stage3"),
    ("layer4", "stage4"),
  ):
    x = first(stages[ours])
    assert list(x.shape) == case[f"{official}_shape"].tolist()
    np.testing.assert_allclose(stats(x), case[f"{official}_stats"], rtol=1e-6)
    assert gap(x[0].mean((1, 2)), case[f"{official}_channel_mean"]) < 5e-6
    c = 16 if official in ("layer3", "layer4") else 8
    s = {"conv1": 4, "maxpool": 2, "layer1": 2}.get(official, 1)
    assert gap(x[0, ::c, ::s, ::s], case[f"{official}_sub"]) < 1e-5


def check(inputs, expected):
  """Checks that drawn inputs [n c h w] are the program's, by sums and first values."""
  found = [[x.sum(dtype=np.float64), *x[0, :3, 0, 0]] for x in inputs]
  np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("kind", ["app", "app_unimodal", "app_fixedcov"])
def test_appearance_model(official, modules, kind):
  fields = {
    "app": {},
    "app_unimodal": {"residual": False},
    "app_fixedcov": {"fit_variance": False},
  }[kind]
  model, variables = official("agame")
  model = model.clone(**fields)
  if kind == "app_unimodal":
    floor = variables["params"]["appearance"]["raw_floor"]
    params = variables["params"] | {"appearance": {"raw_floor": floor[:2]}}
    variables = variables | {"params": params}
  masks = [jnp.asarray(modules[f"app_y{t}"])[:, None, 1] for t in range(3)]
  deep = [
    np.maximum(
      noise(1001 + t, (3, 2048, 6, 8))
      + modules[f"app_y{t}"][:, 1:2] * noise(1000, (1, 2048, 1, 1)),
      0,
    )
    for t in range(3)
  ]
  check(deep, modules["app_x_check"])

  def chain(model, frames, masks):
    x = [model.reduce(frame) for frame in frames]
    state = model.appearance.fit(x[0], masks[0])
    states = [state]
    for t in (1, 2):
      states.append(model.appearance.update(states[-1], x[t], masks[t]))
    scores = [
      model.appearance.scores(state, x[(t + 1) % 3]) for t, state in enumerate(states)
    ]
    return x[0], states, scores

  frames = [last(x) for x in deep]
  x, states, scores = model.apply(variables, frames, masks, method=chain)
  if kind == "app":
    assert gap(first(x)[:, ::8], modules["app_reduced_sub"]) < 5e-6
  for t, (state, score) in enumerate(zip(states, scores)):
    gaussians = state.gaussians
    means = np.moveaxis(np.asarray(gaussians.means[:, 0]), 1, 0)
    assert gap(means, modules[f"{kind}_means_{t}"]) < 1e-5
    variances = np.moveaxis(np.asarray(gaussians.variances[:, 0]), 1, 0)
    expected = modules[f"{kind}_covs_{t}"]
    expected = expected.reshape(len(expected), -1, expected.shape[-1])
    assert gap(variances, np.broadcast_to(expected, variances.shape)) < 1e-5
    assert gap(first(score[:, 0]), modules[f"{kind}_scores_{t}"]) < 1e-5


def test_mask_propagation(run, modules):
  current, reference = (
    np.maximum(noise(seed, (2, 2048, 6, 8)), 0) for seed in (1101, 1102)
  )
  given, previous = (
    jnp.asarray(modules[f"prop_{name}_mask"])[:, None, 1] for name in ("init", "prev")
  )

  def propagate(model, current, reference, given, previous):
    state = model.propagation.init_state(reference, given)
    return model.propagation(
      state.replace(previous=previous), model.propagation.encode(current)
    )

  check([current, reference], modules["up_input_check"][:2])
  out, seen = run(propagate, last(current), last(reference), given, previous)
  # The first layer is convolved part by part, and what belongs together is added.
  joined = nn.relu(sum(outputs(seen["propagation"]["join"])))
  assert gap(first(joined)[:, ::8], modules["prop_layer0_sub"]) < 1e-5
  branches = [outputs(seen["propagation"][f"branches_{i}"])[0] for i in range(3)]
  branches = nn.relu(jnp.concatenate(branches, -1))
  assert gap(first(branches)[:, ::8], modules["prop_layer1_sub"]) < 1e-5
  assert gap(first(out)[:, ::8], modules["prop_layer2_sub"]) < 1e-5
  np.testing.assert_allclose(stats(out), modules["prop_stats"], rtol=1e-6)


def test_fusion_and_coarse_head(run, modules):
  scores = 20 * noise(1201, (2, 4, 6, 8)) + 50
  propagated = 3 * np.maximum(noise(1202, (2, 512, 6, 8)), 0)

  def fuse(model, scores, propagated):
    fused = model.fusion(scores, propagated)
    return fused, model.coarse_head(fused)

  check([scores, propagated], modules["up_input_check"][2:4])
  (fused, coarse), _ = run(fuse, last(scores), last(propagated))
  assert gap(first(fused), modules["fusion_hidden"]) < 1e-5
  expected = modules["fusion_coarse_scores"]
  assert gap(coarse, expected[:, 1] - expected[:, 0]) < 1e-5


def test_refinement(run, modules):
  shallow8 = np.maximum(noise(1301, (2, 512, 12, 16)), 0)
  shallow4 = np.maximum(noise(1302, (2, 256, 24, 32)), 0)
  fused = 5 * np.maximum(noise(1303, (2, 128, 6, 8)), 0)

  def refine(model, shallow8, shallow4, fused):
    return model.refinement(fused, *model.refinement.encode(shallow8, shallow4))

  check([shallow8, shallow4, fused], modules["up_input_check"][4:])
  logits, seen = run(refine, last(shallow8), last(shallow4), last(fused))
  for stride, step in ((8, 1), (4, 2)):
    blended = nn.relu(sum(outputs(seen["refinement"][f"blend{stride}"])))
    expected = modules[f"up_blend_s{stride}_sub"]
    assert gap(first(blended)[:, ::8, ::step, ::step], expected) < 1e-5
  (low,) = outputs(seen["refinement"]["head"])
  for found, name in ((low, "up_low_scores"), (logits, "up_scores")):
    assert gap(found, modules[name][:, 1] - modules[name][:, 0]) < 1e-5
