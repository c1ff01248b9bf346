"""Faster forms of the decoder compute the same."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from vosjax.models.execution import with_execution
from vosjax.models.modules.conv_lstm import ConvLSTMCell
from vosjax.models.modules.recurrent_decoder import DoublingHead, RecurrentDecoder
from vosjax.ops import resize
from vosjax.train.step import DATA, make_mesh


def test_the_head_is_a_convolution_of_upsampled_maps():
  x = jax.random.normal(jax.random.key(0), (2, 5, 7, 3))
  head = DoublingHead()
  variables = head.init(jax.random.key(1), x)
  variables["params"]["bias"] += 0.5
  conv = nn.Conv(1, (3, 3), padding=1)
  expected = conv.apply(variables, resize.bilinear(x, (10, 14), align_corners=True))
  np.testing.assert_allclose(head.apply(variables, x), expected[..., 0], atol=1e-5)


def test_devices_keep_their_maps(exchanged):
  head = DoublingHead()
  x = jax.ShapeDtypeStruct((4, 5, 7, 3), jnp.float32)
  variables = jax.eval_shape(head.init, jax.random.key(0), x)
  maps, everywhere = (
    NamedSharding(make_mesh(4), PartitionSpec(*axes)) for axes in ((DATA,), ())
  )

  def differentiate(variables, x):
    return jax.grad(lambda *inputs: jnp.square(head.apply(*inputs)).sum(), (0, 1))(
      variables, x
    )

  step = jax.jit(
    differentiate, in_shardings=(everywhere, maps), out_shardings=(everywhere, maps)
  )
  program = step.lower(variables, x).compile()
  assert not exchanged(program, "sent")
  # The gradients of the kernel and of the bias.
  assert set(exchanged(program, "summed")) <= {3 * 3 * 3, 1}


def test_gates_summed_over_inputs_equal_those_of_the_concatenation():
  """What objects share is convolved once per frame, which changes only rounding."""
  cell = ConvLSTMCell((("skip", 3), ("mask", 1), ("spatial", 4), ("temporal", 4)), 4)
  x = jax.random.normal(jax.random.key(0), (2, 6, 5, 12))
  variables = cell.init(jax.random.key(1), x[..., :3], method=read_all)
  variables["params"]["gates"]["bias"] += 0.5
  conv = nn.Conv(16, (3, 3), padding=1)
  expected = conv.apply({"params": variables["params"]["gates"]}, x)
  parts = jnp.split(x, (3, 4, 8), axis=-1)
  gates = cell.apply(variables, *parts, method=read_all)
  np.testing.assert_allclose(gates, expected, atol=1e-5)
  state = cell.apply(variables, expected, parts[2])
  i, f, o = (jax.nn.sigmoid(expected[..., 4 * n : 4 * n + 4]) for n in range(3))
  carried = f * parts[2] + i * jnp.tanh(expected[..., 12:])
  np.testing.assert_allclose(state.cell, carried, atol=1e-6)
  np.testing.assert_allclose(state.hidden, o * jnp.tanh(carried), atol=1e-6)


def read_all(cell, skip, *others):
  gates = cell.read("skip", skip, bias=True)
  for name, x in zip(("mask", "spatial", "temporal"), others):
    gates += cell.read(name, x)
  return gates


def test_shared_gates_are_computed_once_per_frame():
  """As many convolutions as levels, however many objects there are."""
  decoder = RecurrentDecoder((8, 8, 4, 2), (8, 4, 2, 1))
  skips = tuple(jnp.ones((1, 2**i, 2**i, c)) for i, c in enumerate(decoder.skips))
  variables = decoder.init(jax.random.key(0), skips, 2, method=decode)

  def convolutions(objects):
    jaxpr = jax.make_jaxpr(lambda v: decoder.apply(v, skips, objects, method=decode))(
      variables
    )
    return str(jaxpr).count("conv_general_dilated[")

  assert convolutions(2) == convolutions(5)
  alone = jax.make_jaxpr(lambda v: decoder.apply(v, skips, method="encode"))(variables)
  assert str(alone).count("conv_general_dilated[") == 4


def decode(decoder, skips, objects):
  shared = decoder.encode(skips)
  hidden = decoder(shared, (), jnp.zeros((1, objects), bool))
  return decoder.object_gates("temporal", hidden), decoder.logits(hidden[-1], (16, 16))


def test_unrolling_objects_changes_nothing():
  decoder = RecurrentDecoder((8, 8, 4, 2), (8, 4, 2, 1))
  keys = jax.random.split(jax.random.key(0), 4)
  skips = tuple(
    jax.random.normal(key, (1, 2**i, 2**i, c))
    for i, (key, c) in enumerate(zip(keys, decoder.skips))
  )
  variables = decoder.init(jax.random.key(0), skips, 3, method=decode)
  scanned = decoder.apply(variables, skips, 3, method=decode)
  unrolled = with_execution(decoder, unroll_objects=True).apply(
    variables, skips, 3, method=decode
  )
  for a, b in zip(jax.tree.leaves(scanned), jax.tree.leaves(unrolled), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)
