"""COSNet against the official program; tolerances from its specification."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from vosjax.losses.segmentation import mean_absolute_error, scaled_bce
from vosjax.models.backbones.deeplab import normalise
from vosjax.models.cosnet import COSNetFeatures, COSNetState, upsample
from vosjax.ops.resize import max_pool_3x3

TOLERANCE = 2e-5


def gap(actual, expected):
  """Largest difference as a fraction of the largest expected magnitude."""
  actual, expected = np.asarray(actual), np.asarray(expected)
  assert actual.shape == expected.shape
  return np.abs(actual - expected).max() / np.abs(expected).max()


def last(x):
  """[n c h w] -> [n h w c]."""
  return np.moveaxis(np.asarray(x, np.float32), 1, -1)


def stats(x):
  x = np.asarray(x)
  return np.stack([x.mean((0, 1, 2)), x.std((0, 1, 2))])


def rgb(bgr):
  """Stored frames as the model takes them."""
  bgr = bgr if bgr.ndim == 4 else bgr[None]
  return bgr[..., ::-1].astype(np.float32) / 255



@pytest.fixture(scope="module")
def reference(shared):
  """Stored arrays that are too large for the repository."""
  return lambda name: dict(np.load(shared / "reference" / "cosnet" / f"{name}.npz"))


@pytest.fixture(scope="module")
def cosnet(official):
  return official("cosnet")


@pytest.fixture(scope="module")
def run(cosnet):
  """Calls a method or a function of the bound model, compiled."""
  model, variables = cosnet
  return lambda method, *args, **fields: jax.jit(
      functools.partial(model.clone(**fields).apply, method=method)
  )(variables, *args)


def stages(model, frames):
  """Every stage of the encoder, the branches of its pyramid and its saliency."""
  found = model.encoder.resnet(normalise(frames))
  deep = model.encoder.pyramid(found.stage4)
  return {
      "stem_pool": max_pool_3x3(found.stem, ceil=True),
      **{f"layer{i}": getattr(found, f"stage{i}") for i in range(1, 5)},
      "branches": model.encoder.pyramid.branches(found.stage4),
      "features": deep,
      "saliency_logit": model.encoder.saliency(deep),
  }


@pytest.mark.slow
def test_encoder(run, reference):
  case = reference("golden_encoder")
  found = run(stages, rgb(case["frame_bgr"]))
  names = ("stem_pool", "layer1", "layer2", "layer3", "layer4")
  for name, every in zip(names, (8, 32, 64, 128, 256)):
    expected = last(case[f"{name}_every{every}"])
    assert gap(found[name][..., ::every], expected) < TOLERANCE, name
    assert gap(stats(found[name]), case[f"{name}_stats"]) < TOLERANCE, name
  pooled, *branches = found["branches"]
  assert gap(pooled, last(case["aspp_pool"])) < TOLERANCE
  for i, branch in enumerate(branches):
    assert gap(branch[..., ::64], last(case[f"aspp_conv{i}_every64"])) < TOLERANCE
  assert gap(found["features"], last(case["features"])) < TOLERANCE
  assert gap(found["saliency_logit"], case["saliency_logit"][:, 0]) < TOLERANCE


def test_odd_and_even_stems(run, golden):
  case = golden("cosnet/golden_saliency.npz")
  frames = rgb(case["frames_bgr"])
  found = run(stages, frames)
  assert gap(found["features"][..., ::8], last(case["features_every8"])) < TOLERANCE
  assert gap(stats(found["features"]), case["features_stats"]) < TOLERANCE
  assert gap(found["saliency_logit"], case["saliency_logit"][:, 0]) < TOLERANCE
  found = run(stages, rgb(case["even_frame_bgr"]))
  expected = last(case["even_stem_pool_every8"])
  assert gap(found["stem_pool"][..., ::8], expected) < TOLERANCE
  expected = last(case["even_features_every8"])
  assert gap(found["features"][..., ::8], expected) < TOLERANCE
  assert gap(found["saliency_logit"], case["even_saliency_logit"][:, 0]) < TOLERANCE
  probs = jax.nn.sigmoid(upsample(found["saliency_logit"], (100, 118)))
  assert gap(probs, case["even_saliency_prob"][:, 0]) < TOLERANCE


def test_a_pair_of_the_same_frames(run, golden):
  case = golden("cosnet/golden_saliency.npz")
  frames = rgb(case["frames_bgr"])
  probs_a, probs_b = run("pair", frames, frames)
  assert gap(probs_a, case["pair_prob_a"][:, 0]) < TOLERANCE
  assert gap(probs_b, case["pair_prob_b"][:, 0]) < TOLERANCE
  logits = run("pair_logits", frames, frames)
  probs = jax.nn.sigmoid(upsample(logits.saliency_b, frames.shape[1:3]))
  assert gap(probs, case["saliency_prob"][:, 0]) < TOLERANCE


def test_pair(run, reference):
  case = reference("golden_pair")
  a, b = rgb(case["frame_a_bgr"]), rgb(case["frame_b_bgr"])

  def parts(model, a, b):
    deep = model.encoder(jnp.concatenate([a, b]))
    z = model.co_attention.pair(deep[:1], deep[1:])
    gated = [model.co_attention.gate(summary) for summary in z]
    return model.pair(a, b), model.pair_logits(a, b), z, gated

  probs, logits, summaries, gated = run(parts, a, b)
  for name, p, z, g in zip("ab", probs, summaries, gated):
    assert gap(p, case[f"prob_{name}"][:, 0]) < TOLERANCE
    assert gap(getattr(logits, name), case[f"logit_{name}"][:, 0]) < TOLERANCE
    assert gap(z[..., ::8], last(case[f"z_{name}_every8"])) < TOLERANCE
    assert gap(stats(z), case[f"z_{name}_stats"]) < TOLERANCE
    gate = last(case[f"gate_{name}"])
    assert gap(g, np.asarray(z) * gate) < TOLERANCE
  probs = jax.nn.sigmoid(upsample(logits.saliency_b, a.shape[1:3]))
  assert gap(probs, case["saliency_b"][:, 0]) < TOLERANCE


@pytest.mark.slow
def test_pair_at_the_size_of_training(run, reference):
  case = reference("golden_pair")
  a = rgb(reference("golden_encoder")["big_frame_bgr"])
  b = rgb(case["big_frame_b_bgr"])
  logits = run("pair_logits", a, b)
  assert gap(logits.a, case["big_logit_a"][:, 0]) < TOLERANCE
  assert gap(logits.b, case["big_logit_b"][:, 0]) < TOLERANCE
  probs = jax.nn.sigmoid(upsample(logits.saliency_b, (473, 473)))[:, ::4, ::4]
  assert gap(probs, case["big_saliency_b_every4"][:, 0]) < TOLERANCE


def test_fusion_of_references(run, reference):
  case = reference("golden_fusion")
  frames = np.concatenate([rgb(case["query_bgr"]), rgb(case["references_bgr"])])
  encoded = run("encode", frames)
  query, others = encoded.deep[:1], encoded.deep[None, 1:]
  features = COSNetFeatures(query, encoded.size)
  active = np.ones((1, 1), bool)

  def logits(fusion, n):
    state = COSNetState(others[:, :n])
    _, prediction = run("segment", state, features, active, fusion=fusion)
    return prediction.logits[0, 0]

  def grid(fusion, n):
    return run(
        lambda model, deep, others: model.head_a(model.summarise(deep, others), deep),
        query, others[:, :n], fusion=fusion)  # fmt: skip

  probs = jax.nn.sigmoid(logits("summary", 0))
  assert gap(probs, case["query_saliency_prob"][0, 0]) < TOLERANCE
  for n in (1, 2, 5):
    for fusion, stored in (
        ("prediction", f"prediction_fusion_n{n}"),
        ("summary", f"summary_fusion_n{n}_prob"),
        ("group", f"group_n{n}_prob"),
    ):
      assert gap(jax.nn.sigmoid(logits(fusion, n)), case[stored]) < TOLERANCE, stored
    for fusion, stored in (
        ("summary", f"summary_fusion_n{n}_logit"),
        ("group", f"group_n{n}_logit"),
        ("joint", f"onesoftmax_group_n{n}_logit"),
    ):
      assert gap(grid(fusion, n), case[stored][:, 0]) < TOLERANCE, stored


@pytest.mark.parametrize("form", ["vanilla", "symmetric", "channelwise"])
def test_forms_of_co_attention(cosnet, golden, form):
  case = golden("cosnet/golden_coattention.npz")
  model, variables = cosnet
  weights = {
      "vanilla": variables["params"]["co_attention"],
      "symmetric": {"basis": case["symmetric_p"], "scale": case["symmetric_d"]},
      "channelwise": {"scale": case["channelwise_d"]},
  }[form]
  weights = {name: jnp.asarray(x, jnp.float32) for name, x in weights.items()}
  gate = variables["params"]["co_attention"]["gate"]
  params = variables["params"] | {"co_attention": weights | {"gate": gate}}
  a, b = last(case["v_a"]), last(case["v_b"])

  def parts(model, a, b):
    z_a, z_b = model.co_attention.pair(a, b)
    gates = [model.co_attention.gate(z) for z in (z_a, z_b)]
    heads = zip((model.head_a, model.head_b), gates, (a, b))
    return z_a, z_b, gates, [head(z, x) for head, z, x in heads]

  apply = functools.partial(model.clone(attention=form).apply, method=parts)
  z_a, z_b, gates, logits = jax.jit(apply)(variables | {"params": params}, a, b)
  every, suffix = (1, "") if form == "vanilla" else (8, "_every8")
  assert gap(z_a[..., ::every], last(case[f"{form}_z_a{suffix}"])) < TOLERANCE
  assert gap(z_b[..., ::every], last(case[f"{form}_z_b{suffix}"])) < TOLERANCE
  for name, logit in zip("ab", logits):
    assert gap(logit, case[f"{form}_logit_{name}"][:, 0]) < TOLERANCE
  if form == "vanilla":
    for name, z, gated in zip("ab", (z_a, z_b), gates):
      assert gap(gated, z * last(case[f"vanilla_gate_{name}"])) < TOLERANCE


# Official module -> our paths, in the order of the stored norms.
MODULES = {
    "encoder.conv1": ["encoder/resnet/stem/conv"],
    "encoder.bn1": ["encoder/resnet/stem/norm"],
    **{f"encoder.layer{i}": [f"encoder/resnet/stage{i}"] for i in range(1, 5)},
    "encoder.layer5": ["encoder/pyramid"],
    "encoder.main_classifier": ["encoder/saliency_head"],
    "linear_e": ["co_attention/kernel"],
    "gate": ["co_attention/gate"],
    "conv1": ["head_a/join/conv"],
    "conv2": ["head_b/join/conv"],
    "bn1": ["head_a/join/norm"],
    "bn2": ["head_b/join/norm"],
    "main_classifier1": ["head_a/out"],
    "main_classifier2": ["head_b/out"],
}


def released_loss(logits, truth):
  probs = jax.nn.sigmoid(upsample(logits, truth.shape[1:]))
  return scaled_bce(probs, truth) + 0.8 * mean_absolute_error(probs, truth)


@pytest.fixture(scope="module")
def step(cosnet, golden):
  """Loss, gradients and running statistics of the released training steps."""
  model, variables = cosnet
  case = golden("cosnet/golden_gradients.npz")
  target, search, image = (rgb(case[f"{x}_bgr"]) for x in ("target", "search", "image"))
  truth = {x: case[f"{x}_mask"] > 0 for x in ("target", "search", "image")}

  def loss(params, train, static):
    logits, updated = model.apply(
        {**variables, "params": params},
        *((image, image) if static else (target, search)),
        train=train,
        method="pair_logits",
        mutable=["batch_stats"],
    )
    if static:
      value = 0.1 * released_loss(logits.saliency_b, truth["image"])
    else:
      value = released_loss(logits.a, truth["target"])
      value += released_loss(logits.b, truth["search"])
    return value, updated["batch_stats"]

  run = jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=(1, 2))
  return lambda train, static: (case, *run(variables["params"], train, static))


def norms(model, grads):
  """Norm of each official module's gradient, frozen parameters left out."""
  flat = flatten_dict(grads, sep="/")
  flat = {k: v for k, v in flat.items() if not k.startswith(model.frozen)}
  return np.array([
      np.sqrt(sum(
          np.square(np.asarray(v, np.float64)).sum()
          for k, v in flat.items() if k.startswith(tuple(paths))))
      for paths in MODULES.values()])  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("static", [False, True], ids=["video", "static"])
def test_training_step(cosnet, step, train, static):
  case, (value, stats), grads = step(train, static)
  name = f"{'train' if train else 'eval'}_{'static' if static else 'video'}"
  assert list(case["modules"]) == list(MODULES)
  assert value == pytest.approx(case[f"{name}_loss"], rel=1e-5)
  expected = case[f"{name}_grad_norms_double_run_f64"]
  rtol = 2e-3 if train else 5e-4
  np.testing.assert_allclose(norms(cosnet[0], grads), expected, rtol=rtol, atol=1e-7)
  if not static:
    kernel = grads["co_attention"]["kernel"].T[::8, ::8]
    # The pooled branch normalises two numbers, which magnifies rounding: in float64
    # this gradient is 1.9e-4 from the stored one, the stored one's own error.
    assert gap(kernel, case[f"{name}_grad_linear_e_every8"]) < (5e-3 if train else 1e-5)
    gate = grads["co_attention"]["gate"]
    assert gap(gate, case[f"{name}_grad_gate"]) < (5e-3 if train else 1e-5)
  if train:
    places = {
        "encoder.bn1": stats["encoder"]["resnet"]["stem"]["norm"],
        "encoder.layer3.5.bn2": stats["encoder"]["resnet"]["stage3"]["block5"]["conv2"][
            "norm"
        ],
        "encoder.layer5.bn": stats["encoder"]["pyramid"]["join"]["norm"],
        "encoder.layer5.bn_x": stats["encoder"]["pyramid"]["pooled"]["norm"],
    }
    if not static:
      places["bn1"] = stats["head_a"]["join"]["norm"]
    for official, ours in places.items():
      for theirs, leaf in (("running_mean", "mean"), ("running_var", "var")):
        assert gap(ours[leaf], case[f"{name}_{official}.{theirs}"]) < 5e-5, official
