"""Options of the compiler."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vosjax.inference import compilation


def test_unknown_compiler_options_are_left_out():
  """Options of XLA may be experimental and disappear."""
  assert compilation.supported_options({"xla_no_such_option": "1"}) == {}
  option = {"xla_cpu_enable_fast_math": False}
  assert compilation.supported_options(option) == option


@pytest.fixture
def one_gpu(monkeypatch):
  """Takes the CPU for a GPU; options are read on every backend."""
  monkeypatch.setattr(jax, "local_device_count", lambda: 1)
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  compilation._compiler_options.cache_clear()
  yield
  compilation._compiler_options.cache_clear()


def test_the_compiler_knows_the_options_for_gpus(one_gpu):
  """A change of their names is seen here."""
  assert compilation._compiler_options("gpu")


def test_several_gpus_keep_the_defaults():
  compilation._compiler_options.cache_clear()
  assert jax.local_device_count() > 1
  assert compilation._compiler_options("gpu") == {}


def make_identity(ran, fails=False):
  """The identity as a program of a GPU, which notes in `ran` how it ran.

  Args:
    ran: list to extend.
    fails: whether the first run ends with an error.
  """

  def plain(x):
    ran.append("plain")
    if fails and len(ran) == 1:
      raise MemoryError
    return x

  plain.lower = plain

  def jit_with(function):
    def traced(x):
      result = function(x)
      ran.append("graphs")
      return result

    return traced

  return compilation._PlainFirst(plain, lambda x: x, jit_with)


def test_a_run_without_graphs_that_fails_is_tried_again(one_gpu):
  """Else the next one would record kernels that were never loaded."""
  ran = []
  call = make_identity(ran, fails=True)
  with pytest.raises(MemoryError):
    call(jnp.ones(3))
  for _ in range(2):
    call(jnp.ones(3))
  assert ran == ["plain", "plain", "graphs"]


def test_programs_can_be_parts_of_others():
  """Options of the compiler belong to a whole program."""

  @compilation.jit(static_argnums=0)
  def scale(factor, x):
    return factor * x

  for _ in range(2):
    assert jax.eval_shape(lambda x: scale(2, x), jnp.ones(3)).shape == (3,)
    np.testing.assert_array_equal(jax.jit(lambda x: scale(2, x))(jnp.ones(3)), 2.0)
    np.testing.assert_array_equal(scale(2, jnp.ones(3)), 2.0)


def test_what_was_only_traced_has_not_run(one_gpu):
  ran = []
  call = make_identity(ran)
  jax.eval_shape(call, jnp.ones(3))
  call(jnp.ones(3))
  assert ran == ["plain", "plain"]
  call(jnp.ones(3))
  assert ran == ["plain", "plain", "graphs"]


def test_programs_of_a_gpu_run_once_without_graphs_for_each_shape(one_gpu, monkeypatch):
  """cuDNN fails if a kernel runs for the first time while a graph is recorded."""
  ran = []
  jit = jax.jit

  def record(function, compiler_options=None, **options):
    compiled = jit(function, **options)

    @functools.wraps(function)
    def run(*args):
      result = compiled(*args)
      ran.append("graphs" if compiler_options else "plain")
      return result

    run.lower = compiled.lower
    return run

  compilation._compiler_options("gpu")  # asks the compiler
  monkeypatch.setattr(jax, "jit", record)

  @compilation.jit(static_argnums=0, donate_argnums=1)
  def scale(factor, state, x):
    return jax.tree.map(lambda leaf: leaf * factor + x, state)

  def call(factor, size):
    state = {"a": jnp.ones(size), "b": None}
    (result,) = jax.tree.leaves(scale(factor, state, jnp.ones(size)))
    np.testing.assert_array_equal(result, np.full(size, factor + 1))

  expected = ["plain", "graphs", "graphs"]
  for factor, size in ((2, 3), (2, 4), (5, 4)):
    ran.clear()
    for _ in range(3):
      call(factor, size)
    assert ran == expected
  ran.clear()
  call(2, 3)
  assert ran == ["graphs"]
