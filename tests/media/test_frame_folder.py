"""Folders of frames: their order, gaps, damage and depth."""

import numpy as np
import pytest
from PIL import Image

from vosjax.media.read import read_video
from vosjax.media.video_frames import describe

SIZE = (24, 34)


def save(folder, *names, value=9):
  folder.mkdir(exist_ok=True)
  noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
  noise[0] = value
  for name in names:
    Image.fromarray(noise).save(folder / name)
  return folder


def cut(path):
  path.write_bytes(path.read_bytes()[:-80])


@pytest.mark.parametrize("prefix", ["", "frame_"])
def test_a_gap_is_refused_unless_allowed(prefix, tmp_path):
  save(tmp_path, *(f"{prefix}{number:04d}.png" for number in (0, 1, 4, 5)))
  said = f"frames {prefix}0002, {prefix}0003 are missing between {prefix}0001 and"
  with pytest.raises(ValueError, match=f"{said} .*--allow-gaps"):
    read_video(tmp_path)
  video = read_video(tmp_path, allow_gaps=True)
  assert len(video) == 4 and video.frame_names[2] == f"{prefix}0004"
  assert video.warnings[0].startswith(f"{tmp_path}: {said}")


def test_times_as_names_are_no_gaps(tmp_path):
  save(tmp_path, "10.5.png", "9.25.png", "9.125.png", "12.0.png")
  video = read_video(tmp_path)
  assert video.frame_names == ("9.125", "9.25", "10.5", "12.0") and not video.warnings


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tif"])
def test_a_damaged_frame_is_refused_first_and_left_out_if_allowed(suffix, tmp_path):
  save(tmp_path, *(f"{number}.{suffix}" for number in range(4)))
  cut(tmp_path / f"2.{suffix}")
  told = []
  with pytest.raises(ValueError, match=rf"2\.{suffix}: not a com.*or give --allow-dam"):
    read_video(tmp_path)
  video = read_video(
    tmp_path, allow_damaged=True, progress=lambda *count: told.append(count)
  )
  assert video.frame_names == ("0", "1", "3") and told[-1] == (4, 4)
  assert len(list(video)) == 3 and not video.lost_first
  (warning,) = video.warnings
  assert f"2.{suffix}: not a complete image" in warning
  assert warning.endswith("; the frame is left out.")
  with pytest.raises(ValueError, match=rf"2\.{suffix}: not a complete image"):
    read_video(tmp_path, check=False)[2]


def test_an_empty_file_is_a_damaged_frame(tmp_path):
  save(tmp_path, "0.jpg", "1.jpg")
  (tmp_path / "0.jpg").write_bytes(b"")
  with pytest.raises(ValueError, match=r"0\.jpg: .*the file is empty.*--allow-damaged"):
    read_video(tmp_path)
  video = read_video(tmp_path, allow_damaged=True)
  assert video.frame_names == ("1",) and video.lost_first == "0"
  (tmp_path / "1.jpg").write_bytes(b"")
  with pytest.raises(ValueError, match="all 2 frames are damaged"):
    read_video(tmp_path, allow_damaged=True)


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_deep_frames_are_scaled_by_the_range_of_all(bits, tmp_path):
  ramp = np.linspace(0, 1, SIZE[0] * SIZE[1]).reshape(SIZE)
  for number, scale in enumerate((0.1, 1.0)):
    values = (ramp * scale * ((1 << bits) - 1)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / f"{number}.tif")
  video = read_video(tmp_path)
  for frame, scale in zip(video, (0.1, 1.0), strict=True):
    np.testing.assert_allclose(frame[:, :, 0], 255 * ramp * scale, atol=1)
  if bits < 16:
    assert f"16-bit values that fit in {bits} bits" in video.warnings[0]
  else:
    assert not video.warnings


def test_deep_colours_that_would_turn_black_are_refused(tmp_path):
  cv2 = pytest.importorskip("cv2")
  for largest, is_dark in ((4095, True), (65535, False)):
    cv2.imwrite(str(tmp_path / "0.png"), np.full((8, 8, 3), largest, np.uint16))
    if is_dark:
      with pytest.raises(ValueError, match="16-bit colours that fit in 12 bits"):
        read_video(tmp_path)
    else:
      assert (read_video(tmp_path)[0] == 255).all()


def test_frames_are_turned_as_their_camera_says(tmp_path):
  image = Image.new("RGB", SIZE[::-1])
  image.paste((250, 250, 250), (0, 0, 17, 24))
  exif = Image.Exif()
  exif[0x0112] = 6  # a quarter clockwise
  image.save(tmp_path / "0.jpg", exif=exif, quality=95)
  video = read_video(tmp_path)
  assert video.size == SIZE[::-1]
  np.testing.assert_allclose(video[0], np.rot90(np.asarray(image), -1), atol=9)


def test_a_folder_of_something_else_says_what_fits(tmp_path):
  save(tmp_path, "notes.jpg").joinpath("notes.jpg").rename(tmp_path / "notes.exr")
  with pytest.raises(ValueError, match=r"contains no frames .*but files of \.exr"):
    read_video(tmp_path)
  (tmp_path / "clip.mp4").write_bytes(b"")
  with pytest.raises(ValueError, match=r"but video files; .*such as .*clip\.mp4"):
    read_video(tmp_path)
  (tmp_path / "480p").mkdir()
  save(tmp_path / "480p" / "dog", "0.jpg")
  with pytest.raises(ValueError, match=r"but folders; .*such as .*480p/dog"):
    read_video(tmp_path)


def test_a_pattern_says_to_give_the_folder(tmp_path):
  save(tmp_path, "0.jpg")
  with pytest.raises(ValueError, match=f"Give the folder of the frames, {tmp_path}"):
    read_video(tmp_path / "%05d.jpg")


@pytest.mark.parametrize(
  ("suffix", "kind"),
  [("ppm", "PPM"), ("jp2", "JPEG 2000"), ("avif", "AVIF"), ("JPG", "JPEG")],
)
def test_formats_that_pillow_reads(suffix, kind, tmp_path):
  save(tmp_path, f"0.{suffix}", f"1.{suffix}")
  video = read_video(tmp_path)
  assert video[1].shape == (*SIZE, 3)
  said = f"{tmp_path}: 2 frames of 34x24, 24 frames/s, {kind}"
  assert describe(video) == said


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_transparent_frame_is_refused_before_work_starts(mode, tmp_path):
  save(tmp_path, *(f"{number}.png" for number in range(4)))
  clear = Image.new(mode, SIZE[::-1])
  clear.putalpha(255)
  clear.save(tmp_path / "2.png")
  assert len(read_video(tmp_path)) == 4  # opaque after all
  clear.putalpha(128)
  clear.save(tmp_path / "2.png")
  with pytest.raises(ValueError, match=r"2\.png: a partly transparent image"):
    read_video(tmp_path)
