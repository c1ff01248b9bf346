"""Weights that are converted once instead of in every frame."""

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax import models
from vosjax.benchmarks.model import random_variables
from vosjax.inference import programs
from vosjax.inference.casting import cast_weights
from vosjax.models.api import bind

TINY = {"backbone": "resnet18", "width": 8}
FORMS = (
  (
    "agame",
    TINY
    | {
      "features": 16,
      "fusion_features": 8,
      "output_stride": 8,
      "deep": "pyramid",
      "matching_lags": (1,),
    },
  ),
  ("cosnet", TINY | {"features": 16, "branch_features": 8}),
  ("cosnet", TINY | {"features": 16, "num_references": 0, "deep": "pyramid"}),
  ("ris", {}),
  ("rsis", TINY | {"features": 16, "num_objects": 2}),
  ("rvos", TINY | {"features": 16, "num_objects": 2, "one_shot": True}),
)


def prepared(name, fields, dtype):
  """The model as on a GPU, and its weights before and after the conversion."""
  model = models.build(name, **fields, dtype=dtype)
  variables = random_variables(model)
  folded = programs._fold(variables)
  return *programs.prepare(model, variables, backend="gpu"), folded


@pytest.mark.parametrize(
  ("name", "fields"), FORMS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(FORMS)]
)
def test_most_weights_are_converted(name, fields):
  _, cast, _ = prepared(name, fields, "bfloat16")
  kernels = {
    path: leaf.dtype
    for path, leaf in flax.traverse_util.flatten_dict(cast).items()
    if path[-1] == "kernel"
  }
  share = sum(dtype == jnp.bfloat16 for dtype in kernels.values()) / len(kernels)
  assert share > 0.4, kernels


@pytest.mark.parametrize(
  ("name", "fields"),
  [
    pytest.param(
      *form, id=f"{form[0]}-{i}", marks=[pytest.mark.slow] * (form[0] != "ris")
    )
    for i, form in enumerate(FORMS)
  ],
)
def test_results_are_the_same(name, fields):
  model, cast, folded = prepared(name, fields, "bfloat16")
  frames = jax.random.uniform(jax.random.key(1), (1, 32, 32, 3))
  objects = model.readout.num_slots or 2
  masks = jnp.zeros((1, objects, 32, 32)).at[:, 0, 8:30, 8:20].set(1)
  masks = masks if model.readout.one_shot else None

  def segment(variables):
    network = bind(model, variables)
    features = network.encode(frames)
    state = network.init_state(features, masks)
    _, prediction = network.segment(state, features, jnp.ones((1, objects), bool))
    return prediction.logits

  # Operation by operation: the compiler may sum in another order or skip roundings.
  with jax.disable_jit():
    np.testing.assert_array_equal(segment(cast), segment(folded))


def test_heads_in_float32_keep_their_weights():
  _, cast, _ = prepared(*FORMS[0], "bfloat16")
  assert cast["params"]["refinement"]["head"]["kernel"].dtype == jnp.float32
  assert cast["params"]["refinement"]["project8"]["kernel"].dtype == jnp.bfloat16


@pytest.mark.parametrize("dtype", [None, "float32"])
def test_float32_is_left_alone(dtype):
  _, cast, folded = prepared("ris", {}, dtype)
  assert jax.tree.map(lambda x: x.dtype, cast) == jax.tree.map(
    lambda x: x.dtype, folded
  )


class Shares(nn.Module):
  """Uses one weight in both precisions, and one through slices and a loop."""

  execution = models.execution.Execution(dtype="bfloat16")

  @nn.compact
  def __call__(self, x):
    both = self.param("both", nn.initializers.ones, (4,))
    sliced = self.param("sliced", nn.initializers.ones, (4,))

    def body(carry, _):
      return carry * sliced[1:2].astype(jnp.bfloat16), None

    y, _ = jax.lax.scan(body, x.astype(jnp.bfloat16), length=2)
    return y * both.astype(jnp.bfloat16) + both


def test_a_weight_that_is_used_in_two_precisions_stays(monkeypatch):
  model = Shares()
  variables = model.init(jax.random.key(0), jnp.ones(4))
  monkeypatch.setattr(
    "vosjax.inference.casting._make_use",
    lambda model: lambda variables: model.apply(variables, jnp.ones(4)),
  )
  cast = cast_weights(model, variables)["params"]
  assert cast["both"].dtype == jnp.float32
  assert cast["sliced"].dtype == jnp.bfloat16
