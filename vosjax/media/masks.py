"""Reads the masks that go with a video, and says what is in them."""

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from vosjax.data.codecs import images, label_images, label_values, usual_palettes
from vosjax.data.codecs.label_values import Color, Interpretation
from vosjax.data.label_agreement import Readings
from vosjax.labels import VOID, find_ids
from vosjax.media.mask_files import MaskFile, find_masks, short_name

_CHECKED = 200  # masks whose pixels are checked before any work starts
_LISTED = 10  # masks that are described one by one
_NEARLY_WHITE = 230  # what lossy compression leaves of 255
_SURROUNDS = 0.9  # of the border, which background covers in nearly every mask
_INVERTED = "the object surrounds the rest: if the rest is the object, invert the mask"
_VOID_IS_IGNORED = "255 is void, which is ignored; give an object an id from 1 to 254"
_MUCH_VOID = 0.01  # of all pixels


@dataclasses.dataclass(frozen=True)
class VideoMasks:
  """Masks of some frames of a video, which are checked at once and read on demand.

  Attributes:
    name: path of the file or folder, for error messages.
    frame_names: names of the video's frames.
    size: (height, width) of the frames.
    files: of each frame that has a mask; several hold an object each, and where they
      overlap, later ones are on top.
    notes: what was done to find and read the masks, one line each, for the user.
    warnings: what may be wrong with the masks, one line each.
    counts: pixels by id, of each mask that was checked.
    numbers: ids by colour, where colours of no usual palette tell objects.
    white: an id from 230 on is white with noise, and means object 1.
    only_white: no mask holds any id but 255, which then means object 1.
  """

  name: str
  frame_names: tuple[str, ...]
  size: tuple[int, int]
  files: Mapping[int, tuple[MaskFile, ...]]
  notes: tuple[str, ...] = ()
  warnings: tuple[str, ...] = ()
  counts: Mapping[int, Mapping[int, int]] = dataclasses.field(default_factory=dict)
  numbers: Mapping[Color, int] | None = None
  white: bool = False
  only_white: bool = False

  def __len__(self) -> int:
    """Number of frames, with and without a mask."""
    return len(self.frame_names)

  @property
  def frames(self) -> tuple[int, ...]:
    """Indices of the frames that have a mask, in ascending order."""
    return tuple(sorted(self.files))

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    """Object ids of one frame; None if it has no mask.

    Raises:
      ValueError: a file is no mask of the video's size, or one that was not checked is
        black and white although others hold ids.
    """
    if index not in self.files:
      return None
    frame = _read_frame(self, index)
    if index not in self.counts and frame.black_and_white:
      self._require_white_is_1(index)
    labels = frame.labels
    if self.white:
      labels[(labels >= _NEARLY_WHITE) & (labels < VOID)] = 1
    if self.only_white:
      labels[labels == VOID] = 1
    return labels

  def _require_white_is_1(self, index: int) -> None:
    """Refuses a mask in black and white among masks of several ids."""
    known = {i for count in self.counts.values() for i in count} - {0, 1}
    if known and self.files[index][0].object_id is None:
      raise ValueError(
        f"{self.name}: {self.file_name(index)} is black and white, but other masks "
        f"hold the ids {_join(sorted(known))}, so it is unclear which object is white. "
        "Save ids in all masks."
      )

  def describe(self) -> str:
    """The objects of each mask with their share of pixels, and the notes, as lines."""
    listed = list(self.counts)[:_LISTED]
    lines = [f"{self.file_name(t)}: {_shares(self.counts[t])}" for t in listed]
    if (more := len(self.files) - len(listed)) > 0:
      ids = sorted({i for count in self.counts.values() for i in count} - {0, VOID})
      lines.append(f"and {more} more masks; objects: {_join(ids) or 'none'}")
    return "\n".join([*lines, *self.notes])

  def file_name(self, index: int) -> str:
    """Name of the file, or names of the files, with the mask of a frame."""
    paths = [file.path for file in self.files[index]]
    return " + ".join(short_name(path, paths) for path in paths)


@dataclasses.dataclass
class _Frame:
  """The mask of one frame, from one or several files.

  Attributes:
    labels: object ids.
    notes: of each file that has one.
    black_and_white: white is object 1, whatever its value.
    table: colours of the ids, see `label_values.Interpretation`.
    overlap: pixels that several objects claim.
  """

  labels: UInt8[np.ndarray, "h w"]
  notes: list[str] = dataclasses.field(default_factory=list)
  black_and_white: bool = False
  table: Mapping[int, Color] = dataclasses.field(default_factory=dict)
  overlap: int = 0


def read_masks(
  paths: pathlib.Path | Sequence[pathlib.Path],
  frame_names: Sequence[str],
  size: tuple[int, int],
  *,
  colors: bool = False,
  lost_first: str = "",
  numbered: bool = False,
) -> VideoMasks:
  """Finds the masks of a video, and checks that they fit it.

  Args:
    paths: a file, which belongs to the frame that it is named after or else to the
      first one; a folder of files that are named after frames, or of one such folder
      per object; or several files or folders, each with one object, which becomes
      object 1, 2 and so on. Several files named after frames belong to those.
    frame_names: of all frames, in order.
    size: (height, width) of the frames.
    colors: make one object of each colour, where colours are of no usual palette.
    lost_first: name of the first frame if it is left out, see `VideoFrames`; a mask
      that would belong to the first frame by default is refused then.
    numbered: frames are those of a file, whose names count from 0; masks that seem to
      count from 1 are warned of.

  Raises:
    OSError: a file cannot be opened.
    ValueError: there is no mask, one belongs to no frame for sure, differs from the
      frames in size, or shows no objects that can be told for sure.
  """
  paths = [paths] if isinstance(paths, pathlib.Path) else list(paths)
  found = find_masks(paths, frame_names, lost_first, numbered)
  masks = VideoMasks(
    ", ".join(map(str, paths)),
    tuple(frame_names),
    size,
    found.files,
    found.notes,
    found.warnings,
  )
  if colors:
    masks = dataclasses.replace(masks, numbers=_number_colors(masks))
  try:
    return _check(masks)
  except usual_palettes.UnknownColorsError as error:
    raise ValueError(f"{error} Or use --colors to make one object a colour.") from None


def _number_colors(masks: VideoMasks) -> dict[Color, int] | None:
  """Ids of the colours of all masks; None if all masks hold gray values or ids."""
  border: Counter[Color] = Counter()
  coloured = False
  for files in masks.files.values():
    for file in files:
      found = label_images.count_border_colors(file.path.read_bytes(), str(file.path))
      border.update(found[0])
      coloured |= found[1]
  if not coloured:
    return None
  try:
    return usual_palettes.number_colors(border)
  except ValueError as error:
    raise ValueError(f"{masks.name}: {error}") from None


def _check(masks: VideoMasks) -> VideoMasks:
  """Decodes all masks, but of a long video only some, and the headers of others."""
  step = -(-len(masks.files) // _CHECKED)
  checked, others = masks.frames[::step], set(masks.frames) - set(masks.frames[::step])
  for t in sorted(others):
    for file in masks.files[t]:
      _check_header(file.path, masks.size)
  counts: dict[int, dict[int, int]] = {}
  notes: Counter[str] = Counter()
  inverted, overlap = 0, 0
  readings = Readings()
  white = set()
  for t in checked:
    frame = _read_frame(masks, t)
    count = np.bincount(frame.labels.reshape(-1), minlength=256)
    counts[t] = {i: int(count[i]) for i in np.flatnonzero(count).tolist()}
    notes.update(set(frame.notes))
    overlap += frame.overlap
    inverted += _surrounds(frame.labels)
    if frame.black_and_white:
      white.add(t)
    mask = Interpretation(frame.labels, "", frame.black_and_white, frame.table)
    readings.add(masks.file_name(t), mask)
  if readings.color_doubt:
    raise usual_palettes.UnknownColorsError(f"{masks.name}: {readings.color_doubt}")
  masks = _agree(dataclasses.replace(masks, counts=counts), white, readings)
  if not others and {i for count in counts.values() for i in count} == {0, VOID}:
    counts = {
      t: {min(i, 1): n for i, n in count.items()} for t, count in counts.items()
    }
    masks = dataclasses.replace(masks, counts=counts, only_white=True)
    notes["255, the only id besides the background, is object 1"] = len(checked)

  def counted(note: str, number: int) -> str:
    return note + (f" ({number} of {len(checked)} masks)" if len(checked) > 1 else "")

  lines = [*masks.notes, *(counted(note, number) for note, number in notes.items())]
  lines += _summary_notes(masks, overlap, len(others))
  warnings = [*masks.warnings]
  if inverted:
    warnings.append(f"{masks.name}: {counted(_INVERTED, inverted)}")
  if _has_much_void(masks):
    warnings.append(f"{masks.name}: {_VOID_IS_IGNORED}")
  return dataclasses.replace(masks, notes=tuple(lines), warnings=tuple(warnings))


def _summary_notes(masks: VideoMasks, overlap: int, unchecked: int) -> Iterable[str]:
  """Notes on all masks together."""
  if masks.numbers is not None:
    listed = sorted((i, color) for color, i in masks.numbers.items() if i)
    yield "objects by colour: " + ", ".join(f"{i} is {color}" for i, color in listed)
  if overlap:
    objects = sum(
      number
      for count in masks.counts.values()
      for i, number in count.items()
      if i not in (0, VOID)
    )
    share = 100 * overlap / objects
    yield f"objects overlap in {share:.1f} % of their pixels: later ones are on top"
  if unchecked:
    yield f"the pixels of {unchecked} masks are checked when their turn comes"


def _has_much_void(masks: VideoMasks) -> bool:
  void = sum(count.get(VOID, 0) for count in masks.counts.values())
  return void > _MUCH_VOID * sum(sum(count.values()) for count in masks.counts.values())


def _surrounds(labels: UInt8[np.ndarray, "h w"]) -> bool:
  """Whether one object covers nearly all of the border, but not all of the image."""
  border = label_values.get_border(labels)
  first = border[0]
  alone = first not in (0, VOID) and np.isin(labels, (0, first)).all()
  return bool(alone and (border == first).mean() > _SURROUNDS and (labels == 0).any())


def _agree(masks: VideoMasks, white: set[int], readings: Readings) -> VideoMasks:
  """Requires that white means the same in all masks that hold all objects of a frame.

  Args:
    masks: with the pixels of each id.
    white: frames whose masks are black and white.
    readings: of all masks.
  """
  if not white or any(masks.files[t][0].object_id is not None for t in white):
    return masks
  counts = dict(masks.counts)
  for t in set(counts) - white:
    ids = sorted(set(counts[t]) - {0, VOID})
    if len(ids) == 1 and ids[0] >= _NEARLY_WHITE:
      counts[t] = {1 if i == ids[0] else i: n for i, n in counts[t].items()}
  others = [(masks.file_name(t), counts[t]) for t in sorted(set(counts) - white)]
  if reason := readings.doubt_white(others):
    raise ValueError(f"{masks.name}: {reason}. Save ids in all masks.")
  return dataclasses.replace(masks, counts=counts, white=counts != masks.counts)


def _read_frame(masks: VideoMasks, index: int) -> _Frame:
  """Decodes the files of a frame."""
  frame = _Frame(np.zeros(masks.size, np.uint8))
  for file in masks.files[index]:
    mask = label_images.read_mask(file.path, masks.numbers)
    _check_size(mask.labels.shape, masks.size, file.path)
    frame.notes += [mask.note] if mask.note else []
    frame.black_and_white |= mask.black_and_white
    if file.object_id is None:
      return dataclasses.replace(frame, labels=np.array(mask.labels), table=mask.table)
    ids = find_ids(mask.labels)
    if len(ids) > 1:
      raise ValueError(
        f"{file.path}: holds the objects {_join(ids)}, but where each object has a "
        "file of its own, a file must show one. Give one file with all objects."
      )
    inside = mask.labels == (ids[0] if ids else VOID)
    frame.overlap += int(np.count_nonzero(frame.labels[inside]))
    frame.labels[inside] = file.object_id
  return frame


def _check_header(path: pathlib.Path, size: tuple[int, int]) -> None:
  """Checks the size of a mask; one that is stored sideways is checked when read."""
  if path.suffix.lower() != label_images.NUMPY_SUFFIX:
    found = images.image_size(path)
    if found != size[::-1]:
      _check_size(found, size, path)


def _check_size(found: Sequence[int], size: Sequence[int], path: pathlib.Path) -> None:
  if tuple(found) != tuple(size):
    raise ValueError(
      f"{path}: the mask is {found[1]}x{found[0]}, but the video's first frame is "
      f"{size[1]}x{size[0]}. Export it at the size of the video, or resize it with "
      "nearest neighbour."
    )


def _shares(counts: Mapping[int, int]) -> str:
  """The objects of a mask with their share of pixels."""
  percent = {i: 100 * number / sum(counts.values()) for i, number in counts.items()}
  objects = [f"{i} ({percent[i]:.1f} %)" for i in sorted(percent) if i not in (0, VOID)]
  word = "object" if len(objects) == 1 else "objects"
  listed = f"{word} {', '.join(objects)}" if objects else "no object"
  return f"{listed}; void {percent.get(VOID, 0):.1f} %"


def _join(ids: Iterable[int]) -> str:
  return ", ".join(map(str, ids))
