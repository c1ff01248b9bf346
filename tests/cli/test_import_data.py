"""`vosjax import-data` makes a dataset of any layout, or names every problem."""

import json
import pathlib
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from vosjax.__main__ import main
from vosjax.cli import import_job
from vosjax.data.formats import detect
from vosjax.data.formats.davis import DavisFolder
from vosjax.media.write import video_writer

SIZE = (24, 32)


def write_video(frames, labels, names, first_id=1):
  frames.mkdir(parents=True)
  labels.mkdir(parents=True)
  for t, name in enumerate(names):
    Image.new("RGB", SIZE[::-1], (20 * t, 90, 30)).save(frames / f"{name}.jpg")
    ids = np.zeros(SIZE, np.uint8)
    ids[4:12, t : t + 9] = first_id
    ids[-1] = 255
    Image.fromarray(ids, "L").save(labels / f"{name}.png")


def make(root, size="480p", videos=("one", "two", "three"), names=("00000", "00001")):
  for i, video in enumerate(videos, 1):
    write_video(
      root / "JPEGImages" / size / video,
      root / "Annotations" / size / video,
      names,
      first_id=i,
    )
  return root


def run(*arguments):
  return main(["import-data", *map(str, arguments), "--workers", "2"])


@pytest.fixture
def source(tmp_path):
  """Three videos in DAVIS layout, without lists."""
  return make(tmp_path / "mine")


@pytest.mark.parametrize("size", ["480p", "1080p", "."])
def test_a_folder_becomes_a_dataset_with_the_same_bytes(tmp_path, capsys, size):
  source = make(tmp_path / "mine", size)
  out = tmp_path / "data" / "out"
  assert run(source, "--out", out, "--val", "1") == 0
  train, val = DavisFolder(str(out)), DavisFolder(str(out), "val")
  assert {video.name for video in (*train, *val)} == {"one", "two", "three"}
  assert len(val) == 1
  for path in source.rglob("*.*g"):
    kind, video, name = path.parts[-3 - (size != ".")], path.parts[-2], path.name
    assert (out / kind / "480p" / video / name).read_bytes() == path.read_bytes()
  said, errors = capsys.readouterr()
  assert "warning" not in errors
  for text in ("videos +3\n", r"24x32 \(3\)", "videos with void +3\n", "1 video"):
    assert re.search(text, said), text
  assert "two: 2 frames of 24x32, ids 2, void" in (out / "report.txt").read_text()
  with Image.open(out / "contact_sheet.jpg") as sheet:
    assert sheet.width > 2 * 320
  assert sorted(path.name for path in out.parent.iterdir()) == ["out"]


def test_lists_are_kept_and_videos_in_no_list_are_reported(source, tmp_path, capsys):
  for year, train in (("2016", "one"), ("2017", "one")):
    (source / "ImageSets" / year).mkdir(parents=True)
    (source / "ImageSets" / year / "train.txt").write_text(train)
  (source / "ImageSets/2016/val.txt").write_text("three")
  assert run(source, "--out", tmp_path / "out") == 0
  assert [v.name for v in DavisFolder(str(tmp_path / "out"))] == ["one"]
  assert [v.name for v in DavisFolder(str(tmp_path / "out"), "val")] == ["three"]
  assert "they are in no list: two" in capsys.readouterr().out


def test_all_problems_are_listed_and_nothing_is_written(source, tmp_path, capsys):
  frames, labels = source / "JPEGImages/480p", source / "Annotations/480p"
  (frames / "one/00001.jpg").write_bytes((frames / "one/00001.jpg").read_bytes()[:300])
  Image.new("RGB", SIZE[::-1], (9, 0, 0)).save(labels / "one/00000.png")
  Image.new("L", (5, 7)).save(labels / "two/00001.png")
  Image.new("L", SIZE[::-1]).save(labels / "two/00007.png")
  shutil.rmtree(labels / "three")
  (frames / "four").mkdir()
  assert run(source, "--out", tmp_path / "out") == 2
  assert not (tmp_path / "out").exists()
  lines = capsys.readouterr().err.splitlines()
  for wanted in (
    "one/00001.jpg: not a complete image",
    "one/00000.png: a label map of RGB colours",
    "two/00001.png: 7x5 pixels",
    "two/00007.png: a label map without frame two/00007.jpg",
    "three: no frame has a label map",
    "four: no frames",
  ):
    assert any(wanted in line for line in lines), wanted
  assert "6 problem(s)" in lines[-1]


def test_frames_without_label_map_are_reported_and_left_out(source, tmp_path, capsys):
  (source / "Annotations/480p/two/00001.png").unlink()
  assert run(source, "--out", tmp_path / "out", "--val", "1") == 0
  assert re.search("frames without one, left out +1\n", capsys.readouterr().out)
  assert "  without label map: 00001\n" in (tmp_path / "out/report.txt").read_text()
  videos = [v for x in ("train", "val") for v in DavisFolder(str(tmp_path / "out"), x)]
  lengths = {video.name: len(video) for video in videos}
  assert lengths == {"one": 2, "two": 1, "three": 2}


def test_frames_are_sorted_by_their_numbers(tmp_path):
  source = make(tmp_path / "mine", ".", ("my video",), [f"f{t}" for t in range(11)])
  assert run(source, "--out", tmp_path / "out") == 0
  (video,) = DavisFolder(str(tmp_path / "out"))
  assert video.name == "my_video"
  red = [int(video.frame(t)[..., 0].mean().round()) for t in range(11)]
  np.testing.assert_allclose(red, range(0, 220, 20), atol=3)
  for t in range(11):
    assert video.labels(t)[4, t] == 1


def test_videos_whose_names_become_the_same_are_refused(tmp_path, capsys):
  source = make(tmp_path / "mine", ".", ("my video", "my_video"))
  assert run(source, "--out", tmp_path / "out") == 2
  assert "several videos have the same name: my_video" in capsys.readouterr().err


def test_coco_becomes_label_maps_with_categories(tmp_path):
  pytest.importorskip("pycocotools")
  frames = tmp_path / "frames"
  frames.mkdir()
  names = [f"{t}.jpg" for t in (3, 1)]
  for name in names:
    Image.new("RGB", SIZE[::-1]).save(frames / name)
  box = [[2, 3, 9, 3, 9, 8, 2, 8]]
  (tmp_path / "x.json").write_text(
    json.dumps(
      {
        "videos": [{"id": 5, "file_names": names, "height": 24, "width": 32}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
          {"id": 8, "video_id": 5, "category_id": 1, "segmentations": [box, None]}
        ],
      }
    )
  )
  out = tmp_path / "out"
  assert run(tmp_path / "x.json", "--images", frames, "--out", out) == 0
  (video,) = DavisFolder(str(out))
  expected = np.zeros(SIZE, np.uint8)
  expected[3:8, 2:9] = 1
  np.testing.assert_array_equal(video.labels(0), expected)
  assert video.frame_names == ("00000", "00001")  # the order of the file, not of names
  assert not video.labels(1).any()
  meta = json.loads((out / "meta.json").read_text())
  assert meta["videos"]["5"]["objects"] == {"1": {"category": "cat"}}


def test_first_frames_alone_are_refused(source, tmp_path, capsys):
  for path in source.glob("Annotations/480p/*/00001.png"):
    path.unlink()
  assert run(source, "--out", tmp_path / "out") == 2
  assert "only one frame of each video has a label map" in capsys.readouterr().err
  assert not (tmp_path / "out.part").exists()


def test_videos_to_validate_on_have_enough_annotated_frames(tmp_path):
  names = [f"{t:05d}" for t in range(4)]
  source = make(tmp_path / "mine", names=names)
  for video in ("one", "two"):
    for name in names[2:]:
      (source / f"Annotations/480p/{video}/{name}.png").unlink()
  assert run(source, "--out", tmp_path / "out") == 0
  assert [v.name for v in DavisFolder(str(tmp_path / "out"), "val")] == ["three"]


def test_other_names_of_folders_and_masks_are_understood(tmp_path, capsys):
  source = make(tmp_path / "mine", ".")
  (source / "JPEGImages").rename(source / "frames")
  (source / "Annotations").rename(source / "Masks")
  for path in list(source.glob("Masks/*/*.png")):
    path.rename(path.with_name(f"{path.stem}_mask.png"))
  assert run(source, "--out", tmp_path / "out") == 0
  said, errors = capsys.readouterr()
  assert "frames and Masks layout" in said
  assert "warning: one, three, two: masks are named otherwise than frames" in errors
  assert len(DavisFolder(str(tmp_path / "out"))[0]) == 2


def test_one_video_without_a_folder_of_its_own(source, tmp_path):
  for kind in ("JPEGImages", "Annotations"):
    (source / kind / "480p/one").rename(tmp_path / kind)
  flat = tmp_path / "clip"
  flat.mkdir()
  for kind in ("JPEGImages", "Annotations"):
    (tmp_path / kind).rename(flat / kind)
  assert run(flat, "--out", tmp_path / "out") == 0
  assert [v.name for v in DavisFolder(str(tmp_path / "out"))] == ["clip"]


def test_frames_and_masks_of_other_kinds_become_png(source, tmp_path):
  image = next(source.glob("JPEGImages/480p/one/00000.jpg"))
  with Image.open(image) as opened:
    opened.save(image.with_suffix(".bmp"))
    pixels = np.asarray(opened)
  image.unlink()
  mask = source / "Annotations/480p/one/00000.png"
  with Image.open(mask) as opened:
    ids = np.asarray(opened)
    opened.save(mask.with_suffix(".bmp"))
  mask.unlink()
  assert run(source, "--out", tmp_path / "out") == 0
  folder = tmp_path / "out"
  with Image.open(folder / "JPEGImages/480p/one/00000.png") as opened:
    np.testing.assert_array_equal(np.asarray(opened), pixels)
  with Image.open(folder / "Annotations/480p/one/00000.png") as opened:
    np.testing.assert_array_equal(np.asarray(opened), ids)


def test_masks_that_hold_no_ids_are_said_and_written_as_ids(source, tmp_path, capsys):
  folder = source / "Annotations/480p/two"
  soft = np.zeros(SIZE, np.uint8)
  soft[4:12, 4:20] = 255
  soft[4:12, [3, 20]] = 128
  for name in ("00000", "00001"):
    Image.fromarray(soft).save(folder / f"{name}.png")
  assert run(source, "--out", tmp_path / "out") == 0
  note = "soft edges thresholded at 50 %"
  error = capsys.readouterr().err
  assert f"warning: 2 label maps: {note}: two/00000, two/00001.\n" in error
  assert f"  {note}: 00000 00001" in (tmp_path / "out/report.txt").read_text()
  with Image.open(tmp_path / "out/Annotations/480p/two/00000.png") as written:
    assert set(np.unique(written).tolist()) == {0, 1}


def test_masks_of_a_video_that_contradict_each_other_are_refused(
  source, tmp_path, capsys
):
  folder = source / "Annotations/480p/two"
  values = np.zeros(SIZE, np.uint8)
  values[4:12, 4:20] = 2
  Image.fromarray(values).save(folder / "00000.png")
  Image.fromarray((values > 0) * np.uint8(255)).save(folder / "00001.png")
  assert run(source, "--out", tmp_path / "out") == 2
  assert "two: 00001 is black and white, but 00000 holds" in capsys.readouterr().err


def test_255_beside_ids_is_void_in_all_masks_of_the_video(source, tmp_path, capsys):
  folder = source / "Annotations/480p/two"
  values = np.zeros(SIZE, np.uint8)
  values[4:12, 4:20] = 255
  Image.fromarray(values).save(folder / "00001.png")  # without the object
  values[0] = 1
  Image.fromarray(values).save(folder / "00000.png")
  assert run(source, "--out", tmp_path / "out") == 0
  assert "1 label map: white is 255, as in other masks" in capsys.readouterr().err
  with Image.open(tmp_path / "out/Annotations/480p/two/00001.png") as written:
    assert written.mode == "P" and set(np.unique(written).tolist()) == {0, 255}


def test_deep_gray_frames_become_8_bits(source, tmp_path, capsys):
  folder = source / "JPEGImages/480p/two"
  for t, path in enumerate(sorted(folder.iterdir())):
    path.unlink()
    values = np.full(SIZE, 2048 + t, np.uint16)
    values[0] = 4095
    Image.fromarray(values).save(path.with_suffix(".png"))
  assert run(source, "--out", tmp_path / "out") == 0
  assert "two: 16-bit values that fit in 12 bits" in capsys.readouterr().err
  with Image.open(tmp_path / "out/JPEGImages/480p/two/00000.png") as written:
    assert written.mode == "RGB"
    assert written.getpixel((0, 5)) == (128,) * 3
    assert written.getpixel((0, 0)) == (255,) * 3


def write_clip(path, count):
  """A video of frames that become brighter."""
  with video_writer(path, SIZE, 24.0) as append:
    for t in range(count):
      append(np.full((*SIZE, 3), 20 * t, np.uint8))


def test_video_files_beside_masks_are_decoded_where_they_are_annotated(tmp_path):
  pytest.importorskip("av")
  source = tmp_path / "mine"
  (source / "videos").mkdir(parents=True)
  write_clip(source / "videos" / "a.mp4", 10)
  write_video(tmp_path / "unused", source / "masks" / "a", ["0", "4", "8"])
  assert run(source, "--out", tmp_path / "out") == 0
  (video,) = DavisFolder(str(tmp_path / "out"))
  assert video.frame_names == ("00000", "00004", "00008")
  light = [video.frame(t).mean() for t in range(3)]
  np.testing.assert_allclose(light, [0, 80, 160], atol=6)
  assert video.labels(2)[4, 2] == 1
  assert not list((tmp_path / "out").glob("extracted*"))
  assert run(source, "--out", tmp_path / "out") == 0  # there already


def test_masks_beyond_the_end_of_a_video_file_are_a_problem(tmp_path, capsys):
  pytest.importorskip("av")
  source = tmp_path / "mine"
  (source / "videos").mkdir(parents=True)
  write_clip(source / "videos" / "a.mp4", 3)
  write_video(tmp_path / "unused", source / "masks" / "a", ["1", "2", "3"])
  assert run(source, "--out", tmp_path / "out") == 2
  assert "frame 3 is annotated, but the video has 3 frames" in capsys.readouterr().err
  write_clip(source / "videos" / "a.mp4", 4)
  assert run(source, "--out", tmp_path / "out") == 0  # goes on from there


def test_a_video_of_another_size_than_its_masks_is_named_once(tmp_path, capsys):
  pytest.importorskip("av")
  source = tmp_path / "mine"
  (source / "videos").mkdir(parents=True)
  clip = source / "videos" / "a.mp4"
  with video_writer(clip, (48, 64), 24.0) as append:
    for _ in range(8):
      append(np.zeros((48, 64, 3), np.uint8))
  names = [f"{t:05d}" for t in range(8)]
  write_video(tmp_path / "unused", source / "masks" / "a", names)
  assert run(source, "--out", tmp_path / "out") == 2
  line, last = capsys.readouterr().err.splitlines()
  assert f"24x32 pixels (height x width), but {clip} frame 00000 has 48x64" in line
  assert "The same applies to 7 more" in line and "8 problem(s)" in last


def test_an_interrupted_import_resumes(source, tmp_path, monkeypatch):
  out = tmp_path / "out"
  original, calls = import_job.survey, []

  def counting(video, progress):
    calls.append(video.name)
    return original(video, progress)

  def stop(video, names, folder, readings):
    if video.name == "two":
      raise KeyboardInterrupt
    write_labels(video, names, folder, readings)

  write_labels = import_job._write_labels
  monkeypatch.setattr(import_job, "survey", counting)
  monkeypatch.setattr(import_job, "_write_labels", stop)
  assert run(source, "--out", out) == 130
  assert not out.exists() and sorted(calls) == ["one", "three", "two"]
  monkeypatch.setattr(import_job, "_write_labels", write_labels)
  changed = source / "Annotations/480p/one/00001.png"
  changed.unlink()  # a new file, no hard link of the one that was imported
  Image.new("L", SIZE[::-1], 7).save(changed)
  shutil.rmtree(source / "JPEGImages/480p/three")
  shutil.rmtree(source / "Annotations/480p/three")
  assert run(source, "--out", out) == 0
  assert calls[3:] == ["one"]  # whose file has changed
  (out_file,) = out.glob("Annotations/480p/one/00001.png")
  assert out_file.read_bytes() == changed.read_bytes()
  assert sorted(p.name for p in (out / "JPEGImages/480p").iterdir()) == ["one", "two"]
  monkeypatch.setattr(import_job, "survey", None)
  assert run(source, "--out", out) == 0  # there already


def test_an_import_that_was_killed_in_its_first_moment_begins_again(source, tmp_path):
  (tmp_path / "out.part").mkdir()
  (tmp_path / "out.part/.job.1.part.json").touch()
  assert run(source, "--out", tmp_path / "out") == 0
  assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize(
  "prepare, arguments, text",
  [
    (None, ["absent", "--out", "out"], "absent: no such file or folder. Expected"),
    (None, [".", "--out", "out"], r"contains data in mine: give mine"),
    (None, ["cvat.zip", "--out", "out"], "cvat.zip: an archive. Unpack it first"),
    (
      None,
      ["mine", "--out", "mine"],
      "mine exists and was not written by this command",
    ),
    (None, ["mine", "--out", "."], r"--out \.: names no new folder. Give the name"),
    (None, ["mine", "--out", "mine/.."], r"--out mine/\.\.: names no new folder"),
    (None, ["mine", "--out", "out", "--images", "mine"], "--images is for a .json"),
    (None, ["mine", "--out", "out", "--val", "3"], "with 3 videos, it must be 1 to 2"),
    (None, ["mine", "--out", "out", "--val", "nine.txt"], "no video nine in the data"),
    (
      ["mine", "--out", "out"],
      ["mine", "--out", "out", "--val", "2"],
      "with other options",
    ),
    (["mine", "--out", "out"], ["other", "--out", "out"], "imported from .*mine, or"),
    (["mine", "--out", "out"], ["mine", "--out", "out", "changed"], "have changed"),
  ],
)
def test_wrong_arguments_are_one_line(
  source, tmp_path, monkeypatch, capsys, prepare, arguments, text
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "nine.txt").write_text("nine\n")
  (tmp_path / "cvat.zip").write_bytes(b"PK")
  if prepare:
    assert run(*prepare) == 0
    shutil.copytree(source, tmp_path / "other")
  if arguments[-1] == "changed":
    arguments = arguments[:-1]
    Image.new("L", SIZE[::-1], 7).save(source / "Annotations/480p/one/00001.png")
  capsys.readouterr()
  assert run(*arguments) == 2
  lines = [line for line in capsys.readouterr().err.splitlines() if "vosjax:" in line]
  assert len(lines) == 1
  assert re.search(text, lines[0])


def test_a_wrong_val_is_found_before_anything_is_written(source, tmp_path):
  assert run(source, "--out", tmp_path / "out", "--val", "3") == 2
  assert not (tmp_path / "out.part").exists()
  assert run(source, "--out", tmp_path / "out", "--val", "2") == 0


VIDEO = {"id": 1, "file_names": ["a.jpg", "b.jpg"], "height": 24, "width": 32}
TRACK = {"id": 5, "video_id": 1, "category_id": 1, "segmentations": [None, None]}


@pytest.mark.parametrize(
  "videos, annotations, text",
  [
    ([VIDEO, VIDEO], [TRACK], "several videos have the id 1"),
    ([VIDEO], [TRACK, TRACK], "several annotations have the id (1, 5)"),
    ([VIDEO], [TRACK | {"video_id": 9}], "annotation 5 has video_id 9, but videos has"),
    ([VIDEO], [TRACK | {"segmentations": [None]}], "has 1 segmentations, but the"),
  ],
)
def test_a_json_that_contradicts_itself_is_refused(
  videos, annotations, text, tmp_path, capsys
):
  path = tmp_path / "instances.json"
  path.write_text(json.dumps({"videos": videos, "annotations": annotations}))
  assert run(path, "--out", tmp_path / "out") == 2
  assert text in capsys.readouterr().err


def test_a_single_video_is_used_for_both_lists_with_a_warning(tmp_path, capsys):
  source = make(tmp_path / "mine", ".", ("only",))
  assert run(source, "--out", tmp_path / "out") == 0
  lines = capsys.readouterr().err.splitlines()
  (warning,) = (line for line in lines if line.startswith("warning:"))
  assert "only: to train on and to validate on" in warning
  for name in detect.LISTS:
    assert [v.name for v in DavisFolder(str(tmp_path / "out"), name)] == ["only"]
  assert run(source, "--out", tmp_path / "other", "--val", "1") == 2
  assert "--val 1: there is only one video. Leave --val out" in capsys.readouterr().err


def test_masks_of_a_video_file_numbered_from_1_are_doubted(tmp_path, capsys):
  pytest.importorskip("av")
  source = tmp_path / "mine"
  (source / "videos").mkdir(parents=True)
  write_clip(source / "videos" / "a.mp4", 4)
  write_video(tmp_path / "unused", source / "masks" / "a", ["1", "3"])
  assert run(source, "--out", tmp_path / "out") == 0
  said = "a: the first mask, number 1, is taken as that of the second frame"
  assert said in "".join(capsys.readouterr())


def test_an_import_that_was_killed_before_its_last_step_begins_again(
  source, tmp_path, monkeypatch
):
  out = tmp_path / "out"
  rename = pathlib.Path.rename

  def stop(path, target):
    raise KeyboardInterrupt

  monkeypatch.setattr(pathlib.Path, "rename", stop)
  assert run(source, "--out", out) == 130
  monkeypatch.setattr(pathlib.Path, "rename", rename)
  assert run(source, "--out", out) == 0
  assert len(DavisFolder(str(out))) == 2
