"""Whether the masks of one video were read in the same way, and what is said of it."""

from collections.abc import Iterable, Mapping, Sequence

from vosjax.data.codecs.label_values import WHITE, Color, Interpretation
from vosjax.data.formats.folders import first_few
from vosjax.labels import VOID

_LISTED = 3  # names of files in a line
_REMEDY = "Save object ids with the same palette."
WHITE_IS_VOID = "white is 255, as in other masks of the video, and not object 1"


class Readings:
  """How the masks of one video were read.

  Attributes:
    notes: what was done to get ids, by the names of the masks it was done to.
    white: names of the masks whose white is object 1, whatever its value.
    color_doubt: why the masks show different objects under one id, or one object under
      different ids; "" if their colours agree.
  """

  def __init__(self) -> None:
    self.notes: dict[str, list[str]] = {}
    self.white: list[str] = []
    self.color_doubt = ""
    self._colors: dict[int, tuple[Color, str]] = {}
    self._ids: dict[Color, tuple[int, str]] = {}

  def add(self, name: str, mask: Interpretation) -> None:
    """Adds a mask."""
    if mask.note:
      self.notes.setdefault(mask.note, []).append(name)
    if mask.black_and_white:
      self.white.append(name)
      self._add_color(1, WHITE, name)
    for i, color in mask.table.items():
      known, first = self._colors.setdefault(i, (color, name))
      if known != color and not self.color_doubt:
        self.color_doubt = (
          f"id {i} is {known} in {first} but {color} in {name}, so it is unclear which "
          f"objects are the same. {_REMEDY}"
        )
      if i != VOID:
        self._add_color(i, color, name)

  def _add_color(self, i: int, color: Color, name: str) -> None:
    """Notes that an object has a colour, which no other one may have."""
    known, first = self._ids.setdefault(color, (i, name))
    if known != i and not self.color_doubt:
      self.color_doubt = (
        f"{color} is id {known} in {first} but {i} in {name}, so it is unclear which "
        f"objects are the same. {_REMEDY}"
      )

  def white_is_void(self, others: Iterable[tuple[str, Iterable[int]]]) -> bool:
    """Whether 255 is no object, as masks hold it beside ids.

    Args:
      others: see `doubt_white`.
    """
    return any(VOID in found and {*found} - {0, VOID} for _, found in others)

  def doubt_white(self, others: Iterable[tuple[str, Iterable[int]]]) -> str:
    """Says why white may be another object than 1; "" if all masks agree.

    Args:
      others: name and values of the masks that are not black and white.
    """
    for name, found in others if self.white else ():
      objects = sorted(set(found) - {0})
      if objects and objects != [1]:
        return (
          f"{self.white[0]} is black and white, but {name} holds the ids "
          f"{', '.join(map(str, objects))}, so it is unclear which object is white"
        )
    return ""


def describe(what: str, notes: Mapping[str, Sequence[str]]) -> list[str]:
  """One line per note, with the number of masks and some of their names.

  Args:
    what: what the masks are, in the singular, such as "prediction".
    notes: names of the masks by note.
  """
  return [
    f"{len(names)} {what}{'s' * (len(names) > 1)}: {note}: {first_few(names, _LISTED)}."
    for note, names in notes.items()
  ]
