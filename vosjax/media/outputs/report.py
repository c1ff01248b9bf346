"""report.html: how sure each object is over time, and the frames to look at."""

import base64
import html
import io
import pathlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageOps

from vosjax import files, viz
from vosjax.media.outputs import timeline
from vosjax.media.outputs.frame import SegmentedFrame
from vosjax.media.outputs.least_sure import LeastSure, key_of
from vosjax.media.outputs.records import Record, Recorder, describe
from vosjax.media.outputs.timeline import Doubt, Timeline

MAX_THUMBNAILS = 36  # only so many ranges of lost frames, the worst ones, get images
_THUMBNAIL = 480, 300  # width and height in pixels
_BEHIND = (32, 36, 42)  # colour of thumbnails outside of the frame
_CONTEXT = 0.6  # a thumbnail shows so much around the object, relative to its size

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2733; --faint: #5b6b7b;
        --line: #dde3ea; --doubt: #e07b00; --given: #1769c2; --card: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181d; --ink: #e4e9ee; --faint: #98a5b3; --line: #333c46;
          --doubt: #ffa940; --given: #6fb3ff; --card: #1d232a; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem;
       padding: 0 1rem; background: var(--paper); color: var(--ink); }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem;
     margin: 2.2rem 0 .4rem; } h3 { font-size: 1rem; margin: 1.4rem 0 .2rem; }
p { margin: .2rem 0; } .faint { color: var(--faint); }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px;
          margin-right: .45em; vertical-align: -.05em; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--faint); }
.grid { display: grid; gap: .9rem; margin-top: .6rem;
        grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
figure { margin: 0; background: var(--card); border-radius: 6px; overflow: hidden; }
figure img { display: block; width: 100%; }
figcaption { padding: .4rem .6rem; font-size: .85rem; }
"""

_LEGEND = (
  "<p class='faint'>The curve is the score, which says how sure the network is, from 0 "
  "to 1. <span class='swatch' style='background:var(--doubt)'></span>Probably lost. "
  "<span class='swatch' style='background:var(--given)'></span>A mask was given or "
  "found.</p>"
)


_ADVICE = (
  "If you see the object there and its mask is wrong, give the right mask of that "
  "frame as a correction: it repairs what follows."
)


class Report(Recorder):
  """Collects what report.html shows.

  Args:
    folder: of the results.
    parts: folder of what is kept until the end.
    start: number of the next frame; what is known of later ones is dropped.
    video_name: title of the page.
    prompts: ids of the objects in the mask of each given frame, by its number.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    parts: pathlib.Path,
    start: int,
    video_name: str,
    prompts: Mapping[int, Collection[int]],
  ):
    self._path, self._video_name = folder / "report.html", video_name
    self._prompts = prompts
    self._thumbnails = parts / "report"
    self._thumbnails.mkdir(exist_ok=True)
    super().__init__(parts / "report.jsonl", start)
    self._doubts: dict[int, Doubt] = {}  # of objects that are lost now
    self._is_flagged = False  # some object was lost in some frame
    self._least_sure = LeastSure()  # shown if no object ever is lost
    # By object, the least sure frame of the window: drawn when the next one begins.
    self._waiting: dict[int, tuple[Doubt, np.ndarray, np.ndarray]] = {}
    for index, record in enumerate(self.records):
      self._find_worst(index, record)
      self._least_sure.add(index, record, prompts.get(index, ()))

  def write(self, frame: SegmentedFrame) -> None:
    """Adds a frame."""
    record = describe(frame)
    self.records.append(record)
    for object_id, start in self._find_worst(frame.index, record):
      image = _crop(frame.image, frame.labels, object_id)
      self._thumbnail(start, object_id).write_bytes(image)
    given = self._prompts.get(frame.index, ())
    for doubt in self._least_sure.add(frame.index, record, given):
      before = self._waiting.get(doubt.object_id)
      if before and key_of(before[0]) != key_of(doubt):
        self._draw_least_sure(*before)
      self._waiting[doubt.object_id] = doubt, frame.image, frame.labels

  def checkpoint(self) -> None:
    for waiting in self._waiting.values():
      self._draw_least_sure(*waiting)
    self._waiting.clear()
    super().checkpoint()

  def finish(self) -> None:
    """Writes report.html."""
    page = self._page(timeline.collect(self.records, self._prompts))
    files.write_bytes(self._path, "\n".join(page).encode(errors="replace"))

  def _find_worst(self, index: int, record: Record) -> list[tuple[int, int]]:
    """Objects that are lost and less sure than in all lost frames just before.

    Returns:
      (object, first frame of the range of lost frames) of each.
    """
    scores = timeline.scores_of(record)
    lost = dict(zip(record["objects"], record["lost"] or ()))
    self._is_flagged |= any(lost.values())
    worst = []
    for object_id in [
      object_id for object_id in self._doubts if not lost.get(object_id)
    ]:
      del self._doubts[object_id]
    for object_id in [object_id for object_id, is_lost in lost.items() if is_lost]:
      doubt, score = self._doubts.get(object_id), scores[object_id]
      start = index if doubt is None else doubt.start
      if doubt is None or score < doubt.score:
        self._doubts[object_id] = Doubt(object_id, start, index, index, score)
        worst.append((object_id, start))
    return worst

  def _thumbnail(self, start: int, object_id: int) -> pathlib.Path:
    return self._thumbnails / f"{start:08d}-{object_id}.jpg"

  def _draw_least_sure(
    self, doubt: Doubt, image: np.ndarray, labels: np.ndarray
  ) -> None:
    if doubt in self._least_sure and not self._is_flagged:
      drawn = _crop(image, labels, doubt.object_id)
      self._least_sure_file(doubt).write_bytes(drawn)

  def _least_sure_file(self, doubt: Doubt) -> pathlib.Path:
    object_id, window = key_of(doubt)
    return self._thumbnails / f"least-sure-{window}-{object_id}.jpg"

  def _page(self, timelines: Sequence[Timeline]) -> Iterable[str]:
    title = html.escape(self._video_name)
    yield "<!doctype html><html lang='en'><meta charset='utf-8'>"
    yield "<meta name='viewport' content='width=device-width'>"
    yield f"<title>{title}: segmentation</title><style>{_STYLE}</style>"
    yield f"<h1>{title}</h1>"
    yield f"<p class='faint'>{_summary(timelines)}</p><h2>Objects over time</h2>"
    yield _LEGEND
    if not timelines:
      yield "<p>No object was found.</p>"
    for line in timelines:
      yield f"<h3>{_name(line.object_id)}</h3><p class='faint'>{line.describe()}</p>"
      yield timeline.draw(line)
    if self._is_flagged:
      yield from self._flagged_frames(timelines)
    else:
      yield from self._least_sure_frames(timelines)
    yield "</html>"

  def _flagged_frames(self, timelines: Sequence[Timeline]) -> Iterable[str]:
    doubts = [doubt for line in timelines for doubt in line.doubts]
    shown = sorted(doubts, key=lambda doubt: np.nan_to_num(doubt.score))
    shown = shown[:MAX_THUMBNAILS]
    some = ""
    if len(doubts) > len(shown):
      some = f", for the worst {len(shown)} of {len(doubts)}"
    yield (
      "<h2>Frames to look at</h2><p class='faint'>The least sure frame of each flagged "
      f"range{some}. {_ADVICE} If the object is not in the frame yet, or no longer, "
      "there is nothing to correct.</p>"
    )
    yield from _figures(
      timelines, shown, lambda doubt: self._thumbnail(doubt.start, doubt.object_id)
    )

  def _least_sure_frames(self, timelines: Sequence[Timeline]) -> Iterable[str]:
    """The frames with the lowest scores where none is flagged."""
    shown = self._least_sure.choose(timelines)
    if shown:
      yield (
        "<h2>The least sure frames</h2><p class='faint'>No object is flagged as "
        "probably lost in any frame. That does not prove that every mask is right: "
        f"here the scores are lowest. {_ADVICE}</p>"
      )
      yield from _figures(timelines, shown, self._least_sure_file)
    elif timelines:
      yield "<p>In no frame is an object flagged as probably lost.</p>"


def _summary(timelines: Sequence[Timeline]) -> str:
  if not timelines:
    return "No objects."
  frames = max(len(line.names) for line in timelines)
  flagged = sum(bool(line.doubts) for line in timelines)
  length = "1 frame" if frames == 1 else f"{frames:,} frames"
  if len(timelines) == 1:
    objects, share = "1 object", ""
  else:
    objects, share = f"{len(timelines)} objects", f"{flagged} of them "
  if not flagged:
    return f"{length}, {objects}, never flagged as probably lost."
  return f"{length}, {objects}, {share}flagged as probably lost in some frames."


def _figures(
  timelines: Sequence[Timeline],
  doubts: Sequence[Doubt],
  file_of: Callable[[Doubt], pathlib.Path],
) -> Iterable[str]:
  """Images of frames, in the order of the video."""
  lines = {line.object_id: line for line in timelines}
  yield "<div class='grid'>"
  for doubt in sorted(doubts, key=lambda doubt: (doubt.start, doubt.object_id)):
    yield _figure(doubt, lines[doubt.object_id], file_of(doubt).read_bytes())
  yield "</div>"


def _name(object_id: int) -> str:
  color = timeline.color(object_id)
  return f"<span class='swatch' style='background:{color}'></span>Object {object_id}"


def _figure(doubt: Doubt, line: Timeline, image: bytes) -> str:
  data = base64.b64encode(image).decode()
  names = [line.names[n] for n in (doubt.worst, doubt.start, doubt.end)]
  where, start, end = map(html.escape, names)
  details = [f"{line.times[doubt.worst]:.2f} s"]
  if not np.isnan(doubt.score):
    details.append(f"score {doubt.score:.2f}")
  if doubt.end > doubt.start:
    details.append(f"flagged {start} to {end}")
  present = np.flatnonzero(line.area > 0)  # NaN is not
  if not len(present) or doubt.end < present[0]:
    details.append("not found up to here")
  elif doubt.start > present[-1]:
    details.append("not found from here on")
  return (
    f"<figure><img alt='' src='data:image/jpeg;base64,{data}'><figcaption>"
    f"{_name(doubt.object_id)}, frame {where}<br><span class='faint'>"
    f"{', '.join(details)}</span></figcaption></figure>"
  )


def _crop(frame: np.ndarray, labels: np.ndarray, object_id: int) -> bytes:
  """A JPEG of the overlay around an object; of all of it if the object is gone."""
  image = Image.fromarray(viz.overlay(frame, labels))
  mask = labels == object_id
  if mask.any():
    image = image.crop(_window(mask))
  buffer = io.BytesIO()
  ImageOps.pad(image, _THUMBNAIL, color=_BEHIND).save(buffer, "JPEG", quality=80)
  return buffer.getvalue()


def _window(mask: np.ndarray) -> tuple[int, int, int, int]:
  """A rectangle of the thumbnail's shape around an object, inside of the frame."""
  rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
  height = (rows[-1] - rows[0] + 1) * (1 + _CONTEXT)
  width = (columns[-1] - columns[0] + 1) * (1 + _CONTEXT)
  aspect = _THUMBNAIL[0] / _THUMBNAIL[1]
  height = max(height, width / aspect, mask.shape[0] / 3)
  width = height * aspect

  def span(middle: float, length: float, limit: int) -> tuple[int, int]:
    length = min(round(length), limit)
    first = min(max(0, round(middle - length / 2)), limit - length)
    return first, first + length

  top, bottom = span((rows[0] + rows[-1]) / 2, height, mask.shape[0])
  left, right = span((columns[0] + columns[-1]) / 2, width, mask.shape[1])
  return left, top, right, bottom
