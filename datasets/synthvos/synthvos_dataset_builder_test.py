"""The SynthVOS builder writes what the generators render."""

import numpy as np
import pytest
from PIL import Image

from vosjax.data.records.videos import PreparedFolder
from vosjax.data.synthvos import SynthVos

pytestmark = pytest.mark.filterwarnings("default")  # tfds and its dependencies


def same(stored, original):
  """Compares labels exactly, and frames up to JPEG compression."""
  assert stored.frame_names == original.frame_names
  for t in range(len(original)):
    np.testing.assert_array_equal(stored.labels(t), original.labels(t))
    difference = stored.frame(t).astype(float) - original.frame(t)
    assert np.abs(difference).mean() < 8  # of 255; some are noisy


def test_procedural_records_hold_the_videos_of_the_generator(
  build, tmp_path, monkeypatch
):
  config = build.builder_class("synthvos").builder_configs["procedural_tiny"]
  monkeypatch.setattr(config, "num_videos", {"train": 2, "validation": 1})
  monkeypatch.setattr(config, "size", (32, 48))
  monkeypatch.setattr(config, "length", 3)
  assert (
    build.main(
      ["synthvos", "--config=procedural_tiny", f"--data_dir={tmp_path}", "--workers=1"]
    )
    == 0
  )
  for seed, (split, count) in enumerate({"train": 2, "validation": 1}.items()):
    prepared = PreparedFolder(str(tmp_path / "synthvos/procedural_tiny/1.0.0"), split)
    drawn = SynthVos(seed, count, size=(32, 48), length=3)
    by_name = {drawn[i].name: drawn[i] for i in range(count)}
    assert {video.name for video in prepared} == set(by_name)
    same(prepared[0], by_name[prepared[0].name])


@pytest.fixture
def originals(tmp_path):
  """MSRA10K and VOC 2012 as unpacked; the radius of a disc tells which object it is."""
  root, rng = tmp_path / "originals", np.random.default_rng(0)
  imgs = root / "MSRA10K_Imgs_GT/Imgs"
  imgs.mkdir(parents=True)
  y, x = np.mgrid[:40, :50]
  for k in range(3):
    mask = (y - 20) ** 2 + (x - 25) ** 2 < (8 + 4 * k) ** 2
    Image.fromarray(
      np.where(mask[..., None], 255, 0).repeat(3, 2).astype(np.uint8)
    ).save(imgs / f"{k}.jpg")
    Image.fromarray(mask.astype(np.uint8) * 255).save(imgs / f"{k}.png")
  lists = root / "VOC2012/ImageSets/Segmentation"
  lists.mkdir(parents=True)
  for subset, name in (("train", "2007_000032"), ("val", "2007_000033")):
    (lists / f"{subset}.txt").write_text(f"{name}\n")
    for folder, suffix in (
      ("JPEGImages", "jpg"),
      ("SegmentationClass", "png"),
      ("SegmentationObject", "png"),
    ):
      path = root / f"VOC2012/{folder}/{name}.{suffix}"
      path.parent.mkdir(exist_ok=True)
      shape = (60, 80, 3) if suffix == "jpg" else (60, 80)
      Image.fromarray(rng.integers(0, 100, shape, np.uint8)).save(path)
  return root


def test_pasted_records_hold_objects_of_msra10k_on_images_of_voc(
  build, originals, tmp_path, monkeypatch
):
  builder = build.builder_class("synthvos")
  monkeypatch.setattr(
    builder, "NUM_STILLS", {"objects": 3, "train": 1, "validation": 1}
  )
  config = builder.builder_configs["pasted"]
  monkeypatch.setattr(config, "num_videos", {"train": 3, "validation": 2})
  monkeypatch.setattr(config, "size", (48, 64))
  monkeypatch.setattr(config, "length", 2)
  assert (
    build.main(
      [
        "synthvos",
        "--config=pasted",
        f"--manual_dir={originals}",
        f"--data_dir={tmp_path}",
        "--workers=1",
      ]
    )
    == 0
  )
  module = __import__(builder.__module__, fromlist=["open_split"])
  for seed, (split, count) in enumerate(config.num_videos.items()):
    prepared = PreparedFolder(str(tmp_path / "synthvos/pasted/1.0.0"), split)
    drawn = module.open_split(
      module.Split(split, seed, count, (48, 64), 2, str(originals))
    )
    assert [video.name for video in prepared] == [drawn[i].name for i in range(count)]
    for video, original in zip(prepared, drawn):
      same(video, original)
    names = {still.name for still in drawn.objects}
    assert names == ({"1", "2"} if split == "train" else {"0"})
    [background] = drawn.backgrounds
    assert (
      background.name == {"train": "2007_000032", "validation": "2007_000033"}[split]
    )


def test_missing_originals_of_pasted_videos_are_named(
  build, originals, tmp_path, capsys
):
  command = ["synthvos", "--config=pasted", f"--data_dir={tmp_path / 'out'}"]
  assert build.main([*command, f"--manual_dir={originals}"]) == 2
  assert "objects: 3 of 10000 images" in capsys.readouterr().err
  (originals / "VOC2012/SegmentationObject/2007_000033.png").unlink()
  assert build.main([*command, f"--manual_dir={originals}"]) == 2
  assert "SegmentationObject/2007_000033.png" in capsys.readouterr().err
  assert build.main([*command, f"--manual_dir={tmp_path / 'nowhere'}"]) == 2
  message = capsys.readouterr().err
  assert "https://mmcheng.net/msra10k/" in message and "VOC2012" in message
