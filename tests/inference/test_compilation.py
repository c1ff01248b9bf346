"""Options of the compiler."""

from vosjax.inference import compilation


def test_unknown_compiler_options_are_left_out():
  """Options of XLA may be experimental and disappear."""
  assert compilation.supported_options({"xla_no_such_option": "1"}) == {}
  option = {"xla_cpu_enable_fast_math": False}
  assert compilation.supported_options(option) == option


def test_the_compiler_knows_the_options_for_gpus():
  """Options are read on every backend, so a change of their names is seen here."""
  assert compilation._compiler_options("gpu")
