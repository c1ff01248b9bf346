"""Options of the compiler."""

from vosjax.inference import compilation


def test_unknown_compiler_options_are_left_out():
  """Options of XLA may be experimental and disappear."""
  assert compilation.supported_options({"xla_no_such_option": "1"}) == {}
  option = {"xla_cpu_enable_fast_math": False}
  assert compilation.supported_options(option) == option
