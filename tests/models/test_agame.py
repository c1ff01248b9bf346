"""A-GAME against the official program; tolerances from its specification."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vosjax
from vosjax import models
from vosjax.models.backbones import resnet
from vosjax.train.optim import make_optimizer
from vosjax.train.recipes import agame as recipe
from vosjax.types import VideoBatch


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
  """Calls a function of the bound model."""
  model, variables = agame
  return lambda method, *args: jax.jit(
      lambda variables, *args: model.apply(variables, *args, method=method)
  )(variables, *args)


@pytest.fixture(scope="module")
def modules(golden):
  return golden("agame/golden_modules.npz")


def test_backbone_stages(golden, run):
  case = golden("agame/golden_backbone.npz")
  image = jnp.asarray(case["image"][None] / np.float32(255))
  normalised = resnet.normalise(image)[0, ::8, ::8].transpose(2, 0, 1)
  assert gap(normalised, case["input_sub"]) < 1e-6
  stages = run(lambda model, x: model.resnet(resnet.normalise(x)), image)
  for official, ours in zip(
      ("conv1", "layer1", "layer2", "layer3", "layer4"), resnet.STAGES
  ):
    x = np.asarray(getattr(stages, ours)[0])
    assert gap(x.mean((0, 1)), case[f"{official}_channel_mean"]) < 5e-6
    c = 16 if official in ("layer3", "layer4") else 8
    s = {"conv1": 4, "layer1": 2}.get(official, 1)
    assert gap(x.transpose(2, 0, 1)[::c, ::s, ::s], case[f"{official}_sub"]) < 1e-5


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
  assert deep[0].sum(dtype=np.float64) == pytest.approx(modules["app_x_check"][0, 0])

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

  out = run(propagate, last(current), last(reference), given, previous)
  assert gap(first(out)[:, ::8], modules["prop_layer2_sub"]) < 1e-5


def test_fusion_and_coarse_head(run, modules):
  scores = 20 * noise(1201, (2, 4, 6, 8)) + 50
  propagated = 3 * np.maximum(noise(1202, (2, 512, 6, 8)), 0)

  def fuse(model, scores, propagated):
    fused = model.fusion(scores, propagated)
    return fused, model.coarse_head(fused)

  fused, coarse = run(fuse, last(scores), last(propagated))
  assert gap(first(fused), modules["fusion_hidden"]) < 1e-5
  expected = modules["fusion_coarse_scores"]
  assert gap(coarse, expected[:, 1] - expected[:, 0]) < 1e-5


def test_refinement(run, modules):
  shallow8 = np.maximum(noise(1301, (2, 512, 12, 16)), 0)
  shallow4 = np.maximum(noise(1302, (2, 256, 24, 32)), 0)
  fused = 5 * np.maximum(noise(1303, (2, 128, 6, 8)), 0)

  def refine(model, shallow8, shallow4, fused):
    return model.refinement(fused, *model.refinement.encode(shallow8, shallow4))

  logits = run(refine, last(shallow8), last(shallow4), last(fused))
  expected = modules["up_scores"]
  assert gap(logits, expected[:, 1] - expected[:, 0]) < 1e-5


@pytest.mark.parametrize(
    ("recurrence", "prefix"), [("fine", ""), ("coarse", "coarse_mode_")]
)
def test_one_object(agame, golden, recurrence, prefix):
  check_one_object(agame, golden("agame/golden_single.npz"), recurrence, prefix)


def test_one_object_at_another_size(agame, shared):
  with np.load(shared / "reference/agame/golden_single_240x432.npz") as case:
    check_one_object(agame, case, "fine", "", subsample=2)


def check_one_object(agame, case, recurrence, prefix, subsample=1):
  model, variables = agame
  frames = jnp.asarray(case["frames"][None] / np.float32(255))
  masks = jnp.asarray(case["first_label"][None, None] == 1, jnp.float32)
  clip = jax.jit(
      lambda *args: models.unroll(model, *args, recurrence=recurrence)
  )(variables, frames, masks)
  prediction = clip.predictions
  scores = np.moveaxis(np.asarray(prediction.aux["scores"][0, :, 0]), -1, 1)
  assert gap(scores, case[f"{prefix}appearance_scores"]) < 2e-5
  coarse = case[f"{prefix}coarse_scores"]
  coarse = coarse[:, 1] - coarse[:, 0]
  assert gap(prediction.aux["coarse_logits"][0, :, 0], coarse) < 2e-5
  probs = np.asarray(jax.nn.sigmoid(prediction.logits[0, :, 0]))
  step = 2 if prefix else subsample
  assert gap(probs[:, ::step, ::step], case[f"{prefix}object_prob"]) < 2e-5
  gaussians = clip.state.appearance.gaussians
  assert gap(gaussians.means[0, 0], case[f"{prefix}final_means"]) < 1e-5
  assert gap(gaussians.variances[0, 0], case[f"{prefix}final_covs"]) < 1e-5
  if not prefix:
    assert ((probs > 0.5) != (case["label_maps"][1:] == 1)).mean() < 1e-3


@pytest.mark.parametrize("name", ["multi", "padded"])
def test_many_objects_streaming(agame, golden, name):
  """Late objects, tracking order and padding, through the inference engine."""
  case = golden(f"agame/golden_{name}.npz")
  segmenter = vosjax.VideoSegmenter(*agame)
  for t, frame in enumerate(case["frames"]):
    labels = case["given_labels"][t] if case["given_present"][t] else None
    if t == 0:
      segmenter.start(frame, labels)
      continue
    result = segmenter.step(frame, labels)
    visible = [
        int(i)
        for i, since in zip(case["object_ids"], case["visible_from"])
        if since <= t
    ]
    assert list(result.object_ids) == visible
    expected = case["aggregated_prob"][t - 1][: len(visible)]
    assert gap(result.probs, expected) < 5e-5
    assert (result.labels != case["label_maps"][t]).mean() < 2e-3


@pytest.fixture(scope="module")
def gradients(agame, golden):
  """Loss, outputs and gradients for given weights of the losses; compiled once."""
  model, variables = agame
  case = golden("agame/golden_train.npz")
  batch = VideoBatch(jnp.asarray(case["frames"]), jnp.asarray(case["labels"]))

  @jax.jit
  def compute(params, losses):
    objective = recipe.objective(model, losses)

    def loss(params):
      return objective(variables | {"params": params}, batch, None)

    return jax.value_and_grad(loss, has_aux=True)(params)

  return lambda losses: compute(variables["params"], losses)


@pytest.mark.parametrize("stage", ["alpha", "beta"])
def test_training_step(agame, golden, gradients, stage):
  """Losses, gradient norms and running statistics."""
  model, _ = agame
  case = golden("agame/golden_train.npz")
  coarse = 1.0 if stage == "alpha" else 0.0
  (loss, outputs), grads = gradients({"final": 1.0, "coarse": coarse})
  names = ("final_loss", "coarse_loss", "loss")
  names = names if stage == "alpha" else ("final_loss", "loss")
  losses = [outputs.metrics[name] for name in names]
  np.testing.assert_allclose(losses, case[f"{stage}_losses"], rtol=2e-6)
  assert float(loss) == float(outputs.metrics["loss"])
  np.testing.assert_allclose(outputs.metrics["iou"], case[f"{stage}_miou"], rtol=1e-5)

  groups = (
      grads["backbone"]["stage4"],
      (grads["reduce"], grads["appearance"]),
      grads["propagation"],
      (grads["fusion"], grads["coarse_head"]),
      grads["refinement"],
  )
  norms = [optax.tree.norm(group) for group in groups]
  np.testing.assert_allclose(norms, case[f"{stage}_grad_l2_modules"], rtol=1e-5)
  for frozen in model.frozen:
    assert optax.tree.norm(grads["backbone"][frozen.split("/")[1]]) == 0

  if stage == "alpha":
    check_running_statistics(outputs.batch_stats, case)


def check_running_statistics(batch_stats, case):
  checked = 0
  for name, expected in case.items():
    match = re.fullmatch(
        r"alpha_after::trackseg\.backbone\.layer4\.(\d)\.(?:bn(\d)|downsample\.1)"
        r"\.running_(mean|var)",
        name,
    )
    if match:
      block, conv, leaf = match.groups()
      unit = f"conv{conv}" if conv else "shortcut"
      ours = batch_stats["backbone"]["stage4"][f"block{block}"][unit]["norm"][leaf]
      assert gap(ours, expected) < 5e-6
      checked += 1
  assert checked >= 4


def test_adam_step(agame, golden):
  """Coupled weight decay, one step; entries with tiny gradients are ill-conditioned."""
  model, variables = agame
  case = golden("agame/golden_train.npz")
  head = variables["params"]["coarse_head"]
  name = "trackseg.fusmod.predictor.layer00.conv"
  grads = {
      "kernel": case[f"alpha_grad::{name}.weight"].transpose(2, 3, 1, 0),
      "bias": case[f"alpha_grad::{name}.bias"],
  }
  tx = make_optimizer(
      learning_rate=1e-4, lr_decay=0.975, steps_per_epoch=1, weight_decay=1e-5
  )
  updates, _ = tx.update(grads, tx.init(head), head)
  expected = case[f"alpha_step::{name}.weight"].transpose(2, 3, 1, 0)
  assert gap(updates["kernel"], expected) < 1e-2
  assert gap(updates["bias"], case[f"alpha_step::{name}.bias"]) < 1e-2
