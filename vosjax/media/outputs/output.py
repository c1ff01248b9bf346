"""What all outputs that need the frames in order have in common."""

import abc

from vosjax.media.outputs.frame import SegmentedFrame


class Output(abc.ABC):
  """Files that are made of all frames of a video; a context manager."""

  @abc.abstractmethod
  def write(self, frame: SegmentedFrame) -> None:
    """Adds the next frame."""

  @abc.abstractmethod
  def checkpoint(self) -> None:
    """Completes what was written, so that another process can go on from here."""

  @abc.abstractmethod
  def finish(self) -> None:
    """Makes the files, after the last frame and a checkpoint."""

  @abc.abstractmethod
  def close(self, error: BaseException | None) -> None:
    """Frees what is open.

    Args:
      error: why the job ends early; what is not complete is then dropped.
    """

  def __enter__(self) -> "Output":
    return self

  def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
    self.close(error)
