"""All kinds of results at once: complete, atomic and resumable."""

import errno
import json
import os
import time

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from vosjax.media import outputs
from vosjax.media.outputs import video_parts, videos

VIDEOS = ("overlay.mp4", "green.mp4", "alpha.webm", "alpha.mov")


def decode(path, decoder=None):
  """Seconds, RGB image and, if there is one, the alpha plane of every frame."""
  import av

  found = []
  with av.open(str(path)) as file:
    stream = file.streams.video[0]
    codec = av.CodecContext.create(decoder, "r") if decoder else stream
    for packet in file.demux(stream):
      for frame in codec.decode(packet):
        shown, image = frame.pts * stream.time_base, frame.to_ndarray(format="rgb24")
        found.append((float(shown), image, alpha_of(frame)))
  return found


def alpha_of(frame):
  """Opacity from 0 to 1; None if the frame has no alpha."""
  if len(frame.planes) < 4:
    return None
  bits = frame.format.components[3].bits
  plane = np.frombuffer(frame.planes[3], np.uint16 if bits > 8 else np.uint8)
  return plane.reshape(frame.height, -1)[:, : frame.width] / (2**bits - 1)


def test_every_kind_is_written_and_nothing_else_is_left(toy, write_job):
  folder = write_job(outputs.KINDS)
  names = {f"{index:05d}.png" for index in range(toy.length)}
  assert {path.name for path in folder.glob("*.png")} == names
  for part in ("alpha", "objects/1", "objects/7", "probs/1", "probs/7"):
    assert {path.name for path in (folder / part).iterdir()} == names
  others = {path.name for path in folder.iterdir()} - names
  assert others == {*outputs.final_files(outputs.KINDS), "alpha", "objects", "probs"}
  assert {*VIDEOS} < others


def test_a_job_that_goes_on_after_an_interruption_gives_the_same_results(write_job):
  whole = write_job(outputs.KINDS, "whole", every=6)
  with pytest.raises(KeyboardInterrupt):
    write_job(outputs.KINDS, "cut", every=6, interrupt=11)
  cut = whole.with_name("cut")
  assert not {path.name for path in cut.iterdir()} & {
    *outputs.final_files(outputs.KINDS)
  }
  (cut / ".parts" / ".overlay-00000006.99.part.mp4").write_bytes(b"killed")
  (cut / "objects" / "7" / ".00010.99.part.png").write_bytes(b"killed")
  assert outputs.checkpoints(cut) == (6,)  # object 7 is lost in frames 4 to 7
  write_job(outputs.KINDS, "cut", start=6, every=6)
  found = sorted(path.relative_to(cut) for path in cut.rglob("*") if path.is_file())
  expected = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file())
  assert found == expected
  for path in found:
    if path.name not in VIDEOS:
      assert (cut / path).read_bytes() == (whole / path).read_bytes(), path
  for name in VIDEOS:
    for (shown, image, _), (other_shown, other, _) in zip(
      decode(whole / name), decode(cut / name), strict=True
    ):
      assert shown == other_shown
      np.testing.assert_array_equal(image, other)


@pytest.mark.parametrize("name", VIDEOS)
def test_videos_keep_the_times_of_their_frames(write_job, name):
  kind = {"alpha.webm": "alpha", "alpha.mov": "alpha-prores"}.get(name, name[:-4])
  times = 3 + np.cumsum([0.0, 0.04, 0.5, 0.02, *[0.1] * 5, 0.01, 1.0, 0.3])
  folder = write_job([kind], times=times, every=3)
  found = [shown for shown, *_ in decode(folder / name)]
  np.testing.assert_allclose(found, times - times[0], atol=0.0006)


def test_parts_are_joined_without_a_loss_at_a_constant_rate(toy, write_job):
  one = decode(write_job(["alpha-prores"], "one", every=99) / "alpha.mov")
  many = decode(write_job(["alpha-prores"], "many", every=1) / "alpha.mov")
  np.testing.assert_allclose(
    [t for t, *_ in many], np.arange(toy.length) / 25, atol=1e-6
  )
  for (_, image, _), (_, other, _) in zip(one, many, strict=True):
    np.testing.assert_array_equal(image, other)


@pytest.mark.parametrize(
  ("kind", "name", "decoder"),
  [("alpha", "alpha.webm", "libvpx-vp9"), ("alpha-prores", "alpha.mov", None)],
)
def test_videos_with_alpha_are_transparent_outside_of_objects(
  toy, write_job, kind, name, decoder
):
  frames = decode(write_job([kind]) / name, decoder)
  assert len(frames) == toy.length
  for index, (*_, alpha) in enumerate(frames):
    opaque = alpha[: toy.size[0], : toy.size[1]] > 0.5
    assert (opaque != (toy.labels_of(index) > 0)).mean() < 0.04


def test_alpha_images_follow_probabilities_and_labels(toy, write_job):
  image = np.asarray(Image.open(write_job(["alpha"]) / "alpha" / "00003.png"))
  labels = toy.labels_of(3)
  summed = toy.probs_of(3).sum(0)  # 0.875 in objects, 0.25 elsewhere
  expected = ((summed - 0.1) / 0.8 * 255).clip(0, 255)
  inside = labels > 0
  near = ndimage.binary_dilation(inside) & ~ndimage.binary_erosion(inside)
  np.testing.assert_allclose(image[near, 3], expected[near], atol=1)
  far = ndimage.distance_transform_edt(inside) + ndimage.distance_transform_edt(~inside)
  np.testing.assert_array_equal(image[far > 4, 3], np.where(inside, 255, 0)[far > 4])
  assert ((image[..., 3] >= 128) == (labels > 0)).all()


def test_objects_and_probabilities_are_images_of_each_object(toy, write_job):
  folder = write_job(["objects", "probs"])
  mask = Image.open(folder / "objects" / "7" / "00002.png")
  np.testing.assert_array_equal(np.asarray(mask) > 0, toy.labels_of(2) == 7)
  probs = np.asarray(Image.open(folder / "probs" / "7" / "00002.png"))
  np.testing.assert_array_equal(probs, np.round(toy.probs_of(2)[1] * 65535))


def test_green_is_where_no_object_is(toy, write_job):
  _, image, _ = decode(write_job(["green"]) / "green.mp4")[5]
  assert image.shape[:2] == (34, 52)
  assert np.abs(image[0, 0].astype(int) - (0, 177, 64)).max() < 20
  assert np.abs(image[24, 32].astype(int) - toy.frame_of(5)[24, 32]).max() < 40


def test_what_cannot_be_written_is_raised_and_keeps_all_before(
  toy, write_job, monkeypatch
):
  def full(part, frame):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(part.path))

  writes = video_parts.VideoParts.write
  monkeypatch.setattr(
    video_parts.VideoParts,
    "write",
    lambda part, frame: (full if part._next == 6 else writes)(part, frame),
  )
  with pytest.raises(OSError, match=r"No space left on device: .*overlay.mp4"):
    write_job(["masks", "overlay"])
  monkeypatch.undo()
  folder = write_job(["masks", "overlay"], start=4)
  assert len(decode(folder / "overlay.mp4")) == toy.length


def test_videos_that_could_not_be_joined_are_joined_later(
  toy, write_job, monkeypatch, tmp_path
):
  def full(part, timing):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(part.path))

  monkeypatch.setattr(video_parts.VideoParts, "join", full)
  with pytest.raises(OSError, match="No space left on device"):
    write_job(["overlay"])
  monkeypatch.undo()
  assert outputs.checkpoints(tmp_path / "out")[-1] == toy.length
  folder = write_job(["overlay"], start=toy.length)
  assert len(decode(folder / "overlay.mp4")) == toy.length


def test_parts_of_different_encoders_are_not_joined(toy, write_job):
  with pytest.raises(KeyboardInterrupt):
    write_job(["overlay"], interrupt=7)
  with pytest.raises(ValueError, match=r"overlay.mp4: parts in .* different encoders"):
    write_job(["overlay"], start=4, size=(66, 102), stop=5)


def test_an_error_of_lazy_labels_reaches_the_caller_as_it_is(toy, tmp_path):
  error = ValueError("frame 00000 failed on the device")

  def fail():
    raise error

  with (
    pytest.raises(ValueError, match="failed on the device") as caught,
    outputs.open_outputs(
      ["masks"], tmp_path, video_name="toy", size=toy.size, frames_per_second=25.0
    ) as out,
  ):
    out.write(0, "00000", np.zeros((*toy.size, 3), np.uint8), fail)
  assert caught.value is error
  assert not list(tmp_path.glob("*.png"))


def test_frames_come_in_order(toy, tmp_path):
  with (
    pytest.raises(ValueError, match="frame 3 came, frame 0 is next"),
    outputs.open_outputs(
      ["masks"], tmp_path, video_name="toy", size=toy.size, frames_per_second=25.0
    ) as out,
  ):
    out.write(3, "00003", np.zeros((*toy.size, 3), np.uint8), toy.labels_of(3))


def test_unknown_kinds_and_checkpoints_are_refused(write_job):
  with pytest.raises(ValueError, match="output 'gif' is unknown; known: masks, "):
    write_job(["gif"])
  with pytest.raises(ValueError, match=r"cannot go on at frame 5; checkpoints are at"):
    write_job(["masks"], start=5)


@pytest.mark.parametrize("where", ["draw", "encode"])
def test_errors_name_the_frame_that_they_belong_to(where, toy, write_job, monkeypatch):
  """They reach the caller while it is at a later frame."""
  error, encoded = RuntimeError("it failed", 7), []

  def draw(image, labels):  # by the image: threads draw frames in any order
    if np.array_equal(image, toy.frame_of(3)):
      raise error
    return image

  def encode(parts, frame):
    encoded.append(frame)
    if len(encoded) == 4:
      raise error

  if where == "draw":
    monkeypatch.setattr(videos.viz, "overlay", draw)
  else:
    monkeypatch.setattr(video_parts.VideoParts, "write", encode)
  with pytest.raises(RuntimeError) as caught:
    write_job(["overlay"], every=99)
  assert caught.value is error and error.args == ("frame 00003: it failed", 7)


def test_ctrl_c_loses_no_part_and_no_output(toy, tmp_path, monkeypatch, interrupt_soon):
  """As in a stream, which Ctrl-C ends: what was written is completed."""
  close = video_parts.VideoParts.close_part

  def slowly(part):
    time.sleep(0.3)
    close(part)

  monkeypatch.setattr(video_parts.VideoParts, "close_part", slowly)
  with outputs.open_outputs(
    ["overlay", "results"],
    tmp_path,
    video_name="toy",
    size=toy.size,
    frames_per_second=25.0,
  ) as out:
    for index in range(toy.length):
      out.write(index, f"{index:05d}", toy.frame_of(index), toy.labels_of(index))
      if index == 5:
        with pytest.raises(KeyboardInterrupt):
          interrupt_soon(0.1)
          out.checkpoint()
  assert out.num_frames == toy.length
  assert len(decode(tmp_path / "overlay.mp4")) == toy.length
  results = json.loads((tmp_path / "results.json").read_text())
  assert len(results["frames"]) == toy.length


def test_parts_that_are_being_deleted_are_not_gone_on_from(
  toy, write_job, monkeypatch, tmp_path
):
  def killed(path, *_, **__):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(outputs.outputs.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
      write_job(["coco"])
  assert outputs.checkpoints(tmp_path / "out") == ()


@pytest.mark.parametrize("content", ["", "null", "{}", '{"checkpoints": [{}, 2]}'])
def test_a_damaged_record_of_progress_is_none(tmp_path, content):
  (tmp_path / ".parts").mkdir()
  (tmp_path / ".parts/progress.json").write_text(content)
  assert outputs.checkpoints(tmp_path) == ()
