"""Video files: which frames there are, reading them in any order, and damage."""

import dataclasses
import pathlib
import re
from fractions import Fraction

import numpy as np
import pytest

from vosjax.media import decoding, pixels, random_access, video_file
from vosjax.media.read import read_video
from vosjax.media.video_frames import describe

av = pytest.importorskip("av")

SIZE = (64, 96)
NUM_FRAMES = 50


def content(number):
  """A frame whose gray tells its number, with some texture."""
  noise = np.random.default_rng(0).integers(0, 30, (*SIZE, 3), np.uint8)
  return np.roll(noise, number, axis=1) + np.uint8(4 * number)


def number_of(frame):
  return int(round((float(frame.mean()) - 14.5) / 4))


def write(
  path, codec="libx264", *, frames=NUM_FRAMES, times=None, size=SIZE, **options
):
  """Encodes numbered frames; a keyframe every 10."""
  if codec != "mjpeg":
    options = {"g": "10", "keyint_min": "10", "bf": "2", "crf": "5"} | options
  with av.open(str(path), "w") as file:
    stream = file.add_stream(codec, rate=25, options=options)
    stream.height, stream.width = size
    stream.codec_context.time_base = Fraction(1, 1000 if times is not None else 25)
    stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    for number in range(frames):
      image = av.VideoFrame.from_ndarray(content(number)[: size[0], : size[1]])
      image = image.reformat(format=stream.pix_fmt)
      time = number / 25 if times is None else times[number]
      image.pts, image.time_base = round(time * 1000), Fraction(1, 1000)
      file.mux(stream.encode(image))
    file.mux(stream.encode(None))
  return path


@pytest.fixture(scope="module")
def video(tmp_path_factory):
  return write(tmp_path_factory.mktemp("video") / "v.mp4")


@pytest.fixture
def long_videos(monkeypatch):
  """Treats every video as one whose frames do not fit in memory."""
  monkeypatch.setattr(video_file, "_KEPT_BYTES", 0)
  monkeypatch.setattr(random_access, "_RECENT_BYTES", 0)


# Containers and codecs whose packets differ in what they say of their frames
KINDS = [
  ("v.mp4", "libx264", {}),
  ("open.mp4", "libx264", {"x264-params": "open-gop=1:scenecut=0"}),
  ("v.mkv", "libx264", {}),
  ("v.ts", "libx264", {}),
  ("v.avi", "libx264", {}),  # guesses the order of frames
  ("v.h264", "libx264", {}),  # no times at all
  ("v.webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "400k"}),
  ("v.mpg", "mpeg2video", {"b": "4M"}),
  ("mjpeg.avi", "mjpeg", {"qmin": "2", "qmax": "3"}),
]


@pytest.mark.parametrize(
  ("name", "codec", "options"), KINDS, ids=lambda kind: str(kind)
)
def test_packets_list_the_frames_that_are_decoded(
  name, codec, options, tmp_path, long_videos
):
  path = write(tmp_path / name, codec, **options)
  checked, listed = read_video(path), read_video(path, check=False)
  assert not checked.warnings and checked.kept is None
  assert len(listed) == len(checked) == NUM_FRAMES
  assert listed.frame_names == checked.frame_names
  np.testing.assert_allclose(listed.times, np.arange(NUM_FRAMES) / 25, atol=0.002)
  order = (0, 1, 33, 34, 12, 11, 10, 9, 49, 0, 25)
  assert [number_of(listed[index]) for index in order] == list(order)
  assert [number_of(checked[index]) for index in order] == list(order)


def test_a_short_video_is_decoded_once(video, monkeypatch):
  read = read_video(video)
  monkeypatch.setattr(video_file.decoding, "open_video", None)  # never opened again
  assert [number_of(frame) for frame in read] == list(range(NUM_FRAMES))


def test_frames_that_are_remembered_keep_no_threads(video):
  tasks = pathlib.Path("/proc/self/task")
  if not tasks.is_dir():
    pytest.skip("only Linux lists threads as files")
  opened = read_video(video)
  assert opened[0].shape
  before = len(list(tasks.iterdir()))
  assert all(opened[index].shape for index in range(len(opened)))
  assert len(list(tasks.iterdir())) <= before + 1


def test_going_back_does_not_start_again(video, long_videos, monkeypatch):
  """Backwards, each group of pictures is decoded a few times, not once per frame."""
  monkeypatch.setattr(random_access, "_RECENT_BYTES", 5 * SIZE[0] * SIZE[1] * 2)
  read, decoded = read_video(video), []
  remember = random_access.FrameReader._remember
  monkeypatch.setattr(
    random_access.FrameReader,
    "_remember",
    lambda reader, *frame: decoded.append(1) or remember(reader, *frame),
  )
  backwards = range(NUM_FRAMES - 1, -1, -1)
  assert [number_of(read[index]) for index in backwards] == list(backwards)
  assert len(decoded) <= 4 * NUM_FRAMES


def test_a_cut_that_starts_between_keyframes_shows_what_players_show(video, tmp_path):
  """An edit list hides the frames before the cut, which are needed for decoding."""
  with av.open(str(video)) as file, av.open(str(tmp_path / "cut.mp4"), "w") as cut:
    source = file.streams.video[0]
    stream = cut.add_stream_from_template(source)
    start = int(0.56 / source.time_base)
    file.seek(start, stream=source)
    for packet in file.demux(source):
      if packet.dts is not None:
        packet.pts -= start
        packet.dts -= start
        packet.stream = stream
        cut.mux(packet)
  for check in (True, False):
    read = read_video(tmp_path / "cut.mp4", check=check)
    assert [number_of(frame) for frame in read] == list(range(14, NUM_FRAMES))
    assert read.frame_names[0] == "00000" and read.times[0] == 0


def test_a_recording_that_starts_between_keyframes_begins_with_one(tmp_path):
  path = write(tmp_path / "v.h264", bf="0")
  content = path.read_bytes()
  path.write_bytes(content[content.index(b"\0\0\1\x41") - 1 :])  # after the keyframe
  for check in (True, False):
    read = read_video(path, check=check)
    assert "starts in the middle of a group of pictures" in read.warnings[0]


def test_times_of_a_variable_rate(tmp_path):
  times = np.cumsum([0, *np.tile([0.1, 0.02], 25)])[:NUM_FRAMES]
  read = read_video(write(tmp_path / "v.mkv", times=times))
  np.testing.assert_allclose(read.times, times, atol=0.0011)
  assert "frames/s (variable), H.264" in describe(read)


def corrupt(path, start, length=60):
  content = bytearray(path.read_bytes())
  content[start : start + length] = bytes(length)
  path.write_bytes(content)


def packet_at(path, number):
  with av.open(str(path)) as file:
    packets = [packet for packet in file.demux(video=0) if packet.size]
  return packets[number]


def test_damage_is_refused_first_and_left_out_if_allowed(tmp_path, monkeypatch):
  path = write(tmp_path / "v.mp4", bf="0")
  corrupt(path, packet_at(path, 25).pos, 2000)
  said = r"v\.mp4: frames? 00025.* lost.*traces, up to the keyframe frame 000[34]0.*"
  with pytest.raises(ValueError, match=said + "give --allow-damaged to go on with"):
    read_video(path)
  for kept in (video_file._KEPT_BYTES, 0):
    monkeypatch.setattr(video_file, "_KEPT_BYTES", kept)
    read = read_video(path, allow_damaged=True)
    assert "00025" not in read.frame_names and len(read) < NUM_FRAMES
    assert "00025" in read.warnings[0] and "lost" in read.warnings[0]
    last = read.frame_names.index("00044")  # later frames keep their names and times
    assert number_of(read[last]) == 44 and read.times[last] == pytest.approx(1.76)
  unchecked = read_video(path, check=False)
  with pytest.raises(ValueError, match=r"v\.mp4: frame 00025 \(1\.00 s\) is damaged"):
    unchecked[25]
  assert number_of(unchecked[44]) == 44


@pytest.mark.parametrize("kept_bytes", [video_file._KEPT_BYTES, 0])
def test_frames_after_a_lost_keyframe_keep_their_names(
  kept_bytes, tmp_path, monkeypatch
):
  """The decoder then returns a later frame too early, and no frame for the keyframe."""
  monkeypatch.setattr(video_file, "_KEPT_BYTES", kept_bytes)
  path = write(tmp_path / "v.mp4")
  keyframe = packet_at(path, 20)
  assert keyframe.is_keyframe
  corrupt(path, keyframe.pos, keyframe.size)
  with av.open(str(path)) as file:
    stamps = [
      f.pts for f in video_file.decoding.decode(file, file.streams.video[0], [])
    ]
  assert stamps != sorted(stamps)
  read = read_video(path, allow_damaged=True)
  assert read.is_timed and "frames 00020 to " in read.warnings[0]
  assert "00020" not in read.frame_names and read.frame_names[-1] == "00049"
  names = [*range(20), *range(30, 50)]  # those between may show traces
  order = [read.frame_names.index(f"{name:05d}") for name in names]
  assert [number_of(read[index]) for index in order] == names
  assert [number_of(read[index]) for index in order[::-1]] == names[::-1]


def test_late_frames_alone_are_damage(tmp_path, monkeypatch):
  path, decode = write(tmp_path / "v.mp4"), video_file.decoding.decode

  def late(*args, **options):
    frames = list(decode(*args, **options))
    return iter([*frames[:19], frames[20], frames[19], *frames[21:]])

  monkeypatch.setattr(video_file.decoding, "decode", late)
  with pytest.raises(ValueError, match=r"frame 00019 \(0\.76 s\) is out of order"):
    read_video(path)
  read = read_video(path, allow_damaged=True)
  assert [number_of(frame) for frame in read] == list(range(NUM_FRAMES))


def test_wrong_time_stamps_do_not_tell_the_order(tmp_path, monkeypatch):
  path, decode = write(tmp_path / "v.mp4"), video_file.decoding.decode

  def wrong(*args, **options):
    frames = list(decode(*args, **options))
    stamps = [frame.pts for frame in frames]
    for frame, number in zip(frames, np.arange(NUM_FRAMES) ^ 1, strict=True):
      frame.pts = stamps[number]
    return iter(frames)

  monkeypatch.setattr(video_file.decoding, "decode", wrong)
  read = read_video(path)
  assert not read.is_timed and not read.warnings
  assert [number_of(frame) for frame in read] == list(range(NUM_FRAMES))


@pytest.mark.parametrize("check", [True, False])
def test_a_jump_in_time_is_warned_of_at_a_constant_rate_only(check, tmp_path):
  """FFmpeg skips a destroyed block of Matroska, and says nothing."""
  path = write(tmp_path / "v.mkv", bf="0")
  keyframe = packet_at(path, 20)
  content = bytearray(path.read_bytes())
  content[keyframe.pos : keyframe.pos + keyframe.size] = b"\xff" * keyframe.size
  path.write_bytes(content)
  read = read_video(path, check=check)
  assert len(read) < NUM_FRAMES
  said = r"v\.mkv: after frame 00019 \(0\.76 s\), time jumps by 0\.\d+ s, as if \d+ fr"
  assert len(read.warnings) == 1 and re.search(said, read.warnings[0])
  steps = np.random.default_rng(0).choice([0.04, 0.08, 0.2], NUM_FRAMES)
  screen = write(tmp_path / "screen.mkv", times=np.cumsum(steps))
  assert not read_video(screen, check=check).warnings


@pytest.mark.parametrize(
  ("name", "codec"), [("v.avi", "mjpeg"), ("v.mkv", "libx264"), ("v.ts", "libx264")]
)
def test_the_good_part_of_a_file_that_is_cut_off(name, codec, tmp_path):
  path = write(tmp_path / name, codec, bf="0")
  content = path.read_bytes()
  path.write_bytes(content[: int(len(content) * 0.5) | 1])
  with pytest.raises(ValueError, match="is cut off: .*--allow-damaged"):
    read_video(path)
  read = read_video(path, allow_damaged=True)
  assert 15 < len(read) < 35
  assert [number_of(frame) for frame in read] == list(range(len(read)))
  assert "is cut off" in read.warnings[0]


def test_a_recording_without_index_says_what_can_be_done(video, tmp_path):
  content = video.read_bytes()
  (tmp_path / "v.mp4").write_bytes(content[: content.index(b"moov") - 4])
  with pytest.raises(ValueError, match=r"has no index .*moov.*untrunc"):
    read_video(tmp_path / "v.mp4", allow_damaged=True)


def test_frames_of_another_size_are_named(tmp_path):
  first = write(tmp_path / "1.h264", frames=10)
  second = write(tmp_path / "2.h264", frames=10, size=(32, 48))
  path = tmp_path / "v.h264"
  path.write_bytes(first.read_bytes() + second.read_bytes())
  said = "frames 00010 to 00019 are 48x32, but the first frame is 96x64"
  with pytest.raises(ValueError, match=said):
    read_video(path)
  assert len(read_video(path, allow_damaged=True)) == 10
  with pytest.raises(ValueError, match="frame 00010 .*is 48x32"):
    list(read_video(path, check=False))


def test_progress_is_told(video):
  told = []
  read_video(video, progress=lambda done, total: told.append((done, total)))
  assert told == [(number + 1, NUM_FRAMES) for number in range(NUM_FRAMES)]


@pytest.mark.parametrize(
  ("matrix", "turn", "said"),
  [
    ((1, 0, 0, 1), lambda image: image, None),
    ((-1, 0, 0, 1), lambda image: image[:, ::-1], "mirrored"),
    ((1, 0, 0, -1), lambda image: image[::-1], "mirrored upside down"),
    ((-1, 0, 0, -1), lambda image: np.rot90(image, 2), "rotated 180 degrees"),
    ((0, 1, -1, 0), lambda image: np.rot90(image, -1), "rotated 90 degrees clockwise"),
    (
      (0, -1, 1, 0),
      lambda image: np.rot90(image),
      "rotated 90 degrees counterclockwise",
    ),
    (
      (0, 1, 1, 0),
      lambda image: image.transpose(1, 0, 2),
      "rotated 90 degrees and mirrored",
    ),
    (
      (0, -1, -1, 0),
      lambda image: np.rot90(image, 2).transpose(1, 0, 2),
      "rotated 90 degrees and mirrored",
    ),
  ],
)
def test_display_matrices_rotate_and_mirror(matrix, turn, said, tmp_path):
  image = np.zeros((*SIZE, 3), np.uint8)
  image[:16], image[:, :32, 0] = 200, 250
  path = tmp_path / "phone.mp4"
  with av.open(str(path), "w") as file:
    stream = file.add_stream("libx264", rate=25, options={"crf": "1"})
    stream.height, stream.width = SIZE
    for frame in (av.VideoFrame.from_ndarray(image), None):
      file.mux(stream.encode(frame))
  plain = read_video(path)[0]
  identity = b"".join(v.to_bytes(4, "big") for v in (1 << 16, 0, 0, 0, 1 << 16))
  a, b, c, d = (value << 16 for value in matrix)
  other = b"".join(v.to_bytes(4, "big", signed=True) for v in (a, b, 0, c, d))
  content = path.read_bytes()
  track = content.index(b"tkhd")
  position = content.index(identity, track)
  path.write_bytes(content[:position] + other + content[position + 20 :])
  video = read_video(path)
  np.testing.assert_array_equal(video[0], turn(plain))
  assert video.size == video[0].shape[:2]
  assert video.details == ((said, "H.264") if said else ("H.264",))


def write_deep(path, values, format):
  with av.open(str(path), "w") as file:
    stream = file.add_stream("ffv1", rate=25)
    stream.height, stream.width = values[0].shape[:2]
    stream.pix_fmt = format
    for value in values:
      frame = av.VideoFrame.from_ndarray(value, format="gray16le")
      file.mux(stream.encode(frame.reformat(format=format)))
    file.mux(stream.encode(None))


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_deep_values_are_scaled_by_the_range_of_the_whole_video(bits, tmp_path):
  gray = np.linspace(0, 250, SIZE[0] * SIZE[1]).reshape(SIZE)
  largest = (1 << bits) - 1
  values = [(gray * scale / 255 * largest).astype(np.uint16) for scale in (0.1, 1)]
  write_deep(tmp_path / "v.mkv", values, "gray16le")
  read = read_video(tmp_path / "v.mkv")
  for frame, scale in zip(read, (0.1, 1), strict=True):
    np.testing.assert_allclose(frame[:, :, 1], gray * scale, atol=1.6)
  assert bool(read.warnings) == (bits < 16)


def test_gray_in_a_luma_plane_of_16_bits_is_scaled(tmp_path):
  frame = av.VideoFrame(96, 64, "yuv444p16le")
  luma = np.full(SIZE, 2048, np.uint16)
  for plane, values in zip(frame.planes, (luma, luma * 16, luma * 16), strict=True):
    rows = np.zeros((64, plane.line_size // 2), np.uint16)
    rows[:, :96] = values
    plane.update(rows.tobytes())
  values = pixels.deep_values(frame)
  np.testing.assert_array_equal(values, luma)
  assert (pixels.to_rgb(frame, pixels.Orientation(), 12) == 128).all()


def test_a_file_may_have_any_name_and_other_streams(tmp_path, video):
  path = tmp_path / "Mein Video: 100 % (1).mp4"
  path.write_bytes(video.read_bytes())
  assert len(read_video(path)) == NUM_FRAMES


def test_metadata_need_not_be_utf_8(tmp_path, video):
  path = tmp_path / "v.mp4"
  path.write_bytes(video.read_bytes().replace(b"Lavf", b"caf\xe9"))
  with pytest.raises(UnicodeEncodeError), decoding.open_video(path) as file:
    file.metadata["encoder"].encode()
  assert len(read_video(path)) == NUM_FRAMES


@pytest.mark.parametrize("content", [b"", b"text", b"\0" * 5000])
def test_what_is_no_video_is_named(content, tmp_path):
  path = tmp_path / "v.mp4"
  path.write_bytes(content)
  with pytest.raises(ValueError, match=r"v\.mp4: cannot be read as a video"):
    read_video(path)


def test_the_first_of_several_videos_is_read(tmp_path):
  path = tmp_path / "v.mkv"
  with av.open(str(path), "w") as file:
    streams = [file.add_stream("mjpeg", rate=25) for _ in range(2)]
    for stream in streams:
      stream.height, stream.width, stream.pix_fmt = *SIZE, "yuvj420p"
    for stream, gray in zip(streams, (50, 200), strict=True):
      image = av.VideoFrame.from_ndarray(np.full((*SIZE, 3), gray, np.uint8))
      file.mux(stream.encode(image.reformat(format="yuvj420p")))
      file.mux(stream.encode(None))
  video = read_video(path)
  assert abs(float(video[0].mean()) - 50) < 3
  assert video.warnings == (
    f"{path}: has 2 video streams; the first one is used (96x64).",
  )


def test_interlaced_frames_are_warned_of(tmp_path):
  path = write(tmp_path / "v.ts", **{"x264-params": "interlaced=1"})
  for check in (True, False):
    video = read_video(path, check=check)
    assert len(video) == NUM_FRAMES and "is interlaced" in video.warnings[0]


def test_packets_that_show_no_frame_are_found_by_decoding(tmp_path, monkeypatch):
  """Such as the second field of an interlaced frame, here added to the list."""
  path, index = write(tmp_path / "v.mp4"), video_file.index_packets

  def with_more(container, stream):
    found = index(container, stream)
    more = sorted(found.stamps + tuple(stamp + 1 for stamp in found.stamps))
    return dataclasses.replace(found, stamps=tuple(more))

  monkeypatch.setattr(video_file, "index_packets", with_more)
  for check in (True, False):
    video = read_video(path, check=check)
    assert len(video) == NUM_FRAMES and not video.warnings
