"""Evaluation report: curves over time, and the worst and best frame of each video."""

import base64
import concurrent.futures
import functools
import html
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vosjax import metrics, viz
from vosjax.data.codecs import images, label_images
from vosjax.evaluation import first_frame_matching
from vosjax.evaluation.mask_files import MaskFiles
from vosjax.evaluation.protocols import Protocol
from vosjax.evaluation.results import Result, Row
from vosjax.evaluation.scored_video import ScoredVideo
from vosjax.labels import VOID

MAX_ILLUSTRATED = 30  # only so many videos, the worst ones, get images in the page
_CELL_WIDTH = 420
_FRAME_FOLDER = "JPEGImages"
_MARGIN, _WIDTH, _HEIGHT = 34, 640, 150
_LEGEND_COLUMNS, _LEGEND_LINE = 5, 16
_LINE_BRIGHTNESS = 0.9  # overlay colours are too bright for thin lines on white

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem;
       padding: 0 1rem; color: #1c2733; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .4rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .15rem .7rem; text-align: right; border-bottom: 1px solid #e3e8ee; }
td:first-child, th:first-child { text-align: left; }
img { max-width: 100%; border-radius: 4px; } figure { margin: .6rem 0; }
figcaption { color: #5b6b7b; font-size: .85rem; } svg { max-width: 100%; }
"""


def curves_svg(rows: Sequence[Row]) -> str:
  """A standalone SVG with J over time of the objects of one video."""
  legend = -(-len(rows) // _LEGEND_COLUMNS) * _LEGEND_LINE
  height, width = _HEIGHT + 2 * _MARGIN + legend, _WIDTH + 2 * _MARGIN
  parts = [
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
    f'width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
    f'<rect width="{width}" height="{height}" fill="white"/>',
    f'<text x="{_MARGIN}" y="18" font-size="13">'
    f"{html.escape(rows[0].video)}: J over time</text>",
  ]
  for level in (0.0, 0.5, 1.0):
    y = _MARGIN + _HEIGHT * (1 - level)
    parts.append(
      f'<line x1="{_MARGIN}" x2="{_MARGIN + _WIDTH}" y1="{y}" y2="{y}" '
      f'stroke="#dde3ea"/><text x="{_MARGIN - 6}" y="{y + 4}" text-anchor="end">'
      f"{level:.1f}</text>"
    )
  names = sorted({name for row in rows for name in row.frames})
  position = {
    name: _MARGIN + _WIDTH * t / max(1, len(names) - 1) for t, name in enumerate(names)
  }
  step = max(1, (len(names) - 1) // 4)
  for name in names[::step]:
    parts.append(
      f'<text x="{position[name]}" y="{_MARGIN + _HEIGHT + 18}" '
      f'text-anchor="middle">{html.escape(name)}</text>'
    )
  for number, row in enumerate(rows):
    parts += [_line(row, position), _legend(row, number)]
  return "\n".join([*parts, "</svg>\n"])


def report_html(
  result: Result,
  videos: Iterable[MaskFiles],
  *,
  title: str,
  protocol: Protocol,
  root: Path | None,
  match_first: bool = False,
  workers: int = 1,
) -> str:
  """A self-contained HTML page.

  Args:
    result: what `evaluate_files` returned for the videos.
    videos: label files of the videos, for images.
    title: heading of the page.
    protocol: what the videos were scored with.
    root: folder of the dataset; frames are read from its `JPEGImages`. None: none.
    match_first: as passed to `evaluate_files`.
    workers: number of threads that draw images.
  """
  rows: dict[str, list[Row]] = {}
  for row in result.rows:
    rows.setdefault(row.video, []).append(row)
  worst = sorted(rows, key=lambda name: _mean_j(rows[name]))[:MAX_ILLUSTRATED]
  parts = [
    "<!doctype html><html lang='en'><meta charset='utf-8'>",
    f"<title>{html.escape(title)}</title><style>{_STYLE}</style>",
    f"<h1>{html.escape(title)}</h1>",
    f"<p>Scored: {html.escape(result.description)}. All numbers in percent.</p>",
    _table(list(result.summary), [[_percent(v) for v in result.summary.values()]]),
    "<h2>All rows</h2>",
    _all_rows(result.rows),
  ]
  if len(rows) > MAX_ILLUSTRATED:
    parts.append(
      f"<p>Images below: the {MAX_ILLUSTRATED} videos with the lowest J.</p>"
    )

  def illustrate(files: MaskFiles) -> list[str]:
    own = rows[files.name]
    heading = f"<h2>{html.escape(files.name)}</h2>"
    masks = _mask_reader(files, own, protocol, match_first)
    return [heading, curves_svg(own), *_extremes(own, files, root, masks)]

  # Threads, because decoding and drawing release Python's global lock.
  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    for section in pool.map(illustrate, (v for v in videos if v.name in worst)):
      parts += section
  return "\n".join(parts) + "</html>\n"


Masks = tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]  # truth, prediction


def _mask_reader(
  files: MaskFiles, rows: Sequence[Row], protocol: Protocol, match_first: bool
) -> Callable[[int], Masks]:
  """A function from frame index to its masks as they were scored.

  Predicted ids that were not matched to an object become background.
  """
  object_of = np.zeros(256, np.uint8)
  for row in rows:
    object_of[row.predicted_id] = row.object_id or 0

  @functools.cache
  def whole() -> ScoredVideo:
    video, problems, *_ = files.load(slice(None) if match_first else protocol.scored)
    assert video is not None, problems  # it was scored, so its files are readable
    if match_first:
      return first_frame_matching.match_first_frame(video)
    return protocol.interpret(video)

  def read(t: int) -> Masks:
    if match_first:
      return whole().truth[t], whole().prediction[t]
    masks = [
      label_images.read_mask(path[t]) for path in (files.truth, files.prediction)
    ]
    truth, prediction = (mask.labels for mask in masks)
    if rows[0].object_id is None:
      return np.minimum(truth, 1), np.minimum(prediction, 1)
    if any(mask.black_and_white or (mask.labels == VOID).any() for mask in masks):
      # What white means depends on the other frames.
      truth, prediction = whole().truth[t], whole().prediction[t]
    return truth, object_of[prediction]

  return read


def _extremes(
  rows: Sequence[Row],
  files: MaskFiles,
  root: Path | None,
  masks: Callable[[int], Masks],
) -> list[str]:
  """HTML figures of the worst and of the best frame of a video."""
  scores: dict[str, list[float]] = {}
  for row in rows:
    for name, j, f in zip(row.frames, row.region, row.contour):
      scores.setdefault(name, []).append((j + f) / 2)
  means = {name: float(np.mean(values)) for name, values in scores.items()}
  figures = []
  for title, choose in (("Worst", min), ("Best", max)):
    name = choose(means, key=means.__getitem__)
    t = files.frames.index(name)
    truth, predicted = masks(t)
    frame = _frame(root, files, t, truth.shape)
    # Drawing at the size of the page takes a quarter of the time.
    frame, truth, predicted = map(_thumbnail, (frame, truth, predicted))
    comparison = viz.side_by_side(
      [viz.overlay(frame, predicted), viz.overlay(frame, truth)],
      captions=["prediction", "truth"],
      cell_width=_CELL_WIDTH,
    )
    figures.append(
      f"<figure><img alt='' src='{_data_url(comparison)}'><figcaption>{title}: frame "
      f"{html.escape(name)}, J&amp;F {_percent(means[name])}</figcaption></figure>"
    )
  return figures


def _thumbnail(image: np.ndarray) -> np.ndarray:
  """An image or labels at most as wide as a cell; labels keep their ids."""
  height, width = image.shape[:2]
  if width <= _CELL_WIDTH:
    return image
  size = _CELL_WIDTH, max(1, round(height * _CELL_WIDTH / width))
  method = Image.Resampling.NEAREST if image.ndim == 2 else Image.Resampling.BILINEAR
  return np.asarray(Image.fromarray(image).resize(size, method))


def _frame(
  root: Path | None, files: MaskFiles, t: int, shape: tuple[int, ...]
) -> UInt8[np.ndarray, "h w 3"]:
  """The video frame of an annotation; plain gray if the dataset lacks it."""
  if root is not None:
    parts = files.truth[t].relative_to(root).parts[1:]
    for suffix in (".jpg", ".jpeg", ".png"):
      path = root.joinpath(_FRAME_FOLDER, *parts).with_suffix(suffix)
      if path.is_file() and images.image_size(path) == shape:
        return images.read_image(path)
  return np.full((*shape, 3), 90, np.uint8)


def _line(row: Row, position: Mapping[str, float]) -> str:
  """The curve of one row; `position` maps frame names to x."""
  points = " ".join(
    f"{position[name]:.1f},{_MARGIN + _HEIGHT * (1 - j):.1f}"
    for name, j in zip(row.frames, row.region)
  )
  return (
    f'<polyline fill="none" stroke="{_color(row)}" stroke-width="1.8" '
    f'stroke-linejoin="round" points="{points}">'
    f"<title>{html.escape(row.name)}: J {_percent(row.j.mean)}</title></polyline>"
  )


def _legend(row: Row, number: int) -> str:
  """The legend entry of one row, below the frame names."""
  line, column = divmod(number, _LEGEND_COLUMNS)
  x = _MARGIN + column * _WIDTH / _LEGEND_COLUMNS
  y = _MARGIN + _HEIGHT + 36 + line * _LEGEND_LINE
  label = "all objects" if row.object_id is None else f"object {row.object_id}"
  text = html.escape(" ".join(filter(None, (label, row.category))))
  return (
    f'<rect x="{x}" y="{y - 7}" width="14" height="4" fill="{_color(row)}"/>'
    f'<text x="{x + 19}" y="{y}">{text}: {_percent(row.j.mean)}</text>'
  )


def _color(row: Row) -> str:
  """The colour of the object in the overlays, darkened."""
  red, green, blue = viz.bright_palette()[row.object_id or 1] * _LINE_BRIGHTNESS
  return f"#{int(red):02x}{int(green):02x}{int(blue):02x}"


def _all_rows(rows: Sequence[Row]) -> str:
  """The table of all rows, with a column for T if it was measured."""
  heads = ["", "J mean", "J recall", "J decay", "F mean", "F recall", "F decay"]
  cells = [[row.name, *map(_percent, (*row.j, *row.f))] for row in rows]
  if not all(math.isnan(row.stability) for row in rows):
    heads.append("T")
    for row, line in zip(rows, cells):
      line.append(_percent(row.stability))
  return _table(heads, cells)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
  body = "".join(
    f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
    for row in rows
  )
  return f"<table><tr>{head}</tr>{body}</table>"


def _percent(value: float) -> str:
  if math.isnan(value):
    return "–"
  return f"{round(100 * value, 1) + 0.0:.1f}"  # + 0.0 turns -0.0 into 0.0


def _mean_j(rows: Sequence[Row]) -> float:
  return metrics.nan_mean(np.array([row.j.mean for row in rows]))


def _data_url(image: UInt8[np.ndarray, "h w 3"]) -> str:
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, "JPEG", quality=82)
  return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
