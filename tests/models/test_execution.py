"""Execution options reach every layer that they act on; no others are accepted."""

import collections

import jax
import jax.numpy as jnp
import pytest

from vosjax import models

SMALL = {"backbone": "resnet18", "width": 4}
MODELS = {
  "agame": SMALL | {"features": 4, "fusion_features": 4, "frozen_stages": ()},
  "cosnet": SMALL | {"features": 4, "branch_features": 4, "size": None},
  "ris": {"channels": 2, "num_objects": 3},
  "rsis": SMALL | {"features": 16, "num_objects": 3},
  "rvos": SMALL | {"features": 8, "num_objects": 3},
}
FRAMES = jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.float32)
MASKS = jax.ShapeDtypeStruct((2, 3, 64, 64), jnp.float32)


def equations(jaxpr):
  """All equations, those of inner programs included."""
  for equation in jaxpr.eqns:
    yield equation
    for value in jax.tree.leaves(
      list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
    ):
      inner = getattr(value, "jaxpr", value)
      if hasattr(inner, "eqns"):
        yield from equations(inner)


def forward(module, frames, masks):
  """One frame in training."""
  if isinstance(module, models.COSNet):
    return module.pair_logits(frames, frames, train=True)
  features = module.encode(frames, train=True)
  given = masks if module.readout.one_shot else None
  active = jnp.ones(masks.shape[:2], bool)
  return module.segment(module.init_state(features, given), features, active)[1]


OPTIONS = {
  "dtype": "bfloat16",
  "remat": True,
  "axis_name": "data",
  "unroll_objects": 2,
}


@pytest.fixture(scope="module", params=MODELS)
def traced(request):
  """Name of a model with all options, shapes of its variables, and its equations."""
  name = request.param
  options = {key: x for key, x in OPTIONS.items() if key in models.field_names(name)}
  model = models.build(name, **MODELS[name])
  shapes = jax.eval_shape(model.init, jax.random.key(0), FRAMES, MASKS)
  model = models.build(name, **MODELS[name], **options)

  def run(variables, frames, masks):
    return model.apply(variables, frames, masks, method=forward, mutable="batch_stats")

  program = jax.make_jaxpr(run, axis_env=[("data", 2)])(shapes, FRAMES, MASKS)
  return name, shapes, list(equations(program.jaxpr))


# Convolutions whose results must not be rounded: A-GAME's reduction, scores and two
# heads; COSNet's saliency and two heads; RIS's inhibition.
NUM_FLOAT32 = {"agame": 4, "cosnet": 3, "ris": 1, "rsis": 0, "rvos": 0}


def test_convolutions_but_for_heads_have_the_given_dtype(traced):
  name, _, program = traced
  found = collections.Counter(
    str(equation.outvars[0].aval.dtype)
    for equation in program
    if equation.primitive.name == "conv_general_dilated"
  )
  assert found["float32"] == NUM_FLOAT32[name]
  assert found["bfloat16"] >= 4


def test_every_block_of_the_backbone_is_recomputed(traced):
  name, _, program = traced
  kinds = [equation.primitive.name for equation in program]
  found = sum(kind.startswith("remat") or kind == "checkpoint" for kind in kinds)
  assert found == (4 if name == "ris" else 8)  # convolutions; blocks of a ResNet-18


def test_every_batch_norm_averages_over_the_named_axis(traced):
  """A mean and a variance each."""
  name, shapes, program = traced
  if name == "ris":
    assert "batch_stats" not in shapes
    return
  paths = jax.tree_util.tree_leaves_with_path(shapes["batch_stats"])
  num_norms = sum(path[-1].key == "mean" for path, _ in paths)
  sums = sum(equation.primitive.name.startswith("psum") for equation in program)
  assert num_norms > 8
  assert sums == 2 * num_norms


def test_the_loop_over_objects_is_unrolled(traced):
  name, _, program = traced
  loops = [e.params for e in program if e.primitive.name == "scan"]
  over_objects = [loop["unroll"] for loop in loops if loop["length"] == 3]
  assert over_objects == ([2] if "unroll_objects" in models.field_names(name) else [])


def test_steps_of_a_clip_are_recomputed_and_unrolled():
  """As `unroll` is asked, whatever the model's own options are."""
  model = models.build("ris", **MODELS["ris"])
  clip = jax.ShapeDtypeStruct((1, 5, 64, 64, 3), jnp.float32)
  shapes = jax.eval_shape(model.init, jax.random.key(0), FRAMES)

  def loop(**options):
    program = jax.make_jaxpr(
      lambda variables, frames: models.unroll(model, variables, frames, **options)
    )(shapes, clip)
    found = equations(program.jaxpr)
    (scan,) = (
      e for e in found if e.primitive.name == "scan" and e.params["length"] == 5
    )
    first = scan.params["jaxpr"].jaxpr.eqns[0].primitive.name
    return scan.params["unroll"], first.startswith("remat") or first == "checkpoint"

  assert loop() == (1, False)
  assert loop(remat=True, unroll_steps=2) == (2, True)


@pytest.mark.parametrize(
  ("name", "field", "value"),
  [
    ("agame", "unroll_objects", 2),
    ("cosnet", "unroll_objects", 2),
    ("ris", "axis_name", "data"),
    ("rvos", "folded", True),  # set by inference
    ("rvos", "execution", models.Execution()),
  ],
)
def test_options_without_effect_are_refused(name, field, value):
  with pytest.raises(ValueError, match=rf"{name}.* has no field \['{field}'\]"):
    models.build(name, **{field: value})


def test_options_of_a_built_model_are_changed_one_by_one():
  model = models.build("rvos", **MODELS["rvos"], dtype="bfloat16", remat=True)
  changed = models.with_execution(model, remat=False, unroll_objects=True)
  assert changed.execution == models.Execution("bfloat16", unroll_objects=True)
  assert changed.clone(execution=model.execution) == model
  with pytest.raises(TypeError, match="unroll"):
    models.with_execution(model, unroll=True)
