"""Random and damaged inputs of every command end well, or in one clear line.

A few examples of each kind run with the ordinary tests, and many with `-m slow`.
"""

import contextlib
import io
import json
import os
import pathlib
import pickle
import re
import shutil
import signal
import sys
import tempfile
import time
import types
import warnings
import zipfile

import hypothesis
import jaxtyping
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import strategies as st
from PIL import Image

from vosjax import __main__ as command_line
from vosjax.cli import segment
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.frame_result import FrameResult
from vosjax.inference.session import Session
from vosjax.train import config_files, run

pytestmark = pytest.mark.filterwarnings(
  # Of threads that read data, which draw random numbers while Hypothesis does.
  "ignore::hypothesis.errors.HypothesisDeprecationWarning"
)

QUICK = 5  # examples of each kind in the ordinary tests
SECONDS = 10  # of the processor, for one command
SIZE = (16, 24)
# Of Python's own errors: they name neither a file nor an argument.
UNCLEAR = re.compile(
  r"vosjax: (Expecting|Extra data|Unterminated|Invalid|invalid literal|could not|list "
  r"ind|string ind|index|'[^']*'\.?$|\[Errno|cannot |not enough|too many|unpack|'\w+' "
  r"codec|math |expected str|unsupported|zero-size|need at least|buffer)"
)
# Where a command may write besides its folder: JAX keeps compiled programs.
ALLOWED = tuple(
  filter(None, ("/dev/", os.environ.get("JAX_COMPILATION_CACHE_DIR"), "/proc/self"))
)
_WRITES = {"os.mkdir": 0, "os.rename": 1, "os.remove": 0, "os.rmdir": 0, "os.link": 1}
_watched = types.SimpleNamespace(folder=None, faults=[])


def _audit(event, arguments):
  """Notes what is written outside of the watched folder, and what is executed."""
  if _watched.folder is None:
    return
  if event in ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen"):
    _watched.faults.append((event, arguments))
  if event == "open":
    path, mode, flags = arguments
    if not (flags or 0) & (os.O_WRONLY | os.O_RDWR):
      return
  elif event in _WRITES:
    path = arguments[_WRITES[event]]
  else:
    return
  if isinstance(path, (str, bytes, os.PathLike)):
    path = os.path.abspath(os.fsdecode(path))
    if not path.startswith((_watched.folder, *ALLOWED)):
      _watched.faults.append((event, path))


sys.addaudithook(_audit)


class _HangError(BaseException):
  """A command takes too long."""


def _hang(*_):
  raise _HangError


class _CopyingSession(Session):
  """Keeps no state that could be saved."""

  def __init__(self):
    self.frame = None


class _CopyingSegmenter(VideoSegmenter):
  """Repeats the masks that it is given."""

  one_shot = True

  def __init__(self):
    pass

  def new_session(self):
    return _CopyingSession()

  def run(self, frames, prompts=None, direction=None, session=None):
    labels = None
    for index in range(len(frames)):
      labels = (prompts or {}).get(index, labels)
      if labels is None:
        yield FrameResult.background(frames[index])
      else:
        ids = [i for i in np.unique(labels).tolist() if 0 < i < 255]
        yield FrameResult.from_labels(
          frames[index], labels.astype(np.int32) % 255, ids, range(len(ids))
        )


def examples(*strategies):
  """Runs a test on few drawn inputs, and on many with `-m slow`."""

  def decorate(test):
    @pytest.mark.parametrize(
      "number", [QUICK, pytest.param("fuzzed", marks=pytest.mark.slow)]
    )
    def repeated(number, count, monkeypatch, tell):
      monkeypatch.setattr(
        segment, "load_segmenter", lambda *_, **__: (_CopyingSegmenter(), "agame")
      )
      found = {0: 0, 2: 0}

      def once(drawn):
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
          try:
            code = test(pathlib.Path(folder), monkeypatch, *drawn)
          except (
            jaxtyping.TypeCheckError
          ):  # users' runs go on here, and are not checked
            hypothesis.reject()
        found[code] += 1

      once.__name__ = test.__name__
      repeats = number if isinstance(number, int) else count(number)
      hypothesis.settings(
        max_examples=repeats,
        deadline=None,
        database=None,
        derandomize=isinstance(number, int),
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
      )(hypothesis.given(st.tuples(*strategies))(once))()
      if not isinstance(number, int):
        tell(f"{test.__name__}: {found[0]} went well, {found[2]} ended in one line")

    repeated.__name__ = test.__name__
    repeated.__doc__ = test.__doc__
    return repeated

  return decorate


def vosjax(folder, *arguments, reads=()):
  """Runs a command; returns its exit code after all checks.

  Args:
    folder: in which it may write.
    *arguments: of the command.
    reads: folders in it that must stay as they are.
  """
  before = [_content(folder / name) for name in reads]
  errors = io.StringIO()
  began = time.process_time()
  previous = signal.signal(signal.SIGALRM, _hang)
  signal.alarm(12 * SECONDS)
  _watched.folder, _watched.faults = str(folder), []
  try:
    with (
      warnings.catch_warnings(),
      contextlib.redirect_stderr(errors),
      contextlib.redirect_stdout(io.StringIO()),
    ):
      warnings.simplefilter("ignore")
      code = command_line.main([str(text) for text in arguments])
  except SystemExit as stop:  # of argparse
    code = stop.code
  finally:
    _watched.folder = None
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)
  said = errors.getvalue()
  hypothesis.note(f"vosjax {' '.join(map(str, arguments))}\n{said}")
  assert not _watched.faults
  assert [_content(folder / name) for name in reads] == before
  assert time.process_time() - began < SECONDS
  final = [line for line in said.splitlines() if line.startswith("vosjax")]
  assert code in (0, 2), said
  assert len(final) == (code == 2), said
  assert "Traceback" not in said and "Exception ignored" not in said, said
  if final:
    assert not UNCLEAR.match(final[0]), final[0]
    assert len(final[0]) < 2000
  return code


def _content(folder):
  return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


# Inputs.

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


@st.composite
def damaged(draw, content):
  """The content as it is, cut off, or with some bytes changed, lost or repeated."""
  how = draw(st.sampled_from(["no", "no", "cut", "flip", "flip", "lose", "repeat"]))
  if how == "no" or not content:
    return content
  at = draw(st.integers(0, len(content) - 1))
  if how == "cut":
    return content[:at]
  if how == "flip":
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
      changed[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(changed)
  stop = min(len(content), at + draw(st.integers(1, 40)))
  return content[:at] + content[at:stop] * (2 * (how == "repeat")) + content[stop:]


JSON = st.recursive(
  st.none()
  | st.booleans()
  | st.integers(-2, 3)
  | st.sampled_from([1e400, -1.5, float("nan"), 10**30])
  | st.sampled_from(["", "0", "a", "../../up.jpg", "/etc/passwd", "00000.jpg", "é"]),
  lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["id", "size", "counts", "x"]), inner, max_size=3)
  ),
  max_leaves=4,
)


@st.composite
def changed_json(draw, value):
  """A value of JSON, one part of which is replaced or missing."""
  if isinstance(value, (dict, list)) and value and draw(st.integers(0, 5)):
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = draw(st.sampled_from(list(keys)))
    changed = value.copy()
    if draw(st.integers(0, 5)):
      changed[key] = draw(changed_json(value[key]))
    else:
      del changed[key]
    return changed
  return draw(JSON)


def save_frames(folder, number=3):
  folder.mkdir(parents=True)
  rng = np.random.default_rng(0)
  for t in range(number):
    pixels = rng.integers(0, 256, (*SIZE, 3), np.uint8)
    Image.fromarray(pixels).save(folder / f"{t:05}.jpg")
  return folder


def save_mask(path):
  path.parent.mkdir(parents=True, exist_ok=True)
  labels = np.zeros(SIZE, np.uint8)
  labels[4:9, 3:12], labels[10:14, 12:20] = 1, 2
  image = Image.fromarray(labels)
  image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
  image.save(path)
  return path


# Tests.


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


COCO = {
  "videos": [
    {"id": 1, "width": 24, "height": 16, "length": 3, "file_names": ["v/00000.jpg"] * 3}
  ],
  "annotations": [
    {
      "id": 1,
      "video_id": 1,
      "category_id": 1,
      "segmentations": [
        [[2, 2, 9, 2, 9, 9]],
        None,
        {"size": [16, 24], "counts": [384]},
      ],
    }
  ],
  "categories": [{"id": 1, "name": "cat"}],
}
IMAGES = {
  "images": [
    {"id": t, "file_name": f"v/{t:05}.jpg", "width": 24, "height": 16} for t in range(3)
  ],
  "annotations": [
    {
      "id": t + 1,
      "image_id": t,
      "category_id": 1,
      "segmentation": [[2, 2, 9, 2, 9, 9]],
      "attributes": {"track_id": 1},
    }
    for t in range(3)
  ],
  "categories": [{"id": 1, "name": "cat"}],
}
LABELME = {
  "imagePath": "00001.jpg",
  "imageHeight": 16,
  "imageWidth": 24,
  "shapes": [
    {
      "label": "cat",
      "points": [[1, 1], [9, 1], [9, 9]],
      "shape_type": "polygon",
      "group_id": 1,
    }
  ],
}


@examples(
  st.sampled_from([COCO, IMAGES, LABELME]).flatmap(
    lambda value: st.tuples(st.just(value), changed_json(value))
  )
)
def test_json_for_import_data(folder, monkeypatch, values):
  original, changed = values
  frames = save_frames(folder / "in/v")
  if original is LABELME:
    for t in range(3):
      content = changed if t == 1 else LABELME | {"imagePath": f"{t:05}.jpg"}
      (frames / f"{t:05}.json").write_text(json.dumps(content))
    return vosjax(folder, "import-data", "in", "--out", "out", reads=["in"])
  (folder / "in/a.json").write_text(json.dumps(changed))
  arguments = ["in/a.json", "--images", "in", "--out", "out"]
  return vosjax(folder, "import-data", *arguments, reads=["in"])


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


def _keys(config, path="config"):
  for key, value in config.items():
    if hasattr(value, "items"):
      yield from _keys(value, f"{path}.{key}")
    else:
      yield f"{path}.{key}"


KEYS = sorted(_keys(config_files.read("agame:smoke")))
VALUES = ("-1", "0", "1", "2", "7", "0.5", "-0.5", "nan", "inf", "1e-9", "", "x",
          "None", "True", "()", "(1,)", "(0, 0)", "(7, 3)", "(32, 48)", "(-1, 2)",
          "('a', 'b')", "{}", "[1, 2]", "../up", "é", "agame", "davis", "synthvos",
)  # fmt: skip


@examples(
  st.lists(
    st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), min_size=1, max_size=3
  )
)
def test_changes_of_a_configuration(folder, monkeypatch, changes):
  """All that comes before the first step, and its batch."""
  import jax

  from vosjax import checkpoints

  def zeros(model, config):
    del config
    shapes = checkpoints.variable_shapes(model)
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)

  def first_batches(config, model, stages, *_):
    del config, model
    for stage in stages:
      next(iter(stage.batches_from(0)))
    raise SystemExit(0)

  monkeypatch.setattr(run, "random_variables", zeros)
  monkeypatch.setattr(run, "_fit", first_batches)
  arguments = [f"--{key}={value}" for key, value in changes]
  return vosjax(folder, "train", "agame:smoke", "--workdir=out", *arguments)


WORDS = st.sampled_from([
  "in/v", "in/first.png", "in/res", "in/absent", "in", ".", "", " ", "-", "--", "0",
  "-1", "1", "3", "nan", "1e400", "12s", "1:02.5", "0:0:0:0", "x" * 300, "é", "\udcff",
  "all", "agame", "cosnet", "metrics", "masks", "overlay,coco", ",", "random", "none",
  "64x64", "0x0", "out", "in/v/00000.jpg", "in/list.txt", "--mask", "--out",
  "davis2017", "*", "~", "$HOME", "void", "backward", "bfloat16",
])  # fmt: skip
OPTIONS = {
  "segment": "mask masks colors model checkpoint save direction max-size start end "
  "every allow-gaps allow-damaged references reference-policy fusion seed crf dtype",
  "evaluate": "dataset root skip-ends label-255 from-appearance set match train-meta "
  "count-first-frames no-stability by-instances workers",
  "import-data": "images val workers",
  "first-frame": "frame",
  "convert": "",
  "train": "config num_processes process_id config.seed config.mode config.data.root",
}


VALID = {
  "segment": "in/v --mask in/first.png --checkpoint x --save masks --out out",
  "evaluate": "in/res in/res --out out",
  "import-data": "in/mine --out out",
  "first-frame": "in/v out.png",
  "convert": "resnet in/first.png --out out",
  "train": "agame:smoke --workdir=out",
}


@st.composite
def command_lines(draw):
  """A line that works, with words more or less, or others."""
  command = draw(st.sampled_from(sorted(OPTIONS)))
  words = VALID[command].split()
  for _ in range(draw(st.integers(0, 3))):
    at = draw(st.integers(0, len(words)))
    what = draw(st.sampled_from(["option", "option", "word", "other", "less"]))
    if what == "option" and OPTIONS[command]:
      words += [f"--{draw(st.sampled_from(OPTIONS[command].split()))}", draw(WORDS)]
    elif what == "word":
      words.insert(at, draw(WORDS))
    elif at < len(words):
      words[at : at + 1] = [draw(WORDS)] * (what == "other")
  return [command, *words]


@examples(command_lines())
def test_command_lines(folder, monkeypatch, words):
  monkeypatch.setattr(run, "_fit", lambda *_: sys.exit(0))
  save_frames(folder / "in/v"), save_mask(folder / "in/first.png")
  for t in range(3):
    save_mask(folder / f"in/res/{t:05}.png")
  save_frames(folder / "in/mine/frames")
  shutil.copytree(folder / "in/res", folder / "in/mine/masks")
  (folder / "in/list.txt").write_text("v\n")
  return vosjax(folder, *words)
