"""FBMS-59: motion segmentation with a few annotated frames per video."""

from pathlib import Path

import tensorflow_datasets as tfds

from vosjax.data.formats.fbms import read_definition
from vosjax.data.formats.folders import image_files, subfolders
from vosjax.data.records.checks import frame_number, refuse_incomplete
from vosjax.data.records.video_builder import VideoBuilder, VideoFiles

FOLDERS = {"train": "Trainingset", "test": "Testset"}
_IMAGES = (".jpg", ".jpeg", ".png", ".ppm")


class Builder(VideoBuilder):
  """Moving objects in 29 training and 30 test videos, about every twentieth frame."""

  VERSION = tfds.core.Version("1.0.0")
  HOMEPAGE = "https://lmb.informatik.uni-freiburg.de/resources/datasets/moseg.en.html"
  LICENSE = "Research purposes only; no commercial use"
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Get FBMS_Trainingset.zip and FBMS_Testset.zip from
  https://lmb.informatik.uni-freiburg.de/resources/datasets/moseg.en.html, unpack both
  into one folder, and give that folder (with Trainingset and Testset in it) as
  --manual_dir.
  """
  NUM_VIDEOS = {"train": 29, "test": 30}

  def open_splits(self, root: Path) -> dict[str, list[VideoFiles]]:
    """Both splits of the unpacked original."""
    problems: list[str] = []
    splits = {}
    for split, folder in FOLDERS.items():
      names = subfolders(root / folder)
      if len(names) != self.NUM_VIDEOS[split]:
        problems.append(
          f"{folder}: {len(names)} of {self.NUM_VIDEOS[split]} videos "
          f"({', '.join(names) or 'none'})"
        )
      splits[split] = [_video(root / folder / name, problems) for name in names]
    refuse_incomplete(root, problems)
    return splits


def _video(folder: Path, problems: list[str]) -> VideoFiles:
  """A video; what is missing is appended to `problems`."""
  where = f"{folder.parent.name}/{folder.name}"
  frames = dict(
    sorted(image_files(folder, _IMAGES).items(), key=lambda item: frame_number(item[0]))
  )
  numbers = {frame_number(stem): stem for stem in frames}
  definitions = sorted((folder / "GroundTruth").glob("*.dat"))
  if not frames or len(definitions) != 1:
    problems.append(
      f"{where}: {len(frames)} frames and {len(definitions)} files "
      "GroundTruth/*.dat, expected frames and 1 such file"
    )
    return VideoFiles(folder.name, (), ())
  definition = read_definition(definitions[0])
  masks: dict[str, Path] = {}
  for name in definition.files:
    path = folder / "GroundTruth" / name
    stem = numbers.get(frame_number(name))
    if path.is_file() and stem:
      masks[stem] = path
    else:
      problems.append(
        f"{where}/GroundTruth/{name}" if stem else f"{where}: the frame of {name}"
      )
  values = definition.ordered_values
  return VideoFiles(
    folder.name,
    tuple(frames.values()),
    tuple(masks.get(stem) for stem in frames),
    coding="values",
    values=values,
    objects={i: {} for i in range(1, len(values))},
  )
