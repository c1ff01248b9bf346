"""J and F of a model on whole videos, in the way in which it will be used."""

import functools
import io
import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from vosjax import files, viz
from vosjax.data.video import VOID, Video
from vosjax.evaluation.prompts import object_prompts
from vosjax.evaluation.results import CSV_COLUMNS, Result, average
from vosjax.evaluation.scored_video import ScoredVideo
from vosjax.inference.engine import VideoSegmenter
from vosjax.media.write import video_writer
from vosjax.train.recipe import Baselines, Segment
from vosjax.types import Variables

FILM_RATE = 12.0  # frames per second

Predicted = UInt8[np.ndarray, "t h w"]


def model_segment(
  model: nn.Module, variables: Variables, *, late: bool = False, **options: Any
) -> Segment:
  """Segments videos of which objects are given.

  Frames before the first object are background, and the model does not see them.

  Args:
    model: a one-shot model.
    variables: its variables.
    late: see `object_prompts`.
    **options: see `VideoSegmenter`.
  """
  segmenter = VideoSegmenter(model, jax.device_get(variables), **options)

  def segment(video):
    results = segmenter.run(video, object_prompts(video, late=late))
    return (result.labels for result in results)

  return segment


def copy_first_mask(
  video: Video, *, late: bool = False
) -> Iterator[UInt8[np.ndarray, "h w"]]:
  """The baseline that leaves each object where it was given, see `object_prompts`."""
  shown = np.zeros(video.frame(0).shape[:2], np.uint8)
  for given in object_prompts(video, late=late):
    if given is not None:
      shown = np.where((given == 0) | (given == VOID), shown, given)
    yield shown


def first_mask_baseline(late: bool) -> Baselines:
  """What one-shot models are compared with: `copy_first_mask`."""

  def baselines(model, variables):
    del model, variables
    return {"copy the first mask": functools.partial(copy_first_mask, late=late)}

  return baselines


def whole(segmented: Iterable[Integer[np.ndarray, "h w"]]) -> Predicted:
  """The label maps of one video in one array."""
  return np.stack([labels.astype(np.uint8) for labels in segmented])


def annotated(predicted: Predicted, video: Video) -> ScoredVideo:
  """What is scored of a video: its annotated frames.

  Raises:
    ValueError: there are none.
  """
  truth = {t: video.labels(t) for t in range(len(video))}
  kept = [t for t, labels in truth.items() if labels is not None]
  if not kept:
    raise ValueError(
      f"{video.name}: no frame is annotated, so that nothing can be scored. To write "
      "predictions alone, give --config.mode=predict."
    )
  return ScoredVideo(
    video.name,
    predicted[kept],
    np.stack([truth[t] for t in kept]),
    tuple(video.frame_names[t] for t in kept),
    video.categories,
  )


def write_scores(
  folder: pathlib.Path,
  results: Mapping[str, Result],
  measures: Mapping[str, Mapping[str, float]],
) -> None:
  """Writes the first result's CSVs, and all averages and measures in summary.json."""
  folder.mkdir(exist_ok=True)
  ours = next(iter(results.values()))
  summary = {
    name: {
      key: None if np.isnan(value) else value  # JSON knows no NaN
      for key, value in {**result.summary, **measures[name]}.items()
    }
    for name, result in results.items()
  }
  for name, text in {
    "per-sequence_results.csv": ours.rows_csv(),
    "global_results.csv": ours.global_csv(),
    "results.json": ours.to_json(),
    "summary.json": json.dumps(summary, indent=2) + "\n",
  }.items():
    files.write_bytes(folder / name, text.encode())


def table(
  results: Mapping[str, Result], measures: Mapping[str, Mapping[str, float]]
) -> str:
  """Means over rows and further measures, then the first result's own numbers."""
  width = max(map(len, results))
  further = next(iter(measures.values()))
  heads = ("J&F", "J", "recall", "decay", "F", "recall", "decay", *further)
  widths = [max(8, len(head) + 2) for head in heads]
  lines = [" " * width + "".join(f"{h:>{w}}" for h, w in zip(heads, widths))]
  for name, result in results.items():
    values = [f"{100 * value:.1f}" for value in average(result.rows).values()]
    values += [f"{value:.3f}" for value in measures[name].values()]
    cells = "".join(f"{v:>{w}}" for v, w in zip(values, widths))
    lines.append(f"{name:{width}}{cells}")
  name, ours = next(iter(results.items()))
  own = {k: value for k, value in ours.summary.items() if k not in CSV_COLUMNS}
  if not np.isnan([*own.values()]).all():
    shown = (f"{k} {'-' if np.isnan(v) else f'{100 * v:.1f}'}" for k, v in own.items())
    lines.append(f"{name}, {ours.protocol}: {', '.join(shown)}")
  return "\n".join(lines)


def preview(
  predicted: Predicted, video: Video, columns: int = 5
) -> UInt8[np.ndarray, "_ _ 3"]:
  """Some annotated frames, the truth in the upper row, the prediction in the lower."""
  known = [t for t in range(len(video)) if video.labels(t) is not None]
  places = np.unique(np.linspace(0, len(known) - 1, columns).round().astype(int))
  steps = [known[place] for place in places]
  frames = [video.frame(t) for t in steps]
  truth = [_without_void(video.labels(t)) for t in steps]
  return viz.contact_sheet(
    [
      [viz.overlay(frame, labels) for frame, labels in zip(frames, truth)],
      [viz.overlay(frame, predicted[t]) for frame, t in zip(frames, steps)],
    ],
    captions=[f"frame {t}" for t in steps],
    row_captions=("truth", "prediction"),
    cell_width=max(200, frames[0].shape[1]),
  )


def write_preview(folder: pathlib.Path, predicted: Predicted, video: Video) -> None:
  """A picture, and a film of the prediction over the frames."""
  path = folder / video.name
  path.parent.mkdir(parents=True, exist_ok=True)
  write_picture(path.with_name(f"{path.name}.png"), preview(predicted, video))
  film = path.with_name(f"{path.name}.mp4")
  with video_writer(film, predicted.shape[1:], FILM_RATE) as write:
    for t, labels in enumerate(predicted):
      write(viz.overlay(video.frame(t), labels))


def write_picture(path: pathlib.Path, picture: UInt8[np.ndarray, "_ _ 3"]) -> None:
  """Writes a PNG, whole or not at all."""
  buffer = io.BytesIO()
  Image.fromarray(picture).save(buffer, "PNG")
  files.write_bytes(path, buffer.getvalue())


def _without_void(labels):
  return np.where(labels == VOID, 0, labels)
