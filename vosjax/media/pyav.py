"""PyAV, the optional library that reads and writes video files."""

from typing import Any


def load_pyav(needed_for: str, alternative: str = "") -> Any:
  """Imports PyAV.

  Args:
    needed_for: what cannot be done without it, for the message.
    alternative: what the user can do instead, as a clause; "" if nothing.

  Raises:
    ValueError: PyAV is not installed; says how to install it.
  """
  try:
    import av
  except ImportError as error:
    raise ValueError(
      f'{needed_for} need PyAV. Run `pip install "vosjax[video]"`{alternative}.'
    ) from error
  return av
