"""Frames of a video as JPEG files, for the page."""

import collections
import io
import threading

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from vosjax.app.videos import another_reader
from vosjax.media.video_frames import VideoFrames

THUMBNAIL_HEIGHT = 72  # twice the height on the page, for fine screens
_QUALITY = 90
_THUMBNAIL_QUALITY = 70
_CACHE_BYTES = 64_000_000


class FrameImages:
  """Encodes frames and keeps the latest ones.

  Threads may call it at the same time. Thumbnails, which are far from each other in the
  video, have a decoder of their own and do not keep frames waiting.

  Args:
    video: what to show.
  """

  def __init__(self, video: VideoFrames):
    self._video, self._for_thumbnails = video, another_reader(video)
    self._lock = threading.Lock()  # of the cache
    self._cache: collections.OrderedDict[tuple[int, bool], bytes] = (
      collections.OrderedDict()
    )
    self._cached_bytes = 0

  def image(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of a frame.

    Raises:
      ValueError: the frame is damaged.
    """
    return self._video[index]

  def jpeg(self, index: int) -> bytes:
    """A frame in full size."""
    return self._encoded(index, thumbnail=False)

  def thumbnail(self, index: int) -> bytes:
    """A small version of a frame."""
    return self._encoded(index, thumbnail=True)

  def _encoded(self, index: int, thumbnail: bool) -> bytes:
    key = index, thumbnail
    with self._lock:
      if key in self._cache:
        self._cache.move_to_end(key)
        return self._cache[key]
    video = self._for_thumbnails if thumbnail else self._video
    data = encode_jpeg(video[index], THUMBNAIL_HEIGHT if thumbnail else None)
    with self._lock:
      self._cached_bytes += len(data) - len(self._cache.pop(key, b""))
      self._cache[key] = data
      while self._cached_bytes > _CACHE_BYTES:
        self._cached_bytes -= len(self._cache.popitem(last=False)[1])
    return data


def encode_jpeg(pixels: UInt8[np.ndarray, "h w 3"], height: int | None) -> bytes:
  """A JPEG file of an image, reduced to a height if one is given."""
  image = Image.fromarray(pixels)
  if height is not None:
    width = max(1, round(image.width * height / image.height))
    image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2)
  buffer = io.BytesIO()
  quality = _QUALITY if height is None else _THUMBNAIL_QUALITY
  image.save(buffer, "JPEG", quality=quality)
  return buffer.getvalue()
