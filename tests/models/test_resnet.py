"""Backbones: parameter counts, strides, and what is frozen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.models.backbones.resnet import BLOCKS, ResNet, Stage, stage_channels
from vosjax.models.execution import with_execution

# torchvision's parameter counts, less the classifier's.
PARAMETERS = {
  "resnet18": 11_689_512 - 513_000,
  "resnet34": 21_797_672 - 513_000,
  "resnet50": 25_557_032 - 2_049_000,
  "resnet101": 44_549_160 - 2_049_000,
  "resnet152": 60_192_808 - 2_049_000,
}


def shapes(network, size=(64, 64)):
  x = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
  variables = jax.eval_shape(network.init, jax.random.key(0), x)
  return variables, jax.eval_shape(network.apply, variables, x)


@pytest.mark.parametrize("variant", BLOCKS)
def test_parameter_count(variant):
  variables, _ = shapes(ResNet(variant))
  count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
  assert count == PARAMETERS[variant]


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("variant", ["resnet18", "resnet50"])
def test_output_stride_and_channels(variant, stride):
  _, stages = shapes(ResNet(variant, output_stride=stride), (64, 96))
  assert stages.stem.shape == (1, 32, 48, 64)
  for i, channels in enumerate(stage_channels(variant)):
    step = min(4 * 2**i, stride)
    stage = getattr(stages, f"stage{i + 1}")
    assert stage.shape == (1, 64 // step, 96 // step, channels)


def test_frozen_stages_have_no_gradient_and_keep_their_statistics():
  network = ResNet("resnet18", width=4, frozen=("stem", "stage1", "stage2", "stage3"))
  x = jax.random.normal(jax.random.key(0), (2, 32, 32, 3))
  variables = jax.jit(network.init)(jax.random.key(1), x)

  def loss(params):
    stages, updated = network.apply(
      variables | {"params": params}, x, train=True, mutable=["batch_stats"]
    )
    return jnp.square(stages.stage4).sum() + stages.stage1.sum(), updated

  grads, updated = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
  for stage in ("stem", "stage1", "stage2", "stage3"):
    assert all(not leaf.any() for leaf in jax.tree.leaves(grads[stage]))
    old, new = variables["batch_stats"][stage], updated["batch_stats"][stage]
    assert all(map(np.array_equal, *map(jax.tree.leaves, (old, new))))
  assert all(leaf.any() for leaf in jax.tree.leaves(updated["batch_stats"]["stage4"]))


def test_remat_changes_no_gradient():
  """Of one stage, which networks repeat."""
  x = jax.random.normal(jax.random.key(0), (2, 8, 8, 4))
  stage = Stage(2, 4, False, 1, 1, 1)
  variables = stage.init(jax.random.key(1), x, train=False, steps=1)

  def grads(remat):
    def loss(params):
      y, _ = with_execution(stage, remat=remat).apply(
        variables | {"params": params}, x, train=True, steps=1, mutable=["batch_stats"]
      )
      return jnp.square(y).mean()

    return jax.jit(jax.grad(loss))(variables["params"])

  for a, b in zip(*map(jax.tree.leaves, (grads(False), grads(True)))):
    np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
  ("fields", "text"),
  [
    ({"variant": "resnet99"}, "'resnet99' is unknown; known: .*'resnet18'"),
    ({"output_stride": 4}, "is 4; expected 8, 16 or 32"),
    ({"frozen": ("layer4",)}, r"frozen stages \['layer4'\] are unknown; known"),
  ],
)
def test_bad_fields_are_named(fields, text):
  with pytest.raises(ValueError, match=text):
    shapes(ResNet(**fields))
