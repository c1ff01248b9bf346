"""COSNet against the official program; tolerances from its specification."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.models.backbones.resnet import normalise_caffe
from vosjax.models.cosnet import COSNetFeatures, COSNetState, upsample
from vosjax.ops import affinity
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
  """Stored frames as the model expects them."""
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
  found = model.encoder.network(normalise_caffe(frames))
  deep = model.encoder.pyramid(found.stage4)
  return {
    "stem_pool": max_pool_3x3(found.stem, ceil=True),
    **{f"layer{i}": getattr(found, f"stage{i}") for i in range(1, 5)},
    "branches": model.encoder.pyramid.branches(found.stage4),
    "features": deep,
    "saliency_logit": model.encoder.saliency(deep),
  }


def share(gated, summary):
  """Share of a summary that passes the gate, at each position."""
  gated, summary = (np.asarray(x, np.float64) for x in (gated, summary))
  return (gated * summary).sum(-1) / np.square(summary).sum(-1)


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
  probs = jax.nn.sigmoid(upsample(found["saliency_logit"], (193, 257)))
  assert gap(probs, case["saliency_prob"][:, 0]) < TOLERANCE


def test_stems_of_odd_and_even_sizes(run, golden):
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

  def see(model, frames):
    return model.pair(frames, frames), model.pair_logits(frames, frames)

  (probs_a, probs_b), logits = run(see, frames)
  assert gap(probs_a, case["pair_prob_a"][:, 0]) < TOLERANCE
  assert gap(probs_b, case["pair_prob_b"][:, 0]) < TOLERANCE
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
    assert gap(share(g, z), case[f"gate_{name}"][:, 0]) < TOLERANCE
  probs = jax.nn.sigmoid(upsample(logits.saliency_b, a.shape[1:3]))
  assert gap(probs, case["saliency_b"][:, 0]) < TOLERANCE


@pytest.mark.slow
def test_pair_at_the_size_of_training(run, reference):
  case, alone = reference("golden_pair"), reference("golden_encoder")
  a, b = rgb(alone["big_frame_bgr"]), rgb(case["big_frame_b_bgr"])

  def parts(model, a, b):
    deep = model.encoder(jnp.concatenate([a, b]))
    z = model.co_attention.pair(deep[:1], deep[1:])
    gated = [model.co_attention.gate(summary) for summary in z]
    return deep[:1], z, gated, model.pair_logits(a, b)

  deep, summaries, gated, logits = run(parts, a, b)
  assert gap(deep[:, ::3, ::3, ::8], last(alone["big_features_every8_3_3"])) < TOLERANCE
  assert gap(stats(deep), alone["big_features_stats"]) < TOLERANCE
  assert gap(logits.saliency_a, alone["big_saliency_logit"][:, 0]) < TOLERANCE
  for side, g, z in zip("ab", gated, summaries):
    assert gap(share(g, z), case[f"big_gate_{side}"][:, 0]) < TOLERANCE
  for found, expected in (
    (logits.saliency_a, alone["big_saliency_prob_every4"]),
    (logits.saliency_b, case["big_saliency_b_every4"]),
    (logits.a, case["big_prob_a_every4"]),
    (logits.b, case["big_prob_b_every4"]),
  ):
    probs = jax.nn.sigmoid(upsample(found, (473, 473)))[:, ::4, ::4]
    assert gap(probs, expected[:, 0]) < TOLERANCE
  assert gap(logits.a, case["big_logit_a"][:, 0]) < TOLERANCE
  assert gap(logits.b, case["big_logit_b"][:, 0]) < TOLERANCE


# Ten times the program's own error, by the number of references.
GROUP_TOLERANCES = {1: (4.3e-5, 2.4e-5), 2: (7.2e-5, 3.5e-5), 5: (1.6e-4, 9e-5)}


def test_fusion_of_references(cosnet, run, reference):
  model, variables = cosnet
  case = reference("golden_fusion")
  frames = np.concatenate([rgb(case["query_bgr"]), rgb(case["references_bgr"])])
  encoded = run("encode", frames)
  query, others = encoded.deep[:1], encoded.deep[None, 1:]
  features = COSNetFeatures(query, encoded.size)
  active = np.ones((1, 1), bool)

  def segment(fusion, variables, others):
    apply = functools.partial(model.clone(fusion=fusion).apply, method="segment")
    _, prediction = apply(variables, COSNetState(others), features, active)
    return jax.nn.sigmoid(prediction.logits[0, 0])

  def read(model, deep, others):
    """The summary, the group model's before the gate, and logits."""
    summary = model.summarise(deep, others)
    z = affinity.read_twice_normalised(model.co_attention.project(deep), others)
    return summary, z, model.head_a(summary, deep)

  def pairs(model, deep, others):
    each = model.co_attention.read_each(deep, others)
    return [model.head_a(each[:, i], deep) for i in range(others.shape[1])]

  @jax.jit  # one program for each number of references; most fusions share their parts
  def fuse(variables, others):
    probs = {
      f: segment(f, variables, others) for f in ("prediction", "summary", "group")
    }
    reads = {}
    for fusion in ("summary", "group", "joint"):
      apply = functools.partial(model.clone(fusion=fusion).apply, method=read)
      reads[fusion] = apply(variables, query, others)
    return probs, reads

  assert gap(np.stack(run(pairs, query, others)), case["pair_logits"]) < TOLERANCE

  probs = jax.jit(functools.partial(segment, "summary"))(variables, others[:, :0])
  assert gap(probs, case["query_saliency_prob"][0, 0]) < TOLERANCE
  for n in (1, 2, 5):
    probs, reads = fuse(variables, others[:, :n])
    for fusion, stored in (
      ("prediction", f"prediction_fusion_n{n}"),
      ("summary", f"summary_fusion_n{n}_prob"),
      ("group", f"group_n{n}_prob"),
    ):
      assert gap(probs[fusion], case[stored]) < TOLERANCE, stored
    for fusion, stored in (
      ("summary", f"summary_fusion_n{n}_logit"),
      ("group", f"group_n{n}_logit"),
      ("joint", f"onesoftmax_group_n{n}_logit"),
    ):
      summary, z, logit = reads[fusion]
      assert gap(logit, case[stored][:, 0]) < TOLERANCE, stored
      if (fusion, n) == ("summary", 5):
        stored = case["summary_fusion_n5_z_every8"]
        assert gap(summary[..., ::8], last(stored)) < TOLERANCE
      if fusion == "group":
        of_z, of_gate = GROUP_TOLERANCES[n]
        assert gap(z[..., ::8], last(case[f"group_n{n}_z_every8"])) < of_z
        assert gap(share(summary, z), case[f"group_n{n}_gate"][:, 0]) < of_gate


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
    scores = affinity.affinity(model.co_attention.project(a), b)
    z_a, z_b = model.co_attention.pair(a, b)
    gates = [model.co_attention.gate(z) for z in (z_a, z_b)]
    heads = (model.head_a, model.head_b)
    hidden = [
      nn.relu(head.join(jnp.concatenate([z, x], -1), train=False))
      for head, z, x in zip(heads, gates, (a, b))
    ]
    logits = [head(z, x) for head, z, x in zip(heads, gates, (a, b))]
    return scores, z_a, z_b, gates, hidden, logits

  apply = functools.partial(model.clone(attention=form).apply, method=parts)
  scores, z_a, z_b, gates, hidden, logits = jax.jit(apply)(
    variables | {"params": params}, a, b
  )
  scores = scores.reshape(2, 63, 63)
  assert gap(scores, case[f"{form}_affinity"]) < TOLERANCE
  for side, axis in (("b", 1), ("a", 2)):  # what is attended to sums to one
    attention = jax.nn.softmax(scores, axis)
    attention = attention.swapaxes(1, 2) if side == "a" else attention
    assert gap(attention, case[f"{form}_attention_for_{side}"]) < TOLERANCE
  every, suffix = (1, "") if form == "vanilla" else (8, "_every8")
  assert gap(z_a[..., ::every], last(case[f"{form}_z_a{suffix}"])) < TOLERANCE
  assert gap(z_b[..., ::every], last(case[f"{form}_z_b{suffix}"])) < TOLERANCE
  for name, logit in zip("ab", logits):
    assert gap(logit, case[f"{form}_logit_{name}"][:, 0]) < TOLERANCE
  if form == "vanilla":
    for name, z, gated, x, logit in zip("ab", (z_a, z_b), gates, hidden, logits):
      assert gap(share(gated, z), case[f"vanilla_gate_{name}"][:, 0]) < TOLERANCE
      assert gap(x, last(case[f"vanilla_x_{name}"])) < TOLERANCE
      probs = jax.nn.sigmoid(logit)
      assert gap(probs, case[f"vanilla_prob_lowres_{name}"][:, 0]) < TOLERANCE
