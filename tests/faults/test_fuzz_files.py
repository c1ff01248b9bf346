"""Images, videos, weights and results that are random or damaged."""

import io
import json
import os
import pathlib
import pickle
import shutil
import zipfile

import numpy as np
import safetensors.numpy
from fuzzing import (
  SIZE,
  changed_json,
  damaged,
  examples,
  save_frames,
  save_mask,
  video,
  vosjax,
)
from hypothesis import strategies as st
from PIL import Image

MODES = ("1", "L", "P", "RGB", "RGBA", "LA", "I;16", "I", "F", "CMYK")
FORMATS = ("png", "jpg", "bmp", "gif", "webp", "tif", "npy", "txt")


@st.composite
def image_bytes(draw):
  """(suffix, content) of an image, as often as not damaged."""
  suffix, mode = draw(st.sampled_from(FORMATS)), draw(st.sampled_from(MODES))
  size = draw(st.sampled_from([SIZE, SIZE, SIZE, (1, 1), (24, 16), (3, 200)]))
  rng = np.random.default_rng(draw(st.integers(0, 1000)))
  values = draw(st.sampled_from([(0, 1), (0, 255), (0, 1, 2), (0, 1, 255), (7,), None]))
  pixels = rng.integers(0, 256, size, np.uint8)
  if values is not None:
    pixels = np.array(values, np.uint8)[pixels % len(values)]
  buffer = io.BytesIO()
  if suffix == "npy":
    kinds = [np.uint8, np.bool_, np.float64, np.int64, np.complex64]
    np.save(buffer, pixels.astype(draw(st.sampled_from(kinds))))
  elif suffix == "txt":
    buffer.write(draw(st.binary(max_size=60)))
  else:
    image = Image.fromarray(pixels)
    if mode == "P":
      image.putpalette(rng.integers(0, 256, 3 * draw(st.integers(1, 256))).tolist())
    try:
      image = image if mode == "P" else image.convert(mode)
      image.save(buffer, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix))
    except (OSError, ValueError):  # this format has no such mode
      image = Image.fromarray(pixels)
      image.save(buffer, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix))
  return suffix, draw(damaged(buffer.getvalue()))


@examples(image_bytes(), st.sampled_from(["mask", "frame", "only frame"]))
def test_images_for_segment_and_first_frame(folder, monkeypatch, image, place):
  suffix, content = image
  frames = save_frames(folder / "in/frames")
  mask = save_mask(folder / "in/masks/first.png")
  if place == "mask":
    mask.unlink()
    mask = mask.with_suffix(f".{suffix}")
    mask.write_bytes(content)
  else:
    if place == "only frame":
      shutil.rmtree(frames)
      frames.mkdir()
    (frames / f"00001.{suffix}").write_bytes(content)
  vosjax(folder, "first-frame", frames, "first.png", reads=["in"])
  arguments = ["--mask", mask, "--save", "masks,results", "--checkpoint", "agame-lite"]
  return vosjax(folder, "segment", frames, *arguments, "--out", "out", reads=["in"])


@examples(image_bytes(), st.sampled_from(["res", "truth"]), st.booleans())
def test_images_for_evaluate_and_import_data(folder, monkeypatch, image, place, scored):
  suffix, content = image
  for name in ("truth", "res"):
    for t in range(3):
      save_mask(folder / f"in/{name}/{t:05}.png")
  bad = folder / f"in/{place}/00001.{suffix}"
  if scored:
    bad.write_bytes(content)
    return vosjax(
      folder, "evaluate", "in/res", "in/truth", "--out", "out", reads=["in"]
    )
  source = folder / "in/mine"
  save_frames(source / "frames")
  shutil.copytree(folder / "in/truth", source / "masks")
  bad = source / ("frames" if place == "res" else "masks") / f"00001.{suffix}"
  bad.write_bytes(content)
  return vosjax(folder, "import-data", source, "--out", "out", reads=["in"])


@examples(
  st.sampled_from(["mp4", "mp4", "mkv", "mkv", "avi", "mov", "gif", "webp"]), st.data()
)
def test_videos(folder, monkeypatch, suffix, data):
  content = data.draw(damaged(data.draw(damaged(video(suffix)))))
  mask = save_mask(folder / "in/first.png")
  film = folder / f"in/videos/a.{suffix}"
  film.parent.mkdir()
  film.write_bytes(content)
  at = data.draw(st.sampled_from(["0", "3", "0.2s", "8", "9"]))
  vosjax(folder, "first-frame", film, "out.png", "--frame", at, reads=["in"])
  if data.draw(st.integers(0, 3)) == 0:
    shutil.copytree(mask.parent, folder / "in/masks/a", ignore=lambda *_: ["videos"])
    (folder / "in/masks/a/first.png").rename(folder / "in/masks/a/00000.png")
    return vosjax(folder, "import-data", "in", "--out", "out", reads=["in"])
  arguments = ["--mask", mask, "--save", data.draw(st.sampled_from(SAVED))]
  arguments += data.draw(st.sampled_from([[], [], ["--allow-damaged"]]))
  arguments += ["--checkpoint", "agame-lite", "--out", "out"]
  return vosjax(folder, "segment", film, *arguments, reads=["in"])


SAVED = ("masks", "results,report", "overlay")


@examples(st.data())
def test_a_damaged_folder_of_results(folder, monkeypatch, data):
  """What a command reads of its own earlier work."""
  frames, mask = save_frames(folder / "in/v"), save_mask(folder / "in/first.png")
  arguments = ["segment", frames, "--mask", mask, "--out", "out", "--save", "masks"]
  vosjax(folder, *arguments, "--checkpoint", "agame-lite")
  job = folder / "out/segment.json"
  (folder / "out/.parts").mkdir()
  progress = folder / "out/.parts/progress.json"
  progress.write_text('{"checkpoints": [0, 2]}')
  path = data.draw(st.sampled_from([job, progress]))
  value = json.loads(path.read_text())
  if data.draw(st.booleans()):
    path.write_text(json.dumps(data.draw(changed_json(value))))
  else:
    path.write_bytes(data.draw(damaged(path.read_bytes())))
  (folder / "out/00002.png").unlink()
  return vosjax(folder, *arguments, "--checkpoint", "agame-lite", reads=["in"])


class _Payload:
  """A pickle that would make a folder."""

  def __reduce__(self):
    return os.mkdir, ("executed",)


def _torch_file(value):
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w") as archive:
    archive.writestr("archive/data.pkl", pickle.dumps(value, 2))
    archive.writestr("archive/data/0", bytes(64))
    archive.writestr("archive/version", "3\n")
  return buffer.getvalue()


TORCH = [path.read_bytes() for path in sorted(
  (pathlib.Path(__file__).parents[1] / "golden/torch_files").glob("*.pth")
)]  # fmt: skip
OFFICIAL = [*TORCH, _torch_file({"a": _Payload()}), pickle.dumps(_Payload(), 2)]


@examples(st.sampled_from(OFFICIAL).flatmap(damaged))
def test_files_of_pytorch(folder, monkeypatch, content):
  (folder / "in").mkdir()
  (folder / "in/a.pth").write_bytes(content)
  code = vosjax(folder, "convert", "resnet", "in/a.pth", "--out", "out", reads=["in"])
  assert not (folder / "executed").exists()
  return code


def _safetensors():
  metadata = {"format": "1", "name": "ris", "fields": '{"channels": 4}'}
  return safetensors.numpy.save({"params/x": np.zeros((2, 3), np.float32)}, metadata)


@examples(damaged(_safetensors()), st.sampled_from(["file", "folder"]), st.data())
def test_checkpoints(folder, monkeypatch, content, kind, data):
  monkeypatch.undo()
  frames, mask = save_frames(folder / "in/v"), save_mask(folder / "in/first.png")
  if kind == "file":
    (folder / "in/a.safetensors").write_bytes(content)
    checkpoint = folder / "in/a.safetensors"
  else:
    checkpoint = folder / "in/model"
    checkpoint.mkdir()
    value = {"format": 1, "name": "ris", "fields": {"channels": 4}, "files": {"a": 1}}
    text = json.dumps(data.draw(changed_json(value)))
    (checkpoint / "checkpoint.json").write_bytes(data.draw(damaged(text.encode())))
  arguments = ["--mask", mask, "--checkpoint", checkpoint, "--out", "out"]
  return vosjax(folder, "segment", frames, *arguments, reads=["in"])
