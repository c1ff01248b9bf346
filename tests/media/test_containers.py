"""Files that were cut off, without decoding anything."""

import numpy as np
import pytest

from vosjax.media import containers

av = pytest.importorskip("av")


def write(path, codec, frames=30, **options):
  noise = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
  with av.open(str(path), "w", options=options) as file:
    stream = file.add_stream(codec, rate=25, width=48, height=32)
    stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    for number in range(frames):
      image = av.VideoFrame.from_ndarray(np.roll(noise, number, 1))
      file.mux(stream.encode(image.reformat(format=stream.pix_fmt)))
    file.mux(stream.encode(None))


@pytest.mark.parametrize(
  ("name", "codec", "options"),
  [
    ("v.mp4", "libx264", {"movflags": "+faststart"}),
    ("fragments.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
    ("v.mov", "libx264", {"movflags": "+faststart"}),
    ("v.avi", "mjpeg", {}),
    ("v.mkv", "libx264", {}),
    ("v.webm", "libvpx", {}),
    ("v.ts", "libx264", {}),
  ],
)
def test_a_missing_end_is_noticed(name, codec, options, tmp_path):
  path = tmp_path / name
  write(path, codec, **options)
  assert containers.cut_off(path) is None
  content = path.read_bytes()
  path.write_bytes(content[: int(len(content) * 0.6) | 1])
  assert containers.cut_off(path)


def test_live_recordings_state_no_length(tmp_path):
  path = tmp_path / "live.webm"
  write(path, "libvpx", live="1")
  path.write_bytes(path.read_bytes()[:-100])
  assert containers.cut_off(path) is None


@pytest.mark.parametrize("content", [b"", b"RIFF", b"\x00\x00", b"text " * 300])
def test_other_files_are_not_judged(content, tmp_path):
  path = tmp_path / "other"
  path.write_bytes(content)
  assert containers.cut_off(path) is None and not containers.has_no_index(path)


def test_a_recording_without_index_is_recognised(tmp_path):
  path = tmp_path / "v.mp4"
  write(path, "libx264")  # the index comes last
  assert not containers.has_no_index(path)
  content = path.read_bytes()
  path.write_bytes(content[: content.index(b"moov") - 4])
  assert containers.has_no_index(path)
