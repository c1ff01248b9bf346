"""Random and damaged inputs of commands, which must end well, or in one clear line.

A few examples of each kind run with the ordinary tests, and many with `-m slow`.
"""

import contextlib
import functools
import io
import os
import pathlib
import re
import signal
import sys
import tempfile
import time
import types
import warnings

import hypothesis
import jaxtyping
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from vosjax import __main__ as command_line
from vosjax.cli import segment
from vosjax.inference.engine import VideoSegmenter
from vosjax.inference.frame_result import FrameResult
from vosjax.inference.session import Session
from vosjax.media.write import video_writer

_OF_OTHER_THREADS = pytest.mark.filterwarnings(
  # Those that read data draw random numbers while Hypothesis does.
  "ignore::hypothesis.errors.HypothesisDeprecationWarning"
)
QUICK = 5  # examples of each kind in the ordinary tests
SECONDS = 10  # of the processor, for one command
SIZE = (16, 24)
_PLACES = 2**20  # in a file, for damage
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
    @_OF_OTHER_THREADS
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
  known = {*os.listdir(folder), *map(str, arguments)}
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
  if reads:  # libraries that are not written in Python are not watched
    others = [n for n in os.listdir(folder) if not n.lstrip(".").startswith("out")]
    assert set(others) <= known
  assert time.process_time() - began < SECONDS
  final = [line for line in said.splitlines() if line.startswith("vosjax")]
  assert code in (0, 2), said
  assert len(final) == (code == 2), said
  assert "Traceback" not in said and "Exception ignored" not in said, said
  if final:
    assert not UNCLEAR.match(final[0]), final[0]
    assert len(final[0]) < 2000 + sum(len(str(text)) for text in arguments)
  return code


def _content(folder):
  return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@st.composite
def damaged(draw, content):
  """The content as it is, cut off, or with some bytes changed, lost or repeated."""
  how = draw(st.sampled_from(["no", "no", "cut", "flip", "flip", "lose", "repeat"]))
  if how == "no" or not content:
    return content

  def place():
    # What is drawn must not depend on the length, which differs where a file holds
    # paths or times.
    return draw(st.integers(0, _PLACES - 1)) * len(content) // _PLACES

  at = place()
  if how == "cut":
    return content[:at]
  if how == "flip":
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
      changed[place()] = draw(st.integers(0, 255))
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


@functools.cache
def video(suffix):
  """The content of a video file of nine frames."""
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 256, (9, *SIZE, 3), np.uint8)
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / f"a.{suffix}"
    if suffix in ("gif", "webp"):
      first, *others = map(Image.fromarray, pixels)
      first.save(path, save_all=True, append_images=others, duration=40)
    else:
      with video_writer(path, SIZE, 25.0) as write:
        for frame in pixels:
          write(frame)
    return path.read_bytes()
