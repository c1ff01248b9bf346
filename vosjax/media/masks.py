"""Reads the masks that go with a video, on demand, one at a time."""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from vosjax.data.codecs import images, label_images
from vosjax.media.frame_folder import image_files
from vosjax.media.video_frames import VideoFrames, check_size


@dataclasses.dataclass(frozen=True)
class VideoMasks:
  """Masks of some frames of a video, which are read on demand.

  Attributes:
    name: path of the file or folder, for error messages.
    frame_names: names of the video's frames.
    files: mask files by the name of their frame.
  """

  name: str
  frame_names: tuple[str, ...]
  files: Mapping[str, pathlib.Path]

  def __len__(self) -> int:
    """Number of frames, with and without a mask."""
    return len(self.frame_names)

  def labels(self, index: int) -> UInt8[np.ndarray, "h w"] | None:
    """Object ids of one frame; None if it has no mask.

    Raises:
      ValueError: the file is not a label map.
    """
    file = self.files.get(self.frame_names[index])
    return None if file is None else label_images.read_labels(file)


def read_masks(path: pathlib.Path, video: VideoFrames) -> VideoMasks:
  """Finds the masks of a video and checks that they fit it.

  Args:
    path: of the first frame's mask, or of a folder of masks that are named after
      frames.
    video: the frames.

  Raises:
    ValueError: there is no mask, or one belongs to no frame or differs from the frames
      in size.
  """
  if path.is_dir():
    files = {file.stem: file for file in image_files(path, "masks")}
    stray = sorted(set(files) - set(video.frame_names))
    if stray:
      first, last = video.frame_names[0], video.frame_names[-1]
      raise ValueError(
        f"{files[stray[0]]}: no frame is named {stray[0]!r}; masks must be named after "
        f"frames ({first} to {last})."
      )
  elif path.exists():
    files = {video.frame_names[0]: path}
  else:
    raise ValueError(f"{path}: no such mask file or folder of masks.")
  for file in files.values():
    check_size(images.image_size(file), video.size, f"{file}: the mask")
  return VideoMasks(str(path), video.frame_names, files)
