"""Writes a prepared dataset as folders of images, for `vosjax evaluate --root`.

  python datasets/export.py ~/tensorflow_datasets/fbms/1.0.0 --split test --out FBMS

This writes DIR/JPEGImages/VIDEO/FRAME.jpg or .png, with the original bytes if they are
in one of these formats; DIR/Annotations/VIDEO/FRAME.png, palette PNGs whose pixels are
object ids; and DIR/meta.json if the dataset lists the frames of its objects
(YouTube-VOS).
"""

import argparse
import io
import json
import pathlib
import sys

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

from vosjax.data.records.videos import PreparedFolder, PreparedVideo
from vosjax.labels import palette

SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PN": ".png"}  # by the first bytes of a file


def main(arguments: list[str] | None = None) -> int:
  """Exports the dataset that the command line names; returns the exit code."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("directory", help="version folder that build.py wrote")
  parser.add_argument("--split", default="test", help="default: %(default)s")
  parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR")
  options = parser.parse_args(arguments)
  try:
    if options.out.exists():
      raise ValueError(f"--out {options.out}: already exists. Choose another folder.")
    export(PreparedFolder(options.directory, options.split), options.out)
  except (OSError, ValueError) as error:
    sys.stderr.write(f"export.py: {error}\n")
    return 2
  return 0


def export(source: PreparedFolder, out: pathlib.Path) -> None:
  """Writes all videos, their annotations and what is known about their objects."""
  meta = {}
  for index in tqdm(range(len(source)), unit="video", disable=None):
    video = source[index]
    for t, name in enumerate(video.frame_names):
      _write(*_image(video, t), out / "JPEGImages" / video.name / name)
      labels = video.labels(t)
      if labels is not None:
        _write(_png_labels(labels), ".png", out / "Annotations" / video.name / name)
    if any("frames" in about for about in video.objects.values()):
      meta[video.name] = {"objects": video.objects}
  if meta:
    (out / "meta.json").write_text(json.dumps({"videos": meta}))


def _image(video: PreparedVideo, index: int) -> tuple[bytes, str]:
  """The bytes and suffix of a frame's file; other formats are converted to PNG."""
  data = video.frames[index].frame
  if suffix := SUFFIXES.get(data[:3]):
    return data, suffix
  return _png(Image.fromarray(video.frame(index))), ".png"


def _png_labels(labels: UInt8[np.ndarray, "h w"]) -> bytes:
  image = Image.fromarray(labels)
  image.putpalette(palette().tobytes())
  return _png(image)


def _png(image: Image.Image) -> bytes:
  file = io.BytesIO()
  image.save(file, "PNG")
  return file.getvalue()


def _write(data: bytes, suffix: str, path: pathlib.Path) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.with_name(path.name + suffix).write_bytes(data)


if __name__ == "__main__":
  sys.exit(main())
