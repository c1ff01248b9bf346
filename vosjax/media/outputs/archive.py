"""A zip of masks as the servers of YouTube-VOS and DAVIS take it."""

import pathlib
import zipfile

from vosjax import files
from vosjax.media.outputs.frame import SegmentedFrame
from vosjax.media.outputs.output import Output
from vosjax.media.write import write_labels

_NO_TIME = (1980, 1, 1, 0, 0, 0)  # equal masks give equal archives


class YoutubeVos(Output):
  """youtube-vos.zip: Annotations/VIDEO/FRAME.png, palette PNGs of all frames."""

  def __init__(self, folder: pathlib.Path, parts: pathlib.Path, video_name: str):
    self._path, self._video_name = folder / "youtube-vos.zip", video_name
    self._masks = parts / "youtube-vos"
    self._masks.mkdir(exist_ok=True)

  def write(self, frame: SegmentedFrame) -> None:
    """Keeps the mask of a frame for the archive."""
    write_labels(self._masks / f"{frame.name}.png", frame.labels)

  def checkpoint(self) -> None:
    """Nothing: masks are complete one by one."""

  def close(self, error: BaseException | None) -> None:
    """Nothing is open."""

  def finish(self) -> None:
    """Writes the archive."""
    with files.replacing(self._path) as draft, zipfile.ZipFile(draft, "w") as archive:
      for mask in sorted(self._masks.glob("[!.]*.png")):
        inside = f"Annotations/{self._video_name}/{mask.name}"
        archive.writestr(zipfile.ZipInfo(inside, _NO_TIME), mask.read_bytes())
