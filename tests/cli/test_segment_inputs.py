"""What `vosjax segment` takes: parts of a video, any masks, many videos, streams."""

import json
import os
import signal
import sys
import threading
from fractions import Fraction

import jax
import numpy as np
import pytest
from PIL import Image

from vosjax import __main__ as command_line
from vosjax.media.write import video_writer
from vosjax.train import interrupt

av = pytest.importorskip("av")

SIZE = (24, 34)
NAMES = [f"{index:05d}" for index in range(4)]

pytestmark = pytest.mark.usefixtures("copying")


def vosjax(*arguments):
  return command_line.main(["segment", *map(str, arguments)])


def written(out):
  return {path.stem: np.unique(Image.open(path)).tolist() for path in out.glob("*.png")}


def write_video(path, count):
  with video_writer(path, SIZE, 25.0) as write:
    for value in range(count):
      write(np.full((*SIZE, 3), 20 * value, np.uint8))
  return path


def test_a_part_of_a_video_keeps_its_names_and_times(mask, tmp_path, capsys):
  video, out = write_video(tmp_path / "a.mp4", 10), tmp_path / "out"
  part = ("--start", "2", "--end", "0.32s", "--every", "3")
  assert vosjax(video, "--mask", mask, "--out", out, *part) == 2
  assert (
    "first.png: belongs to frame 00000, which is left out" in capsys.readouterr().err
  )
  mask = mask.rename(tmp_path / "00005.png")
  assert vosjax(video, "--mask", mask, "--out", out, *part) == 0
  assert sorted(written(out)) == ["00002", "00005"]
  results = json.loads((out / "results.json").read_text())
  assert [frame["time"] for frame in results["frames"]] == [0.08, 0.2]


@pytest.mark.parametrize("every", ["5", "0.2s", "0:00.2", "00:00:00.2"])
def test_the_distance_of_frames_is_a_number_or_a_time(mask, tmp_path, every):
  video, out = write_video(tmp_path / "a.mp4", 7), tmp_path / "out"
  assert vosjax(video, "--mask", mask, "--out", out, "--every", every) == 0
  assert sorted(written(out)) == ["00000", "00005"]


@pytest.mark.parametrize(
  ("part", "error"),
  [
    (("--start", "4"), "--start 4 --end 4: no frame lies between"),
    (("--start", "soon"), "--start: 'soon' is neither the number of a frame"),
    (("--end", "9"), "--end: frame 9 is beyond the end"),
    (("--every", "0"), "--every 0: expected a number of frames"),
    (("--every", "0:00.001"), "--every 0:00.001: expected a number of frames"),
    (("--every", "9" * 400 + "s"), "expected a number of frames (5) or a time"),
    (("--max-size", "3"), "--max-size is 3; it must be at least 32"),
    (("--save", "overlay,gif"), "output 'gif' is unknown; known: masks, overlay"),
    (("--masks", "x"), "--masks x: is for many videos"),
  ],
)
def test_unusable_options_are_named(frames, mask, tmp_path, capsys, part, error):
  assert vosjax(frames, "--mask", mask, "--out", tmp_path / "out", *part) == 2
  assert error in capsys.readouterr().err
  assert not (tmp_path / "out").exists()


def test_objects_of_masks_that_are_left_out_are_named(
  frames, tmp_path, save_mask, capsys
):
  masks = tmp_path / "masks"
  masks.mkdir()
  save_mask(masks / "00000.png", 1)
  save_mask(masks / "00002.png", 4)
  out = tmp_path / "out"
  assert vosjax(frames, "--mask", masks, "--out", out, "--start", "1") == 0
  warned = "warning: 00000.png: not used, because these frames are left out; object 1 "
  assert warned in capsys.readouterr().err


def test_an_empty_mask_among_others_is_no_fault(frames, tmp_path, save_mask, capsys):
  masks = tmp_path / "masks"
  masks.mkdir()
  save_mask(masks / "00000.png", 0)
  save_mask(masks / "00002.png", 4)
  save_mask(masks / "00003.png", 4, rows=slice(0, 3))
  assert vosjax(frames, "--mask", masks, "--out", tmp_path / "out") == 0
  assert written(tmp_path / "out")["00003"] == [0, 4]
  printed = capsys.readouterr().out
  assert "00000.png: no object" in printed
  assert "masks of 00002 add object 4.\nmasks of 00003 correct object 4.\n" in printed


def test_files_of_single_objects_are_put_together(frames, tmp_path, save_mask):
  one = save_mask(tmp_path / "left.png", 255, rows=slice(0, 5))
  other = save_mask(tmp_path / "right.png", 255, rows=slice(10, 15))
  out = tmp_path / "out"
  assert vosjax(frames, "--mask", one, other, "--out", out, "--save", "objects") == 0
  assert written(out)["00000"] == [0, 1, 2]
  assert sorted(path.name for path in out.iterdir()) == [
    *(f"{name}.png" for name in NAMES),
    "objects",
    "segment.json",
  ]


def test_masks_of_a_video_file_are_numbered_from_0(mask, tmp_path, capsys):
  video, out = write_video(tmp_path / "a.mp4", 4), tmp_path / "out"
  correction = tmp_path / "00002.png"
  correction.write_bytes(mask.read_bytes())
  assert vosjax(video, "--mask", mask, correction, "--out", out) == 0
  captured = capsys.readouterr()
  assert "first.png is of frame 00000, 00002.png is of frame 00002" in captured.out
  assert "warning" not in captured.err
  mask = mask.rename(tmp_path / "0001.png")  # as ffmpeg numbers the first frame
  assert vosjax(video, "--mask", mask, "--out", tmp_path / "late") == 0
  error = capsys.readouterr().err
  assert "warning: the first mask" in error and "frame is 00000.png" in error


def test_white_alone_is_an_object_in_a_palette_mask_too(
  frames, tmp_path, save_mask, capsys
):
  mask = save_mask(tmp_path / "first.png", 255)
  assert vosjax(frames, "--mask", mask, "--out", tmp_path / "out") == 0
  assert written(tmp_path / "out")["00003"] == [0, 1]
  assert (
    "255, the only id besides the background, is object 1" in capsys.readouterr().out
  )


def test_without_pyav_a_folder_is_segmented_all_the_same(
  frames, mask, tmp_path, monkeypatch, capsys
):
  monkeypatch.setitem(sys.modules, "av", None)
  common = (frames, "--mask", mask, "--out", tmp_path / "out")
  assert vosjax(*common, "--save", "overlay") == 2
  assert "overlay.mp4: videos need PyAV. Run `pip" in capsys.readouterr().err
  assert vosjax(*common) == 0
  said = capsys.readouterr().err
  assert "warning: overlay.mp4: videos need PyAV. Run `pip" in said
  assert "The other results are written." in said
  assert sorted(written(tmp_path / "out")) == NAMES
  assert not (tmp_path / "out" / "overlay.mp4").exists()


@pytest.fixture
def videos(tmp_path, frames, save_mask):
  """A folder with a file, a folder of frames, and masks for both."""
  folder, masks = tmp_path / "videos", tmp_path / "masks"
  folder.mkdir()
  masks.mkdir()
  frames.rename(folder / "b")
  write_video(folder / "a.mp4", 3)
  save_mask(masks / "a.png", 2)
  (masks / "b").mkdir()
  save_mask(masks / "b" / "00001.png", 5)
  return folder, masks


def test_many_videos_are_segmented_and_resumed(videos, tmp_path, copying, capsys):
  folder, masks = videos
  out = tmp_path / "out"
  (folder / "c.mp4").write_bytes(b"no video")
  (masks / "c.png").write_bytes((masks / "a.png").read_bytes())
  assert vosjax(folder, "--masks", masks, "--out", out) == 2
  captured = capsys.readouterr()
  assert "1 of 3 videos failed, listed above" in captured.err
  assert f"c: {folder / 'c.mp4'}: cannot be read" in captured.err
  assert written(out / "a") == dict.fromkeys(NAMES[:3], [0, 2])
  assert written(out / "b")["00003"] == [0, 5]
  assert copying.calls == 7
  write_video(folder / "c.mp4", 2)
  assert vosjax(folder, "--masks", masks, "--out", out) == 0
  assert copying.calls == 9
  assert capsys.readouterr().out.count("already finished") == 2


def test_many_videos_are_shared_by_all_devices(videos, tmp_path, copying, monkeypatch):
  folder, masks = videos
  devices, used = jax.local_devices(), set()
  complete = copying.run

  def spy(self, *args, **options):
    used.add(jax.numpy.zeros(()).device)
    together.wait(60)
    return complete(self, *args, **options)

  monkeypatch.setattr(copying, "run", spy)
  for count in {1, min(2, len(devices))}:
    together = threading.Barrier(count)
    monkeypatch.setattr(jax, "local_devices", lambda count=count: devices[:count])
    used.clear()
    out = tmp_path / f"out{count}"
    assert vosjax(folder, "--masks", masks, "--out", out) == 0
    assert used == set(devices[:count])
    for name in ("a", "b"):
      for path in (out / name).glob("*.png"):
        assert path.read_bytes() == (tmp_path / "out1" / name / path.name).read_bytes()


@pytest.mark.skipif(jax.local_device_count() < 2, reason="needs two devices")
def test_ctrl_c_stops_the_videos_of_all_devices_which_go_on(
  videos, tmp_path, copying, monkeypatch, capsys
):
  folder, masks = videos
  complete, record = copying.run, interrupt.Interrupt._record
  together, heard = threading.Barrier(2), threading.Event()

  def interrupted(self, *args, **options):
    for number, result in enumerate(complete(self, *args, **options)):
      if number == 1 and together.wait(60) == 0:
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
      if number == 1:
        assert heard.wait(60)
      yield result

  def listen(self, *args):
    record(self, *args)
    heard.set()

  (masks / "b" / "00001.png").rename(masks / "b" / "00000.png")
  monkeypatch.setattr(copying, "run", interrupted)
  monkeypatch.setattr(interrupt.Interrupt, "_record", listen)
  common = (folder, "--masks", masks, "--out", tmp_path / "out")
  assert vosjax(*common) == 130
  assert copying.calls == 4
  monkeypatch.setattr(copying, "run", complete)
  capsys.readouterr()
  assert vosjax(*common) == 0
  assert capsys.readouterr().out.count("resuming at frame 2 of") == 2
  assert copying.calls == 3 + 4


def test_a_list_names_videos_and_masks(videos, tmp_path, capsys):
  folder, masks = videos
  listed = tmp_path / "list.txt"
  listed.write_text("# mine\nvideos/a.mp4\tmasks/a.png\nvideos/b\tmasks/b\n")
  assert vosjax(listed, "--out", tmp_path / "out") == 0
  assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "b"]
  listed.write_text("videos/z.mp4\n")
  assert vosjax(listed, "--out", tmp_path / "other") == 2
  assert "z failed: " in capsys.readouterr().err
  listed.write_text("# nothing\n")
  assert vosjax(listed, "--out", tmp_path / "other") == 2
  assert "list.txt: lists no video" in capsys.readouterr().err


def test_a_missing_mask_is_the_fault_of_its_video_alone(videos, tmp_path, capsys):
  folder, masks = videos
  (folder / "thumb.jpg").write_bytes(b"no frame")
  (folder / "clip [x1].mp4").write_bytes((folder / "a.mp4").read_bytes())
  (masks / "clip [x1].png").write_bytes((masks / "a.png").read_bytes())
  (masks / "a.png").unlink()
  inside = masks.rename(folder / "masks")
  out = tmp_path / "out"
  assert vosjax(folder, "--masks", inside, "--out", out) == 2
  error = capsys.readouterr().err
  assert "0 masks of video a; expected" in error
  assert "1 of 3 videos failed" in error
  assert sorted(path.name for path in out.iterdir()) == ["b", "clip [x1]"]


def test_arguments_are_checked_for_every_video(videos, tmp_path, capsys):
  folder, masks = videos
  assert vosjax(folder, "--masks", masks, "--out", tmp_path / "out", "--crf") == 2
  error = capsys.readouterr().err
  assert "2 of 2 videos failed" in error
  assert error.count("it does not apply to agame") == 4  # at once and at the end


def test_a_folder_without_results_is_used_again(frames, mask, tmp_path, copying):
  out = tmp_path / "out"
  (out / ".parts").mkdir(parents=True)
  (out / "segment.json").write_text(json.dumps({"finished": False, "inputs": {}}))
  assert vosjax(frames, "--mask", mask, "--out", out) == 0
  (out / "overlay.mp4").unlink()
  assert vosjax(frames, "--mask", mask, "--out", out) == 0
  assert (out / "overlay.mp4").exists()
  assert copying.calls == 8


def test_a_reduced_video_gets_masks_of_its_full_size(tmp_path, capsys):
  size = (48, 64)
  folder, out = tmp_path / "video", tmp_path / "out"
  folder.mkdir()
  rng = np.random.default_rng(0)
  for name in NAMES:
    pixels = rng.integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(folder / f"{name}.png")
  labels = np.zeros(size, np.uint8)
  labels[10:30, 11:33], labels[30:34, 11:33] = 2, 255
  Image.fromarray(labels).save(tmp_path / "first.png")
  common = (folder, "--mask", tmp_path / "first.png", "--out", out)
  assert vosjax(*common, "--max-size", "32") == 0
  first = np.asarray(Image.open(out / "00000.png"))
  np.testing.assert_array_equal(first[labels != 255], labels[labels != 255])
  assert np.asarray(Image.open(out / "00003.png")).shape == size
  labels[:] = 0
  labels[10, 10] = 3
  Image.fromarray(labels).save(tmp_path / "first.png")
  common = (folder, "--mask", tmp_path / "first.png", "--out", tmp_path / "other")
  assert vosjax(*common, "--max-size", "32") == 2
  assert "object 3 of frame 00000 is smaller than a pixel" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_stream_is_segmented_while_it_comes(mask, tmp_path, capsys):
  pipe, out = tmp_path / "pipe", tmp_path / "out"
  os.mkfifo(pipe)
  content = write_video(tmp_path / "a.mp4", 5).read_bytes()
  writer = threading.Thread(target=pipe.write_bytes, args=(content,))
  writer.start()
  assert vosjax(pipe, "--mask", mask, "--out", out) == 0
  writer.join()
  assert written(out) == {f"{number:05d}": [0, 3] for number in range(5)}
  assert (out / "overlay.mp4").exists()
  assert "Ctrl-C ends the stream" in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_stream_of_a_variable_rate_keeps_its_times(mask, tmp_path):
  times = [0.0, 0.04, 0.3, 0.34, 1.0]
  with av.open(str(tmp_path / "a.mkv"), "w") as file:
    stream = file.add_stream("mjpeg", rate=25)
    stream.height, stream.width = SIZE
    stream.pix_fmt, stream.codec_context.time_base = "yuvj420p", Fraction(1, 1000)
    for seconds in times:
      frame = av.VideoFrame.from_ndarray(np.full((*SIZE, 3), 90, np.uint8))
      frame = frame.reformat(format="yuvj420p")
      frame.pts, frame.time_base = round(seconds * 1000), Fraction(1, 1000)
      file.mux(stream.encode(frame))
    file.mux(stream.encode(None))
  pipe, out = tmp_path / "pipe", tmp_path / "out"
  os.mkfifo(pipe)
  content = (tmp_path / "a.mkv").read_bytes()
  writer = threading.Thread(target=pipe.write_bytes, args=(content,))
  writer.start()
  assert vosjax(pipe, "--mask", mask, "--out", out) == 0
  writer.join()
  results = json.loads((out / "results.json").read_text())
  assert [frame["time"] for frame in results["frames"]] == pytest.approx(times)
  with av.open(str(out / "overlay.mp4")) as file:
    shown = [frame.time for frame in file.decode(video=0)]
  assert shown == pytest.approx(times, abs=0.001)


def test_what_a_stream_cannot_have_is_refused(mask, tmp_path, capsys):
  common = ("-", "--mask", mask, "--out", tmp_path / "out")
  assert vosjax(*common, "--start", "3") == 2
  assert "--start needs a video file or a folder" in capsys.readouterr().err
  (tmp_path / "out").mkdir()
  (tmp_path / "out" / "thesis.txt").write_text("precious")
  assert vosjax(*common) == 2
  assert "is not empty, and a stream cannot be resumed" in capsys.readouterr().err


def test_what_is_broken_in_a_folder_of_videos_does_not_stop_the_others(
  frames, mask, tmp_path, capsys
):
  videos = tmp_path / "videos"
  videos.mkdir()
  frames.rename(videos / "a")
  (videos / "broken.mp4").symlink_to(tmp_path / "nowhere.mp4")
  (tmp_path / "masks").mkdir()
  for name in ("a", "broken"):
    (tmp_path / "masks" / f"{name}.png").write_bytes(mask.read_bytes())
  out = tmp_path / "out"
  assert vosjax(videos, "--masks", tmp_path / "masks", "--out", out) == 2
  assert "1 of 2 videos failed" in capsys.readouterr().err
  assert written(out / "a")["00003"] == [0, 3]


def test_a_list_may_begin_as_editors_on_windows_write_it(
  frames, mask, tmp_path, capsys
):
  listed = tmp_path / "list.txt"
  listed.write_text(f"{frames.name}\t{mask.name}\n", encoding="utf-8-sig")
  assert vosjax(listed, "--out", tmp_path / "out") == 0
  listed.write_text("video\n", encoding="utf-16")
  assert vosjax(listed, "--out", tmp_path / "other") == 2
  assert "list.txt: is not UTF-8 text" in capsys.readouterr().err
