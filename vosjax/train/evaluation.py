"""J and F of a model on whole videos, in the way in which it will be used."""

import io
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vosjax import viz
from vosjax.data.sources import VOID, Video
from vosjax.inference import export, protocols
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.evaluate import evaluate
from vosjax.inference.results import CSV_COLUMNS, Result
from vosjax.train.recipe import Predicted, Segment
from vosjax.types import Variables

FILM_RATE = 12.0  # frames per second


def model_segment(model: nn.Module, variables: Variables, **options: Any) -> Segment:
  """Segments videos from their first frame's labels; see VideoSegmenter."""
  segmenter = VideoSegmenter(model, jax.device_get(variables), **options)

  def segment(video):
    first = segmenter.start(video.frame(0), video.labels(0))
    rest = (segmenter.step(video.frame(t)) for t in range(1, len(video)))
    return np.stack([first.labels, *(result.labels for result in rest)])

  return segment


def copy_first_mask(video: Video) -> Predicted:
  """The baseline that takes every frame for the first one."""
  first = _without_void(video.labels(0))
  return np.broadcast_to(first, (len(video), *first.shape))


def score(
    protocol: protocols.Protocol,
    predicted: Iterable[Predicted],
    videos: Iterable[Video],
) -> Result:
  """Scores predictions of fully annotated videos."""
  return evaluate(
      protocol,
      (
          protocols.Video(
              video.name,
              labels,
              np.stack([video.labels(t) for t in range(len(video))]),
              video.frame_names,
          )
          for labels, video in zip(predicted, videos)
      ),
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
    export.write_bytes(folder / name, text.encode())


def table(
    results: Mapping[str, Result], measures: Mapping[str, Mapping[str, float]]
) -> str:
  """Means, recalls and decays in per cent and further measures, for a terminal."""
  width = max(map(len, results))
  further = next(iter(measures.values()))
  heads = ("J&F", "J", "recall", "decay", "F", "recall", "decay", *further)
  widths = [max(8, len(head) + 2) for head in heads]
  lines = [" " * width + "".join(f"{h:>{w}}" for h, w in zip(heads, widths))]
  for name, result in results.items():
    values = [f"{100 * result.summary[column]:.1f}" for column in CSV_COLUMNS]
    values += [f"{value:.3f}" for value in measures[name].values()]
    cells = "".join(f"{v:>{w}}" for v, w in zip(values, widths))
    lines.append(f"{name:{width}}{cells}")
  return "\n".join(lines)


def preview(
    predicted: Predicted, video: Video, columns: int = 5
) -> UInt8[np.ndarray, "_ _ 3"]:
  """Some frames with the truth in the upper row and the prediction in the lower."""
  steps = np.unique(np.linspace(0, len(video) - 1, columns).round().astype(int))
  frames = [video.frame(int(t)) for t in steps]
  truth = [_without_void(video.labels(int(t))) for t in steps]
  return viz.contact_sheet(
      [
          [viz.overlay(frame, labels) for frame, labels in zip(frames, truth)],
          [viz.overlay(frame, predicted[t]) for frame, t in zip(frames, steps)],
      ],
      captions=[f"frame {t}" for t in steps],
      row_captions=("truth", "prediction"),
      cell_width=max(200, frames[0].shape[1]),
  )


def write_previews(
    folder: pathlib.Path, predicted: Sequence[Predicted], videos: Sequence[Video]
) -> None:
  """For each video a picture, and a film of the prediction over the frames."""
  folder.mkdir(exist_ok=True)
  for labels, video in zip(predicted, videos):
    write_picture(folder / f"{video.name}.png", preview(labels, video))
    film = folder / f"{video.name}.mp4"
    with export.video_writer(film, labels.shape[1:], FILM_RATE) as write:
      for t, frame_labels in enumerate(labels):
        write(viz.overlay(video.frame(t), frame_labels))


def write_picture(path: pathlib.Path, picture: UInt8[np.ndarray, "_ _ 3"]) -> None:
  """Writes a PNG, whole or not at all."""
  buffer = io.BytesIO()
  Image.fromarray(picture).save(buffer, "PNG")
  export.write_bytes(path, buffer.getvalue())


def _without_void(labels):
  return np.where(labels == VOID, 0, labels)
