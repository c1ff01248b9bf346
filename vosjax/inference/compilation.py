"""`jax.jit` with the compiler options that suit the backend."""

import functools
from collections.abc import Callable, Hashable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

COMPILING_CALLS = 2  # at most so many first calls of a program compile it

# What may be part of a CUDA graph: XLA's own choice, and convolutions.
_GRAPH_PARTS = (
  "FUSION",
  "CUBLAS",
  "CUBLASLT",
  "CUDNN",
  "CUSTOM_CALL",
  "DYNAMIC_SLICE_FUSION",
  "CONDITIONAL",
  "WHILE",
  "CONVOLUTION",
)


@runtime_checkable
class Program(Protocol):
  """A compiled function: part of what `jax.jit` returns."""

  def __call__(self, *args: Any) -> Any: ...

  def lower(self, *args: Any) -> jax.stages.Lowered: ...


def jit(*, graphs: bool = True, **options: Any) -> Callable[..., Any]:
  """`jax.jit` with the compiler options of whichever backend a call runs on.

  Args:
    graphs: whether a GPU may run the function as CUDA graphs.
    **options: of `jax.jit`, such as `static_argnums`.

  Returns:
    A decorator of functions with positional arguments. Besides being called, they can
    be lowered, as those of `jax.jit`.
  """

  def wrap(function):
    plain = jax.jit(function, **options)

    @functools.cache
    def compiled(backend) -> Program:
      if backend == "gpu" and not graphs:
        return plain
      extra = _compiler_options(backend) or None
      jit_with = functools.partial(jax.jit, compiler_options=extra, **options)
      if backend == "gpu" and extra:
        return _PlainFirst(plain, function, jit_with)
      return jit_with(function)

    def call(*args):
      try:
        return compiled(jax.default_backend())(*args)
      except ValueError:  # options are those of whole programs, not of parts of others
        if not _is_traced(args):
          raise
      return plain(*args)

    program: Any = functools.wraps(function)(call)
    program.lower = lambda *args: compiled(jax.default_backend()).lower(*args)
    return program

  return wrap


class _FirstCall(Exception):
  """The program has not yet run with arguments of these types.

  Args:
    key: of the types.
  """

  def __init__(self, key: Hashable):
    super().__init__()
    self.key = key


class _PlainFirst:
  """Runs a program once without CUDA graphs before it runs with them.

  cuDNN loads a kernel when it first runs, which is an error while a graph is recorded.
  Kernels that the compiler has timed are loaded, but a program from a cache on disk has
  not been timed. Tracing, which happens once for arguments of each type, stops the
  first call, so that later calls have no overhead.

  Args:
    plain: the function, compiled without graphs.
    function: the function.
    jit_with: compiles a function with graphs.
  """

  def __init__(
    self,
    plain: Program,
    function: Callable[..., Any],
    jit_with: Callable[[Callable[..., Any]], Callable[..., Any]],
  ):
    self._plain = plain
    self._ran: set[Hashable] = set()

    @functools.wraps(function)
    def traced(*args):
      leaves, structure = jax.tree.flatten(args)
      types = (jax.typeof(x) if isinstance(x, jax.Array) else x for x in leaves)
      key = structure, *types
      if key not in self._ran:
        raise _FirstCall(key)
      return function(*args)

    self._with_graphs = jit_with(traced)

  def __call__(self, *args: Any) -> Any:
    try:
      return self._with_graphs(*args)
    except _FirstCall as first:
      key = first.key
    result = jax.block_until_ready(self._plain(*args))
    if not _is_traced(args):
      self._ran.add(key)
    return result

  def lower(self, *args: Any) -> jax.stages.Lowered:
    """Of the program without graphs."""
    return self._plain.lower(*args)


def _is_traced(args: tuple[Any, ...]) -> bool:
  """Whether a call is part of another program, or only asks for its shapes."""
  return any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(args))


@functools.cache
def _compiler_options(backend: str) -> dict[str, Any]:
  """XLA options that speed up programs on a backend.

  On CPU, XLA's experimental fused kernels are about 15 % slower than the plain ones.

  On GPU, launching the hundreds of small kernels of a frame one by one takes longer
  than running them. As one CUDA graph they are launched together; by default, XLA ends
  a graph at every convolution. docs/benchmarks.md has what this saves.
  Where a process has several GPUs, XLA's own choice stays: see `_PlainFirst`.
  """
  if backend == "cpu":
    return supported_options({"xla_cpu_experimental_ynn_fusion_type": ""})
  # A kernel that one device has loaded is not loaded on others.
  if backend == "gpu" and jax.local_device_count() == 1:
    return supported_options({"xla_gpu_enable_command_buffer": ",".join(_GRAPH_PARTS)})
  return {}


def supported_options(options: dict[str, Any]) -> dict[str, Any]:
  """Returns the options if the compiler supports them, else none: XLA drops some."""
  try:
    jax.jit(lambda x: x, compiler_options=options).lower(jnp.float32(0)).compile()
  except (jax.errors.JaxRuntimeError, ValueError):
    return {}
  return options
