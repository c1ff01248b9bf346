"""What the videos of SynthVOS show: the settings that training and scoring share."""

import dataclasses

from vosjax.data.synthvos import shapes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """The looks of procedural videos; their number, size and length come on top.

  `config.data.synthvos` mirrors these fields, see `vosjax.train.config`.

  Attributes:
    max_objects: largest number of tracked objects; ids are 1 to this at most.
    late_objects: chance that an object other than the first enters later.
    void: chance that a video marks mixed boundary pixels as void (255).
    speed: factor on all motion; 1 is tuned so that copying the first mask scores badly.
    object_size: factor on the radii of tracked objects. A small frame needs larger
      ones for a stride-16 network to see as much of them as in a large frame.
    clutter: share of videos that may have background things and occluders, 0 to 1.
    kinds: what tracked objects may be, of `shapes.KINDS`.
    plain: share of videos in front of a bright wall, 0 to 1. A single frame then shows
      what is an object, without anything learnt from large datasets.
    distractors: number of things in each frame that look like objects but stay for a
      part of the video only; no single frame tells which they are.
    camouflage: chance that a tracked object has the background's colours, 0 to 1.
  """

  max_objects: int = 5
  late_objects: float = 0.0
  void: float = 0.5
  speed: float = 1.0
  object_size: float = 1.0
  clutter: float = 1.0
  kinds: tuple[str, ...] = tuple(shapes.KINDS)
  plain: float = 0.0
  distractors: int = 0
  camouflage: float = shapes.CAMOUFLAGE
