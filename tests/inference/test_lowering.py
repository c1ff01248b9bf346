"""Programs of inference lower for accelerators, which need not be here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax import models, weights
from vosjax.inference import programs
from vosjax.models.api import KeepsSlots, TakesReferences

SIZE = (90, 157)  # no multiple of any stride: framings pad or resize
# Mixed precision is the form that can fail to lower; float32 is checked as well.
DTYPES = (pytest.param("float32", marks=pytest.mark.slow), "bfloat16")
# Beyond the fields of each model, the forms that have programs of their own.
FORMS = (
  ("agame", {}),
  ("cosnet", {}),
  ("cosnet", {"fusion": "prediction"}),
  ("cosnet", {"fusion": "joint"}),
  ("ris", {}),
  ("rsis", {}),
  ("rvos", {}),
  ("rvos", {"one_shot": True}),
)


def shape(*dims, dtype=np.float32):
  return jax.ShapeDtypeStruct(dims, dtype)


def shapes_of(tree):
  return jax.tree.map(lambda x: x.shape, tree)


def prepare_shapes(model):
  """The model as on a GPU, and the shapes of its variables."""
  prepared = []

  def prepare(variables):
    changed, folded = programs.prepare(model, variables, backend="gpu")
    prepared.append(changed)
    return folded

  inputs = shape(1, 64, 64, 3), shape(1, 1, 64, 64)
  variables = jax.eval_shape(model.init, jax.random.key(0), *inputs)
  shapes = jax.eval_shape(prepare, variables)
  return prepared[0], shapes


def lower_all(lower, model):
  """Lowers every program that a video of this model may need."""
  model, variables = prepare_shapes(model)

  def low(program, statics, *arguments):
    return lower(lambda *args: program.__wrapped__(*statics, *args), *arguments)

  frames = shape(1, *SIZE, 3, dtype=np.uint8)
  several = shape(3, *SIZE, 3, dtype=np.uint8)
  readout = model.readout
  num_slots = readout.num_slots or 3
  labels = shape(1, *SIZE, dtype=np.int32) if readout.one_shot else None
  slots = shape(1, num_slots, dtype=bool)
  features = low(programs.encode, (model,), variables, frames)
  framed = low(programs.frame_together, (model,), several)
  assert len(low(programs.encode_together, (model,), variables, framed)) == 3
  fixed = (model, SIZE)
  state = low(programs.init_slots, fixed, variables, None, features, labels, slots)
  if labels is not None and isinstance(model, KeepsSlots):
    state = low(programs.insert, fixed, variables, state, labels, slots)
  elif labels is not None:  # objects that appear later or are corrected
    inputs = variables, state, features, labels, slots, slots
    state = low(programs.init_slots, fixed, *inputs)
  if isinstance(model, TakesReferences) and model.num_references:
    place = shape(dtype=np.int32)
    state = low(programs.remember, (model,), variables, state, features, place)
  recurrence = "aggregated" if readout.threshold is None else "fine"
  fixed = (*fixed, recurrence)
  rank = shape(1, num_slots, dtype=np.int32) if readout.threshold is not None else None
  inputs = variables, state, features, slots, rank
  new, slot_labels, probs, *_ = low(programs.advance, fixed, *inputs)
  inputs = variables, state, frames, slots, rank
  encoded, (streamed, *_) = low(programs.step, (model, recurrence), *inputs)
  for found, expected in ((new, state), (streamed, state), (encoded, features)):
    assert shapes_of(found) == shapes_of(expected)
  assert slot_labels.shape == (1, *SIZE)
  assert probs.shape == (1, num_slots, *SIZE)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "fields"), FORMS)
def test_small_models(lower, small_fields, name, fields, dtype):
  lower_all(lower, models.build(name, **small_fields[name] | fields, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
  "name", ["agame-lite", pytest.param("cosnet-lite", marks=pytest.mark.slow)]
)
def test_networks_in_the_package(lower, name, dtype):
  model, _ = weights.load(name)
  lower_all(lower, models.with_execution(model, dtype=dtype))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "fields"), FORMS)
def test_published_models(lower, name, fields, dtype):
  lower_all(lower, models.build(name, **fields, dtype=dtype))


def test_a_kernel_of_one_platform_alone_is_noticed(lower):
  with pytest.raises(AssertionError, match="custom_call|cu|solver"):
    lower(jnp.linalg.eigh, shape(3, 3), platforms=("cuda",))
