"""What the page shows of the objects of a project."""

import dataclasses
import re
from typing import Any

from vosjax.viz.colors import bright_palette

MAX_ID = 254
_MAX_NAME = 60  # characters of an object's name


@dataclasses.dataclass
class ObjectInfo:
  """What the page shows of an object.

  Attributes:
    id: its value in label maps.
    name: free text.
    color: "#rrggbb".
    hidden: whether the page leaves it out.
    locked: whether everything that changes masks leaves it alone, except following.
  """

  id: int
  name: str
  color: str
  hidden: bool = False
  locked: bool = False

  @classmethod
  def new(cls, object_id: int) -> "ObjectInfo":
    """An object as it is when it is first painted."""
    return cls(object_id, f"Object {object_id}", default_colors()[object_id])

  @classmethod
  def from_json(cls, value: Any) -> "ObjectInfo":
    """Checks what the page sent.

    Raises:
      ValueError: it does not describe an object.
    """
    try:
      found = cls(**value)
    except TypeError:
      raise ValueError(f"an object is {value!r}; expected id, name, color.") from None
    number = type(found.id) is int and 1 <= found.id <= MAX_ID  # True is none
    color = isinstance(found.color, str) and _is_color(found.color)
    name = isinstance(found.name, str) and _is_name(found.name)
    flags = isinstance(found.hidden, bool) and isinstance(found.locked, bool)
    if not (number and color and name and flags):
      raise ValueError(
        f"an object is {value!r}; expected an id from 1 to {MAX_ID}, a name of at most "
        f"{_MAX_NAME} characters and a color like #1f2e3d."
      )
    return found


def default_colors() -> list[str]:
  """Colour of each id until the user chooses another, as in overlay videos."""
  return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in bright_palette()]


def _is_name(text: str) -> bool:
  try:
    text.encode()
  except UnicodeEncodeError:  # half a character
    return False
  return len(text) <= _MAX_NAME


def _is_color(text: str) -> bool:
  return re.fullmatch("#[0-9a-f]{6}", text) is not None
