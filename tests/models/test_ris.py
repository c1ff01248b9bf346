"""RIS against its formulas, evaluated by an independent program."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.models.backbones import fcn
from vosjax.models.backbones.fcn import centre
from vosjax.models.ris import RIS, RISFeatures, RISState


def gap(actual, expected):
  """Largest difference as a fraction of the largest expected magnitude."""
  actual, expected = np.asarray(actual), np.asarray(expected)
  assert actual.shape == expected.shape
  return np.abs(actual - expected).max() / np.abs(expected).max()


def params_of(case, score):
  """The program's tensors; pairs of convolutions are joined and their biases added."""

  def cell(n):
    kernels = [case[f"param_{name}_{n}_weight"] for name in ("i2h", "h2h")]
    kernel = np.concatenate(kernels, axis=1).transpose(2, 3, 1, 0)
    bias = case[f"param_i2h_{n}_bias"] + case[f"param_h2h_{n}_bias"]
    return {"gates": {"kernel": kernel, "bias": bias}}

  params = {
    "cells_0": cell(1),
    "cells_1": cell(2),
    "inhibition": {
      "score": {
        "kernel": case["param_after_conv_weight"].transpose(2, 3, 1, 0),
        "bias": case["param_after_conv_bias"],
      },
      "bias": case["param_addition_bias"][0],
    },
    "score_head": {
      "kernel": case[f"param_stop_{score}_weight"].T,
      "bias": case[f"param_stop_{score}_bias"],
    },
  }
  return jax.tree.map(jnp.asarray, params)


@pytest.mark.parametrize("score", ["flat", "pool"])
def test_formulas(golden, score):
  case = golden("rvos/golden_ris_formula.npz")
  model = RIS(channels=6, score=score)

  def run(model, x):
    features = model.read_features(x, (10, 12))
    active = jnp.ones((1, 4), bool)
    return model.decode(features, 4), model.segment(RISState(), features, active)[1]

  x = jnp.asarray(case["param_features"].transpose(1, 2, 0)[None])
  hidden, prediction = jax.jit(
    lambda params, x: model.apply({"params": params}, x, method=run)
  )(params_of(case, score), x)
  assert gap(np.moveaxis(np.asarray(hidden), -1, 2)[0], case["hidden2"]) < 3e-6
  assert gap(jax.nn.sigmoid(prediction.logits)[0], case["masks"]) < 3e-6
  scores = jax.nn.sigmoid(prediction.aux["score_logits"])[0]
  assert gap(scores, case[f"scores_{score}"]) < 1e-6


def test_masks_of_strided_features_have_the_size_of_the_frame():
  model = RIS(channels=2, stride=8, num_objects=3)
  frames = jnp.zeros((1, 32, 48, 3))
  features, _ = jax.eval_shape(
    lambda key: model.init_with_output(key, frames, method="encode"),
    jax.random.key(0),
  )
  assert features.gates.shape == (1, 4, 6, 8)
  prediction, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), frames)
  assert prediction.logits.shape == (1, 3, 32, 48)
  assert prediction.aux["score_logits"].shape == (1, 3)


def test_gates_are_initially_open_and_scores_high():
  variables = jax.jit(RIS(channels=1, num_objects=1).init)(
    jax.random.key(0), jnp.zeros((1, 4, 4, 3))
  )
  for cell in ("cells_0", "cells_1"):
    bias = variables["params"][cell]["gates"]["bias"]
    np.testing.assert_array_equal(bias, [1, 1, 1, 0])
  assert variables["params"]["score_head"]["bias"] == 10


def test_bad_strides_are_named():
  with pytest.raises(ValueError, match="power of two"):
    jax.eval_shape(RIS(stride=3).init, jax.random.key(0), jnp.zeros((1, 9, 9, 3)))


def test_masks_are_refused():
  features = RISFeatures(jnp.zeros((1, 4, 4, 4)), (4, 4))
  with pytest.raises(ValueError, match="zero-shot"):
    RIS().init_state(features, jnp.zeros((1, 1, 4, 4)))


@pytest.mark.parametrize(
  ("size", "positions"),
  [
    ((500, 500), (64, 64)),
    ((256, 448), (36, 60)),
  ],
)
def test_fcn8_features_have_the_official_sizes(size, positions):
  """And for 256 x 448, where the official crops do not align, the common size."""
  model = RIS(extractor="fcn8", channels=3, num_objects=2)
  frames = jnp.zeros((1, *size, 3))
  features, variables = jax.eval_shape(
    lambda key: model.init_with_output(key, frames, method="encode"),
    jax.random.key(0),
  )
  assert features.gates.shape == (1, *positions, 12)
  prediction = jax.eval_shape(
    lambda key: model.init_with_output(key, frames)[0], jax.random.key(0)
  )
  assert prediction.logits.shape == (1, 2, *size)
  vgg = variables["params"]["fcn"]["vgg"]
  assert vgg["fc6"]["kernel"].shape == (7, 7, 512, 4096)
  assert sum(x.size for x in jax.tree.leaves(vgg)) == 134_260_544
  assert model.frozen == ("fcn/vgg",)


class Pools(nn.Module):
  """Replaces VGG: passes on its input at three sizes."""

  dtype: None = None

  @nn.compact
  def __call__(self, x):
    x = nn.Dense(3, use_bias=False, kernel_init=lambda *_: jnp.eye(3))(x)
    return x[:, ::8, ::8], x[:, ::16, ::16], x[:, ::32, ::32]


def test_fcn8_normalises_like_torchvision_and_does_not_train_vgg(monkeypatch):
  monkeypatch.setattr(fcn, "VGG", Pools)
  model = fcn.FCN8(2)
  frames = jax.random.uniform(jax.random.key(0), (1, 32, 48, 3))
  variables = model.init(jax.random.key(1), frames)
  _, seen = model.apply(variables, frames, capture_intermediates=True)
  pool3 = seen["intermediates"]["vgg"]["__call__"][0][0]
  assert not pool3[0, 0].any()  # a border of 99 pixels, which the mean fills
  mean, std = jnp.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
  picture = (frames - mean[None, None, None]) / std[None, None, None]
  np.testing.assert_allclose(pool3[0, 13:17, 13:19], picture[0, 5::8, 5::8], rtol=1e-5)
  grads = jax.grad(lambda v: model.apply(v, frames).sum())(variables)["params"]
  assert not grads["vgg"]["Dense_0"]["kernel"].any()
  assert grads["score7"]["kernel"].any()


def test_a_backbone_as_extractor_is_not_trained():
  """And images are padded to its stride."""
  model = RIS(extractor="efficientnet_lite0", channels=2)
  assert model.frozen == ("fcn/backbone",)
  assert model.framing((33, 60)).framed_size == (64, 64)

  def loss(params, frames):
    variables = {"params": params, "batch_stats": stats}
    return model.apply(variables, frames, method="encode").gates.sum()

  def convolutions(f):
    text = jax.jit(f).lower(shapes["params"], frames).as_text()
    return text.count("stablehlo.convolution")

  frames = jax.ShapeDtypeStruct((1, 64, 32, 3), jnp.float32)
  shapes = jax.eval_shape(model.init, jax.random.key(0), frames)
  stats = jax.tree.map(lambda x: np.ones(x.shape), shapes["batch_stats"])
  # Scores of three stages, and the cell that reads their sum, have a gradient.
  heads = 4
  backward = convolutions(jax.value_and_grad(loss)) - convolutions(loss)
  assert heads <= backward <= 2 * heads


def test_summed_maps_share_their_centre():
  x = jnp.arange(25.0).reshape(1, 5, 5, 1)
  assert centre(x, (1, 1)).item() == 12
  np.testing.assert_array_equal(centre(x, (3, 5)), x[:, 1:4])
