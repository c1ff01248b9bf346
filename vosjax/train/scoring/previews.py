"""Predictions beside the truth, as images and videos."""

import io
import pathlib

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vosjax import files, viz
from vosjax.data.video import Video
from vosjax.labels import VOID
from vosjax.media.write import H264, require_codec, video_writer

FRAME_RATE = 12.0  # frames per second


def contact_sheet(
  predicted: UInt8[np.ndarray, "t h w"], video: Video, columns: int = 5
) -> UInt8[np.ndarray, "_ _ 3"]:
  """Some annotated frames, with the truth in the upper row, the prediction below."""
  annotated = [t for t in range(len(video)) if video.labels(t) is not None]
  places = np.unique(np.linspace(0, len(annotated) - 1, columns).round().astype(int))
  steps = [annotated[place] for place in places]
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


def why_no_videos() -> str:
  """Why previews are images alone, and what to do; "" if there are videos as well."""
  try:
    require_codec(H264)
  except ValueError as error:
    return str(error)
  return ""


def write_preview(
  folder: pathlib.Path, predicted: UInt8[np.ndarray, "t h w"], video: Video
) -> None:
  """Writes a contact sheet and, if it can, a video of the prediction."""
  path = folder / video.name
  path.parent.mkdir(parents=True, exist_ok=True)
  write_png(path.with_name(f"{path.name}.png"), contact_sheet(predicted, video))
  if why_no_videos():
    return
  overlay = path.with_name(f"{path.name}.mp4")
  with video_writer(overlay, predicted.shape[1:], FRAME_RATE) as write:
    for t, labels in enumerate(predicted):
      write(viz.overlay(video.frame(t), labels))


def write_png(path: pathlib.Path, image: UInt8[np.ndarray, "_ _ 3"]) -> None:
  """Writes an image completely or not at all."""
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, "PNG")
  files.write_bytes(path, buffer.getvalue())


def _without_void(labels):
  return np.where(labels == VOID, 0, labels)
