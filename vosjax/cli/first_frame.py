"""`vosjax first-frame`: saves the frame of a video to paint a mask on."""

import argparse
import io
import pathlib
import sys

from PIL import Image

from vosjax import files
from vosjax.media.read import read_video
from vosjax.media.video_frames import describe, frame_number

EXAMPLE = """
examples:
  vosjax first-frame holiday.mp4 first.png
  vosjax first-frame holiday.mp4 00120.png --frame 120

Paint the objects in a copy of the image, in a program that saves palette or grayscale
PNGs: background 0, the first object 1, and so on. Then give it to `vosjax segment`.
"""


def configure(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments of `vosjax first-frame`."""
  parser.epilog = EXAMPLE
  path = pathlib.Path
  parser.add_argument(
    "video",
    type=path,
    metavar="VIDEO_OR_FOLDER",
    help="a video file, or a folder of frames, sorted by name",
  )
  parser.add_argument(
    "out", type=path, metavar="OUT.png", help="the image; must not exist yet"
  )
  parser.add_argument(
    "--frame",
    metavar="T",
    default="0",
    help="another frame, by its number from 0 on (12) or its time (12s, 1:02.5, "
    "00:01:02)",
  )


def run(args: argparse.Namespace) -> None:
  """Saves a frame, upright and as `vosjax segment` sees it.

  Raises:
    ValueError: the video cannot be read, or has no such frame.
    OSError: the image cannot be written.
  """
  if args.out.suffix.lower() != ".png":
    raise ValueError(f"{args.out}: the image is a PNG; give it a name ending in .png.")
  if args.out.exists():
    raise ValueError(f"{args.out}: exists, and may be painted. Choose another name.")
  video = read_video(args.video, check=False, allow_gaps=True)
  number = frame_number(args.frame, video)
  if number == len(video):
    raise ValueError(
      f"--frame {args.frame} is beyond the last frame of {video.name}, which is "
      f"{number - 1} ({video.times[-1]:.2f} s)."
    )
  buffer = io.BytesIO()
  Image.fromarray(video[number]).save(buffer, "PNG")
  files.write_bytes(args.out, buffer.getvalue())
  for warning in video.warnings:
    print(f"warning: {warning}", file=sys.stderr)
  print(describe(video))
  name = video.frame_names[number]
  print(f"{args.out}: frame {name}, {video.times[number]:.2f} s.")
  if number and args.out.stem != name:
    print(
      f"Name its mask {name}.png: that tells `vosjax segment` which frame it shows."
    )
