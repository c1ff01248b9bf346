"""Builders, and a whole but tiny data set in DAVIS layout for them to read."""

import pathlib
import sys

import numpy as np
import pytest
from PIL import Image

DATASETS = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def build():
  """The module `datasets/build.py`."""
  sys.path.insert(0, str(DATASETS))
  import build

  return build


@pytest.fixture
def build_stills(build, monkeypatch, tmp_path):
  """Builds a set of stills and checks that every file came through untouched."""
  from vosjax.data.prepared_stills import PreparedStills
  from vosjax.data.stills import content

  def run(name, root, counts, splits, workers=1):
    builder = build.builder_class(name)
    assert set(builder.NUM_STILLS) == set(counts) == set(splits)
    monkeypatch.setattr(builder, "NUM_STILLS", counts)
    out = tmp_path / "prepared"
    assert build.main([name, f"--manual_dir={root}", f"--data_dir={out}",
                       f"--workers={workers}"]) == 0
    [directory] = (out / name).glob("1.*")
    sources = {split: PreparedStills(str(directory), split) for split in splits}
    for split, originals in splits.items():
      by_name = {still.name: still for still in originals}
      assert {still.name for still in sources[split]} == set(by_name)
      for still in sources[split]:
        original = by_name[still.name]
        assert still.image == original.image.read_bytes()
        assert still.annotations == {
            kind: content(path) for kind, path in original.annotations.items()}
        np.testing.assert_array_equal(still.labels(0), original.labels(0))
        assert still.classes == original.classes
    info = builder(data_dir=out).info
    assert info.homepage.startswith("http") and "@" in info.citation
    assert info.redistribution_info.license and "--manual_dir" in info.description
    return sources

  return run


@pytest.fixture
def build_videos(build, monkeypatch, tmp_path):
  """Builds a set of videos from a dummy tree; returns split -> {name: video}.

  Keyword arguments replace attributes of the builder, such as its official counts.
  """
  from vosjax.data.prepared import PreparedFolder
  from vosjax.data.sources import Source, Video

  def run(name, root, *, config=None, **attributes):
    builder = build.builder_class(name)
    for attribute, value in attributes.items():
      monkeypatch.setattr(builder, attribute, value)
    out = tmp_path / "prepared"
    code = build.main([
        name, f"--manual_dir={root}", f"--data_dir={out}", "--workers=1",
        *([f"--config={config}"] if config else [])])
    if code:
      assert code == 2 and not list(out.rglob("*.array_record*"))
      return None
    built = builder(data_dir=out, config=config)
    assert built.info.homepage.startswith("http") and "@" in built.info.citation
    assert built.info.redistribution_info.license
    assert "--manual_dir" in built.info.description
    sources = {split: PreparedFolder(str(built.data_path), split)
               for split in built.info.splits}
    assert all(isinstance(source, Source) and isinstance(source[0], Video)
               for source in sources.values())
    return {split: {video.name: video for video in source}
            for split, source in sources.items()}

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
        labels = Image.fromarray(rng.integers(0, 4, (16, 24), np.uint8))
        labels.putpalette(rng.integers(0, 256, 768).tolist())
        labels.save(root / f"{annotations}/480p/{name}/{t:05}.png")
  for year in ("2016", "2017"):
    (root / "ImageSets" / year).mkdir(parents=True)
    (root / f"ImageSets/{year}/train.txt").write_text("swan\nbus\n")
    (root / f"ImageSets/{year}/val.txt").write_text("camel\n")
  return root
