"""Frames from standard input, pipes, cameras and addresses."""

import io
import os
import sys
import threading

import numpy as np
import pytest

from vosjax.media.stream import is_stream, open_stream

av = pytest.importorskip("av")

SIZE = (32, 48)
GRAYS = tuple(range(10, 250, 12))


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
  path = tmp_path_factory.mktemp("stream") / "v.mkv"
  texture = np.random.default_rng(0).integers(0, 9, (*SIZE, 3), np.uint8)
  with av.open(str(path), "w") as file:
    stream = file.add_stream("libx264", rate=20, options={"bf": "0", "crf": "5"})
    stream.height, stream.width = SIZE
    for number, gray in enumerate(GRAYS):
      image = av.VideoFrame.from_ndarray(np.roll(texture, number, 1) + np.uint8(gray))
      file.mux(stream.encode(image))
    file.mux(stream.encode(None))
  return path


class Pipe(io.BytesIO):
  """Bytes that can be read once only, as those of standard input."""

  def seekable(self):
    return False

  def seek(self, *_):
    raise OSError("a pipe cannot seek")

  def tell(self):
    raise OSError("a pipe has no position")


@pytest.fixture
def standard_input(monkeypatch):
  def give(content):
    source = type("Input", (), {"buffer": Pipe(content)})
    monkeypatch.setattr(sys, "stdin", source)

  return give


def test_standard_input_is_read_frame_by_frame(recording, standard_input):
  not_utf_8 = recording.read_bytes().replace(b"Lavf", b"caf\xe9")
  standard_input(not_utf_8)
  with open_stream("-") as stream:
    assert stream.size == SIZE and stream.frames_per_second == 20
    times, frames = zip(*stream, strict=True)
    assert stream.problem is None and not stream.num_lost
  np.testing.assert_allclose(times, np.arange(len(GRAYS)) / 20, atol=0.002)
  assert [int(frame.mean().round()) for frame in frames] == pytest.approx(
    [gray + 4 for gray in GRAYS], abs=2
  )


def test_a_named_pipe(recording, tmp_path):
  pipe = tmp_path / "pipe"
  os.mkfifo(pipe)
  writer = threading.Thread(target=pipe.write_bytes, args=(recording.read_bytes(),))
  writer.start()
  assert is_stream(str(pipe))
  with open_stream(str(pipe)) as stream:
    assert len(list(stream)) == len(GRAYS)
  writer.join()


def test_a_broken_stream_ends_and_says_so(recording, standard_input):
  damaged = bytearray(recording.read_bytes())
  with av.open(str(recording)) as file:
    packet = [packet for packet in file.demux(video=0) if packet.size][10]
  start = damaged.index(bytes(packet))
  damaged[start : start + packet.size] = bytes(packet.size)
  standard_input(bytes(damaged))
  with open_stream("-") as stream:
    assert len(list(stream)) == len(GRAYS) - 1
  assert stream.num_lost == 1
  assert stream.problem.startswith("standard input: broke off or was damaged, up to")


@pytest.mark.parametrize("content", [b"", b"no video at all"])
def test_what_is_no_video_is_named(content, standard_input):
  standard_input(content)
  with pytest.raises(ValueError, match="standard input: cannot be read as a video"):
    open_stream("-")


def test_an_mp4_with_its_index_last_cannot_be_a_stream(standard_input, tmp_path):
  path = tmp_path / "v.mp4"
  with av.open(str(path), "w") as file:
    stream = file.add_stream("mjpeg", rate=20)
    stream.height, stream.width = 480, 640
    stream.pix_fmt = "yuvj420p"
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    for _ in range(10):
      image = av.VideoFrame.from_ndarray(noise).reformat(format="yuvj420p")
      file.mux(stream.encode(image))
    file.mux(stream.encode(None))
  standard_input(path.read_bytes())
  with pytest.raises(ValueError, match="standard input: .*(index|cannot be read)"):
    open_stream("-")


@pytest.mark.parametrize(
  ("source", "is_one"),
  [("-", True), ("0", True), ("rtsp://host/1", True), ("v.mp4", False), (".", False)],
)
def test_streams_are_told_from_files(source, is_one):
  assert is_stream(source) == is_one


def test_a_camera_that_is_not_there_is_named():
  if os.path.exists("/dev/video97"):
    pytest.skip("this machine has camera 97")
  with pytest.raises(ValueError, match="^(camera )?97: "):
    open_stream("97")
