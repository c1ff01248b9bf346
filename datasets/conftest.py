"""Builds datasets, and makes tiny datasets in their layouts to build from."""

import pathlib
import sys

import numpy as np
import pytest
from PIL import Image

from vosjax.labels import palette

DATASETS = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def build():
  """The module `datasets/build.py`."""
  sys.path.insert(0, str(DATASETS))
  import build

  return build


@pytest.fixture
def build_stills(build, monkeypatch, tmp_path):
  """Builds a dataset of stills and checks that every file is unchanged."""
  from vosjax.data.formats.stills import read_bytes
  from vosjax.data.records.stills import PreparedStills

  def run(name, root, counts, splits):
    builder = build.builder_class(name)
    assert set(builder.NUM_STILLS) == set(counts) == set(splits)
    monkeypatch.setattr(builder, "NUM_STILLS", counts)
    out = tmp_path / "prepared"
    assert (
      build.main([name, f"--manual_dir={root}", f"--data_dir={out}", "--workers=1"])
      == 0
    )
    [directory] = (out / name).glob("1.*")
    sources = {split: PreparedStills(str(directory), split) for split in splits}
    for split, originals in splits.items():
      by_name = {still.name: still for still in originals}
      assert {still.name for still in sources[split]} == set(by_name)
      for still in sources[split]:
        original = by_name[still.name]
        assert still.image == original.image.read_bytes()
        assert still.annotations == {
          kind: read_bytes(path) for kind, path in original.annotations.items()
        }
        np.testing.assert_array_equal(still.labels(0), original.labels(0))
        assert still.classes == original.classes
    info = builder(data_dir=out).info
    assert info.homepage.startswith("http") and "@" in info.citation
    assert info.redistribution_info.license and "--manual_dir" in info.description
    return sources

  return run


@pytest.fixture
def build_videos(build, monkeypatch, tmp_path):
  """Builds a dataset of videos from a dummy tree; returns split -> {name: video}.

  Keyword arguments replace attributes of the builder, such as its official counts.
  """
  from vosjax.data.records.videos import PreparedFolder
  from vosjax.data.video import Source, Video

  def run(name, root, *, config=None, **attributes):
    builder = build.builder_class(name)
    for attribute, value in attributes.items():
      monkeypatch.setattr(builder, attribute, value)
    out = tmp_path / "prepared"
    code = build.main(
      [
        name,
        f"--manual_dir={root}",
        f"--data_dir={out}",
        "--workers=1",
        *([f"--config={config}"] if config else []),
      ]
    )
    if code:
      assert code == 2 and not list(out.rglob("*.array_record*"))
      return None
    built = builder(data_dir=out, config=config)
    assert built.info.homepage.startswith("http") and "@" in built.info.citation
    assert built.info.redistribution_info.license
    assert "--manual_dir" in built.info.description
    sources = {
      split: PreparedFolder(str(built.data_path), split) for split in built.info.splits
    }
    assert all(
      isinstance(source, Source) and isinstance(source[0], Video)
      for source in sources.values()
    )
    return {
      split: {video.name: video for video in source}
      for split, source in sources.items()
    }

  return run


@pytest.fixture
def davis_tree(tmp_path):
  """Writes two training videos and one for validation; returns the root."""
  root = tmp_path / "DAVIS"
  rng = np.random.default_rng(0)
  for annotations in ("Annotations", "Annotations_unsupervised"):
    for name in ("swan", "bus", "camel"):
      for folder in ("JPEGImages", annotations):
        (root / folder / "480p" / name).mkdir(parents=True, exist_ok=True)
      for t in range(3):
        pixels = rng.integers(0, 256, (16, 24, 3), np.uint8)
        Image.fromarray(pixels).save(root / f"JPEGImages/480p/{name}/{t:05}.jpg")
        patches = rng.integers(0, 4, (4, 6), np.uint8).repeat(4, 0).repeat(4, 1)
        labels = Image.fromarray(patches)
        labels.putpalette(palette().tobytes())
        labels.save(root / f"{annotations}/480p/{name}/{t:05}.png")
  for year in ("2016", "2017"):
    (root / "ImageSets" / year).mkdir(parents=True)
    (root / f"ImageSets/{year}/train.txt").write_text("swan\nbus\n")
    (root / f"ImageSets/{year}/val.txt").write_text("camel\n")
  return root


WHITE, RED, BLUE = (255, 255, 255), (255, 0, 0), (0, 0, 255)


def _definition(values, files, num_frames):
  """A definition file of FBMS, with line ends of Windows as in the original."""
  lines = [
    "Ground truth definition file; do not change!",
    "",
    "Total number of regions:",
    str(len(values)),
  ]
  for i, value in enumerate(values):
    lines += [f"Scale of region {i}:", str(value)]
  lines += [
    "Confusion penality matrix:",
    "0 1 1",
    "1 0 1",
    "1 1 0",
    "",
    "Total number of frames in this shot:",
    str(num_frames),
    "Total number of labeled frames for this shot:",
    str(len(files)),
  ]
  for number, name in files.items():
    lines += [
      "Frame number:",
      str(number - 1),
      "File name:",
      name,
      "Input file name:",
      name.replace("_gt", "").replace(".pgm", ".ppm"),
    ]
  return "\r\n".join(lines) + "\r\n"


@pytest.fixture
def fbms_tree(tmp_path):
  """FBMS as unpacked: a training video with gray truth, a test video with coloured."""
  root = tmp_path / "FBMS"
  rng = np.random.default_rng(0)
  for folder, name, stem in (
    ("Trainingset", "cars2", "cars2_{:02}"),
    ("Testset", "tennis", "tennis{:03}"),
  ):
    truth = root / folder / name / "GroundTruth"
    truth.mkdir(parents=True)
    for t in range(1, 12):
      Image.fromarray(rng.integers(0, 256, (6, 9, 3), np.uint8)).save(
        root / folder / name / f"{stem.format(t)}.jpg"
      )
  truth = root / "Trainingset/cars2/GroundTruth"
  for t in (1, 10):
    Image.fromarray(rng.choice([0, 85, 170], (6, 9)).astype(np.uint8)).save(
      truth / f"cars2_{t:02}.pgm"
    )
  (truth / "cars2Def.dat").write_text(
    _definition((0, 85, 170), {1: "cars2_01.pgm", 10: "cars2_10.pgm"}, 11), newline=""
  )
  truth = root / "Testset/tennis/GroundTruth"
  Image.fromarray(
    np.array([WHITE, RED, BLUE, (1, 2, 3)], np.uint8)[np.arange(54).reshape(6, 9) % 4]
  ).save(truth / "tennis005_gt.ppm")
  (truth / "tennis005_PROB_gt.ppm").write_bytes(b"must be ignored")
  (truth / "tennisDef.dat").write_text(
    _definition((0xFF0000, 0xFFFFFF, 0x0000FF), {5: "tennis005_gt.ppm"}, 11), newline=""
  )
  return root
