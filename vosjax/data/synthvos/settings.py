"""What the videos of SynthVOS show: the settings of procedural videos."""

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
    speed: factor on all motion, 0 to 100; 1 is tuned so that copying the first mask
      scores badly.
    object_size: factor on the radii of tracked objects, 0.01 to 10. A small frame needs
      larger ones for a stride-16 network to see as much of them as in a large frame.
    clutter: share of videos that may have background things and occluders, 0 to 1.
    kinds: what tracked objects may be, of `shapes.KINDS`.
    plain: share of videos in front of a bright wall, 0 to 1. A single frame then shows
      what is an object, without anything learnt from large datasets.
    distractors: number of things in each frame, 0 to 30, that look like objects but
      stay for a part of the video only; no single frame tells which they are.
    camouflage: chance that a tracked object has the background's colours, 0 to 1.
    variety: standard deviation, 0 to 2, of the logarithm of further factors, on the
      speed of a video and on the size of each tracked object.
    approach: chance that a tracked object comes near or moves away, so that its size
      changes by a factor of up to 4.
    turning: chance that a tracked object turns, which brings other surfaces and parts
      into view.
    thin: chance that a tracked object has jointed parts of a few pixels in width.
    twins: chance that a tracked object has a background thing of its looks beside it.
    passing: chance that something passes in front of a tracked object, or that the
      object leaves the frame.
    footage: share of videos with the flaws of real footage: a camera that shakes, long
      exposure, changing light and strong compression.
    subject: share of videos about one thing: it stays near the middle of the frame,
      further tracked objects are carried along with it, and background things are at
      rest.
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
  variety: float = 0.0
  approach: float = 0.0
  turning: float = 0.0
  thin: float = 0.0
  twins: float = 0.0
  passing: float = 0.0
  footage: float = 0.0
  subject: float = 0.0


# What networks are trained on that are to segment real video.
REAL = Settings(
  max_objects=3,
  void=0.0,
  speed=0.7,
  object_size=0.9,
  variety=0.5,
  approach=0.3,
  turning=0.4,
  thin=0.35,
  twins=0.35,
  passing=0.2,
  footage=0.5,
)
# What networks are trained on that are to find the primary object of real video.
PRIMARY = dataclasses.replace(
  REAL, max_objects=2, object_size=0.75, twins=0.1, subject=1.0
)
