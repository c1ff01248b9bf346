"""`vosjax segment` from the command line, with a segmenter that copies its prompts."""

import errno
import itertools
import json
import os
import pathlib
import signal

import av  # noqa: F401  the command writes overlays with it
import numpy as np
import pytest
from PIL import Image

from vosjax import __main__ as command_line
from vosjax import files, weights
from vosjax.cli import segment, segment_inputs, segment_video
from vosjax.inference import refinement
from vosjax.media.write import video_writer

REAL_LOAD_SEGMENTER = segment.load_segmenter  # a fixture replaces it
SIZE = (24, 34)
NAMES = [f"{index:05d}" for index in range(4)]

pytestmark = pytest.mark.usefixtures("copying")


def vosjax(*arguments):
  return command_line.main(["segment", *map(str, arguments)])


def run(frames, mask, out, *more):
  return vosjax(
    frames, "--mask", mask, "--out", out, "--checkpoint", "agame-lite", *more
  )


def refused(capsys, *texts):
  """Standard error is one line with all of these texts."""
  error = capsys.readouterr().err
  assert error.count("\n") == 1
  assert error.startswith("vosjax: ")
  for text in texts:
    assert str(text) in error


def test_every_frame_gets_a_palette_png_and_the_overlay_plays(frames, mask, tmp_path):

  out = tmp_path / "out"
  assert run(frames, mask, out) == 0
  assert sorted(path.stem for path in out.glob("*.png")) == NAMES
  for path in out.glob("*.png"):
    image = Image.open(path)
    assert image.mode == "P"
    assert image.getpalette()[9:12] == [128, 128, 0]
    np.testing.assert_array_equal(np.asarray(image), np.asarray(Image.open(mask)))
  with av.open(str(out / "overlay.mp4")) as video:
    images = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
  assert [image.shape for image in images] == [(*SIZE, 3)] * len(NAMES)


def test_no_draft_is_left_beside_the_results(frames, mask, tmp_path):
  run(frames, mask, tmp_path / "out")
  results = {"overlay.mp4", "results.json", "report.html"}
  expected = {*(f"{name}.png" for name in NAMES), *results, "segment.json"}
  assert {path.name for path in (tmp_path / "out").iterdir()} == expected


def write_video(path, values):
  with video_writer(path, SIZE, 25.0) as write:
    for value in values:
      write(np.full((*SIZE, 3), value, np.uint8))
  return path


def test_a_video_file_is_segmented_like_a_folder(mask, tmp_path):
  video = write_video(tmp_path / "video.mp4", (0, 80, 160, 240))
  assert run(video, mask, tmp_path / "out") == 0
  assert sorted(path.stem for path in (tmp_path / "out").glob("*.png")) == NAMES


def test_a_video_file_that_is_cut_off_is_refused(mask, tmp_path, capsys):
  noise = np.random.default_rng(0).integers(0, 256, (6, *SIZE, 3), np.uint8)
  video = write_video(tmp_path / "video.mp4", noise)
  video.write_bytes(video.read_bytes()[:-60])
  assert run(video, mask, tmp_path / "out") == 2
  refused(capsys, "video.mp4: is cut off: its last 60 bytes are missing")
  assert not (tmp_path / "out").exists()


def test_a_gray_mask_of_0_and_255_is_object_1(frames, tmp_path):
  mask = np.zeros(SIZE, np.uint8)
  mask[4:9, 5:20] = 255
  Image.fromarray(mask).save(tmp_path / "davis2016.png")
  assert run(frames, tmp_path / "davis2016.png", tmp_path / "out") == 0
  written = Image.open(tmp_path / "out" / "00003.png")
  np.testing.assert_array_equal(written, mask == 255)


def test_objects_appear_with_their_masks(frames, tmp_path, capsys, save_mask):
  masks = tmp_path / "masks"
  masks.mkdir()
  save_mask(masks / "00001.png", 7)
  save_mask(masks / "00003.png", 2, rows=slice(15, 20))
  assert run(frames, masks, tmp_path / "out") == 0
  assert (
    "masks of 00001 add object 7.\nmasks of 00003 add object 2.\n"
    in capsys.readouterr().out
  )
  found = [np.unique(Image.open(tmp_path / "out" / f"{n}.png")).tolist() for n in NAMES]
  assert found == [[0], [0, 7], [0, 7], [0, 2, 7]]


@pytest.fixture
def stop(monkeypatch, copying):
  """Stops the segmenter after so many frames, as Ctrl-C does; None: never."""
  complete = copying.run

  def stop_after(number):
    def interrupted(self, *args, **options):
      yield from itertools.islice(complete(self, *args, **options), number)
      raise KeyboardInterrupt

    monkeypatch.setattr(copying, "run", complete if number is None else interrupted)

  return stop_after


def test_a_job_that_was_stopped_early_begins_anew(
  frames, mask, tmp_path, stop, capsys, save_mask
):
  out = tmp_path / "out"
  stop(2)
  assert run(frames, mask, out) == 130
  assert {path.name for path in out.glob("*.png")} <= {"00000.png", "00001.png"}
  save_mask(out / "00000.png")
  (out / ".00002.1.part.png").write_bytes(b"killed here")
  capsys.readouterr()
  stop(None)
  assert run(frames, mask, out) == 0
  assert "all frames are segmented again" in capsys.readouterr().out
  assert len(list(out.glob("*.png"))) == 4
  assert not list(out.glob(".*"))


def test_a_job_goes_on_from_its_last_state(
  frames, mask, tmp_path, stop, monkeypatch, capsys, copying
):
  monkeypatch.setattr(segment_video, "CHECKPOINT_EVERY", 2)
  whole, out = tmp_path / "whole", tmp_path / "out"
  assert run(frames, mask, whole) == 0
  stop(3)
  assert run(frames, mask, out) == 130
  stop(None)
  calls = copying.calls
  capsys.readouterr()
  assert run(frames, mask, out) == 0
  assert f"{out}: resuming at frame 2 of 4.\n" in capsys.readouterr().out
  assert copying.calls == calls + 2
  for name in (*(f"{name}.png" for name in NAMES), "results.json"):
    assert (out / name).read_bytes() == (whole / name).read_bytes(), name
  assert not list(out.glob(".*"))


def test_ctrl_c_saves_the_state(frames, mask, tmp_path, copying, monkeypatch, capsys):
  complete, out = copying.run, tmp_path / "out"

  def interrupted(self, *args, **options):
    for number, result in enumerate(complete(self, *args, **options)):
      if number == 1:
        signal.raise_signal(signal.SIGINT)
      yield result

  monkeypatch.setattr(copying, "run", interrupted)
  assert run(frames, mask, out) == 130
  assert copying.calls == 2
  monkeypatch.setattr(copying, "run", complete)
  capsys.readouterr()
  assert run(frames, mask, out) == 0
  assert f"{out}: resuming at frame 2 of 4.\n" in capsys.readouterr().out
  assert copying.calls == 4


def test_a_finished_job_is_left_alone(frames, mask, tmp_path, capsys, copying):
  run(frames, mask, tmp_path / "out")
  calls = copying.calls
  capsys.readouterr()
  assert run(frames, mask, tmp_path / "out") == 0
  assert "already finished" in capsys.readouterr().out
  assert copying.calls == calls


def test_a_folder_of_something_else_is_refused(frames, mask, tmp_path, capsys):
  out = tmp_path / "thesis"
  out.mkdir()
  (out / "chapter1.tex").write_text("precious")
  assert run(frames, mask, out) == 2
  refused(capsys, f"--out {out}: exists and was not written by `vosjax")
  assert [path.name for path in out.iterdir()] == ["chapter1.tex"]
  assert run(frames, mask, out / "chapter1.tex") == 2
  refused(
    capsys,
    f"--out {out / 'chapter1.tex'}: {out / 'chapter1.tex'} is a file; give a folder.",
  )


@pytest.mark.parametrize("content", ["null", '{"inputs": {}}', '{"inputs": {"vid'])
def test_a_damaged_record_of_the_job_is_refused(
  frames, mask, tmp_path, capsys, content
):
  assert run(frames, mask, tmp_path / "out") == 0
  (tmp_path / "out" / "segment.json").write_text(content)
  capsys.readouterr()
  assert run(frames, mask, tmp_path / "out") == 2
  refused(capsys, "was not written by")


def test_a_job_that_was_killed_in_its_first_moment_begins_again(frames, mask, tmp_path):
  (tmp_path / "out").mkdir()
  (tmp_path / "out/.segment.1.part.json").touch()
  assert run(frames, mask, tmp_path / "out") == 0
  assert not list((tmp_path / "out").glob(".*"))


def test_a_second_process_in_the_folder_is_refused(frames, mask, tmp_path, capsys):
  with files.claimed(tmp_path / "out", "the first"):
    assert run(frames, mask, tmp_path / "out") == 2
  refused(capsys, f"--out {tmp_path / 'out'}: another process is working in it")
  assert run(frames, mask, tmp_path / "out") == 0


def test_a_folder_of_another_job_is_refused(frames, mask, tmp_path, capsys, save_mask):
  run(frames, mask, tmp_path / "out")
  other = save_mask(tmp_path / "other.png", 1)
  capsys.readouterr()
  assert run(frames, other, tmp_path / "out") == 2
  refused(
    capsys, f"holds results of another job: --mask was {mask}. Choose a new folder"
  )
  assert run(frames, mask, tmp_path / "out", "--crf", "--seed", "7") == 2
  refused(capsys, "another job: --seed was 0, --crf was not given. Choose")


def test_every_input_of_a_job_is_compared(frames, mask, tmp_path, capsys):
  out = tmp_path / "out"
  run(frames, mask, out)
  job = json.loads((out / "segment.json").read_text())
  for key in job["inputs"]:
    inputs = job["inputs"] | {key: "another"}
    (out / "segment.json").write_text(json.dumps(job | {"inputs": inputs}))
    capsys.readouterr()
    assert run(frames, mask, out) == 2, key
    refused(capsys, "holds results of another job: ")


def test_results_of_a_video_that_has_changed_are_refused(
  frames, mask, tmp_path, capsys
):
  run(frames, mask, tmp_path / "out")
  Image.new("RGB", SIZE[::-1]).save(frames / "00001.jpg")
  capsys.readouterr()
  assert run(frames, mask, tmp_path / "out") == 2
  refused(capsys, "holds results of another job: the video has changed since. Choose")


def test_a_job_that_failed_on_its_first_frame_can_be_repaired(frames, mask, tmp_path):
  content = (frames / "00000.jpg").read_bytes()
  (frames / "00000.jpg").write_bytes(content[:-300])
  assert run(frames, mask, tmp_path / "out") == 2
  (frames / "00000.jpg").write_bytes(content)
  os.utime(frames / "00000.jpg", (0, 2e9))
  assert run(frames, mask, tmp_path / "out") == 0


def test_an_empty_folder_is_used(frames, mask, tmp_path):
  (tmp_path / "out").mkdir()
  assert run(frames, mask, tmp_path / "out") == 0


def test_without_checkpoint_the_weights_in_the_package_are_used(
  frames, mask, tmp_path, monkeypatch, capsys, copying
):
  used = []

  def load(checkpoint, expected, **_):
    used.append((checkpoint, expected))
    return copying(), "agame"

  monkeypatch.setattr(segment, "load_segmenter", load)
  assert vosjax(frames, "--mask", mask, "--out", tmp_path / "out") == 0
  assert used == [(weights.FOLDER / "agame-lite.safetensors", None)]
  assert capsys.readouterr().out.startswith(
    "weights: agame-lite, which come with vosjax; --checkpoint DIR uses others.\n"
  )


@pytest.mark.parametrize(
  ("options", "names", "how"),
  [
    ((), ["agame-lite", "cosnet-lite"], "guessed and then followed"),
    (("--model", "cosnet"), ["cosnet-lite"], "guessed in each frame"),
    (("--references", "0"), ["cosnet-lite"], "guessed in each frame"),
    (("--crf",), ["cosnet-lite"], "guessed in each frame"),
    (("--seed", "3"), ["cosnet-lite"], "guessed in each frame"),
    (("--reference-policy", "random"), ["cosnet-lite"], "guessed in each frame"),
  ],
)
def test_without_a_mask_the_primary_object_is_guessed_which_is_said(
  frames, tmp_path, capsys, monkeypatch, options, names, how, copying
):
  used = []

  def load(checkpoint, expected, **_):
    used.append(checkpoint)
    monkeypatch.setattr(copying, "one_shot", checkpoint.stem == "agame-lite")
    if checkpoint.stem == "cosnet-lite":
      raise ValueError("enough")
    return copying(), "agame"

  monkeypatch.setattr(segment, "load_segmenter", load)
  assert vosjax(frames, "--out", tmp_path / "out", *options) == 2
  assert used == [weights.FOLDER / f"{name}.safetensors" for name in names]
  said = capsys.readouterr().out
  assert f"weights: {names[0]}" in said
  assert f"{how}, sometimes wrongly. --mask FIRST.png" in said


def rectangle():
  """Labels of one object."""
  labels = np.zeros(SIZE, np.int32)
  labels[5:12, 8:20] = 1
  return labels


@pytest.fixture
def found(monkeypatch):
  """What the search finds, by item 0; nothing at first."""
  found = [None]

  def find(frames, finder, follower, *, progress):
    assert len(frames) == len(NAMES)
    assert finder is not follower
    progress()
    return found[0]

  monkeypatch.setattr(segment_inputs.primary, "find_primary", find)
  return found


def test_an_object_that_is_found_is_followed_as_if_its_mask_were_given(
  frames, tmp_path, capsys, found
):
  labels = rectangle()
  found[0] = 0, labels
  out = tmp_path / "out"
  assert vosjax(frames, "--out", out) == 0
  assert "found: object 1 in frame 00000 (10.3 % of it).\n" in capsys.readouterr().out
  for name in NAMES:
    np.testing.assert_array_equal(np.asarray(Image.open(out / f"{name}.png")), labels)
  assert vosjax(frames, "--out", out) == 0
  assert "already finished" in capsys.readouterr().out


def test_an_object_that_is_found_later_is_followed_forward(frames, tmp_path, found):
  labels = rectangle()
  found[0] = 2, labels
  out = tmp_path / "out"
  assert vosjax(frames, "--out", out) == 0
  areas = [(np.asarray(Image.open(out / f"{name}.png")) > 0).sum() for name in NAMES]
  assert areas == [0, 0, 84, 84]


def test_what_was_found_is_kept_until_the_job_is_finished(
  frames, tmp_path, found, monkeypatch
):
  """A second search, as on another device, might find something else."""
  labels = rectangle()
  found[0] = 0, labels
  out = tmp_path / "out"

  def fail(*_, **__):
    raise OSError(errno.ENOSPC, "disk full", "x")

  with monkeypatch.context() as patch:
    patch.setattr(segment_video, "write_result", fail)
    assert vosjax(frames, "--out", out) == 2
  found[0] = None
  assert vosjax(frames, "--out", out) == 0
  np.testing.assert_array_equal(np.asarray(Image.open(out / "00003.png")), labels)
  assert not list(out.glob(".*"))


def test_backward_needs_a_mask(frames, tmp_path, capsys, found):
  assert vosjax(frames, "--out", tmp_path / "out", "--direction", "backward") == 2
  refused(capsys, "--direction backward needs --mask")
  assert not (tmp_path / "out").exists()


def test_a_video_without_an_object_asks_for_a_mask(frames, tmp_path, capsys, found):
  assert found == [None]
  assert vosjax(frames, "--out", tmp_path / "out") == 2
  refused(capsys, "no object was found in 4 frames. --mask FIRST.png")


def test_a_model_without_weights_in_the_package_says_how_to_get_some(
  frames, tmp_path, capsys
):
  assert vosjax(frames, "--model", "rvos", "--out", tmp_path / "out") == 2
  refused(
    capsys,
    "--checkpoint is missing",
    "`vosjax train rvos --workdir=DIR`",
    "vosjax convert rvos ENCODER.pth DECODER.pth --out DIR",
  )
  assert not (tmp_path / "out").exists()


def test_a_one_shot_model_asks_for_its_mask(frames, tmp_path, capsys):
  code = vosjax(frames, "--out", tmp_path / "out", "--checkpoint", "agame-lite")
  assert code == 2
  refused(capsys, "--mask is missing: agame")
  assert not (tmp_path / "out").exists()


def test_a_zero_shot_model_needs_no_mask(frames, tmp_path, monkeypatch, copying):
  monkeypatch.setattr(segment, "load_segmenter", lambda *_, **__: (copying(), "cosnet"))
  monkeypatch.setattr(copying, "one_shot", False)
  code = vosjax(frames, "--out", tmp_path / "out", "--checkpoint", "agame-lite")
  assert code == 0
  assert copying.calls == len(NAMES)


def test_the_crf_refines_the_masks_of_cosnet(frames, tmp_path, monkeypatch, copying):
  monkeypatch.setattr(segment, "load_segmenter", lambda *_, **__: (copying(), "cosnet"))
  monkeypatch.setattr(copying, "one_shot", False)
  monkeypatch.setattr(
    refinement, "refine_labels", lambda result: result.frame[..., 0] // 200
  )
  out = tmp_path / "out"
  assert vosjax(frames, "--out", out, "--checkpoint", "agame-lite", "--crf") == 0
  for name in NAMES:
    image = np.asarray(Image.open(frames / f"{name}.jpg"))
    written = np.asarray(Image.open(out / f"{name}.png"))
    np.testing.assert_array_equal(written, image[..., 0] // 200)


# Each of these damages the input and returns what the error must say. What the
# readers of images say of a file is tested with them.


def truncated_frame(frames, mask):
  path = frames / "00002.jpg"
  path.write_bytes(path.read_bytes()[:-300])
  return "00002.jpg: not a complete image"


def truncated_header(frames, mask):
  path = frames / "00002.jpg"
  path.write_bytes(path.read_bytes()[:100])
  return "00002.jpg: not a complete image"


def frame_of_text(frames, mask):
  (frames / "00001.jpg").write_text("no image")
  return "00001.jpg: not a complete image"


def missing_frame(frames, mask):
  (frames / "00001.jpg").unlink()
  return "frame 00001 is missing between 00000 and 00002"


def frame_of_another_size(frames, mask):
  Image.new("RGB", (20, 24)).save(frames / "00003.jpg")
  return "00003.jpg: the frame is 20x24, but the video's first frame is 34x24"


def mask_of_another_size(frames, mask):
  Image.new("L", (34, 12), 1).save(mask)
  return "first.png: the mask is 34x12, but the video's first frame is 34x24"


def rgb_mask(frames, mask):
  Image.new("RGB", SIZE[::-1], (255, 0, 0)).save(mask)
  return "first.png: "


def empty_mask(frames, mask):
  Image.new("L", SIZE[::-1], 0).save(mask)
  return "first.png: no mask shows an object"


def no_mask(frames, mask):
  mask.unlink()
  return "first.png: no such mask file"


def no_video(frames, mask):
  frames.rename(frames.with_name("elsewhere"))
  return "video: no such video file or folder of frames"


def empty_folder(frames, mask):
  for path in frames.iterdir():
    path.unlink()
  return "video: contains no frames"


def two_frames_of_one_name(frames, mask):
  Image.new("RGB", SIZE[::-1]).save(frames / "00000.png")
  return "00000.jpg and 00000.png have the same name"


FAULTS = (
  truncated_frame,
  truncated_header,
  frame_of_text,
  missing_frame,
  frame_of_another_size,
  mask_of_another_size,
  rgb_mask,
  empty_mask,
  no_mask,
  no_video,
  empty_folder,
  two_frames_of_one_name,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_bad_input_is_named_in_one_line(fault, frames, mask, tmp_path, capsys):
  text = fault(frames, mask)
  out = tmp_path / "out"
  assert run(frames, mask, out) == 2
  error = capsys.readouterr().err.splitlines()[-1]  # below the progress bar, if any
  assert error.startswith("vosjax: ")
  assert text in error
  assert not out.exists()


def test_a_mask_without_its_frame_is_named(frames, tmp_path, capsys, save_mask):
  masks = tmp_path / "masks"
  masks.mkdir()
  save_mask(masks / "00009.png")
  assert run(frames, masks, tmp_path / "out") == 2
  refused(capsys, "00009.png: no frame is named '00009'", "00000 to 00003")


def test_a_file_that_is_no_video_is_named(mask, tmp_path, capsys):
  video = tmp_path / "video.mp4"
  video.write_text("no video")
  assert run(video, mask, tmp_path / "out") == 2
  refused(capsys, "video.mp4: cannot be read as a video")


def test_a_full_disk_leaves_nothing_half_written(
  frames, mask, tmp_path, monkeypatch, capsys
):
  write_bytes = pathlib.Path.write_bytes

  def full(path, content):
    if "00002" in path.name:
      write_bytes(path, content[:10])
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    return write_bytes(path, content)

  monkeypatch.setattr(pathlib.Path, "write_bytes", full)
  assert run(frames, mask, tmp_path / "out") == 2
  error = capsys.readouterr().err.splitlines()[-1]
  assert "No space left on device. Free some space and run the command again." in error
  left = sorted(path.name for path in (tmp_path / "out").iterdir())
  # Frames are written side by side, so others may be there or not.
  possible = {".parts", "segment.json", *(f"{name}.png" for name in NAMES)}
  assert set(left) <= possible - {"00002.png"}


def test_a_folder_that_may_not_be_written_is_named(
  frames, mask, tmp_path, monkeypatch, capsys
):
  def forbidden(path, *_, **__):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

  monkeypatch.setattr(pathlib.Path, "mkdir", forbidden)
  assert run(frames, mask, tmp_path / "out") == 2
  refused(capsys, f"{tmp_path / 'out'}: Permission denied. Choose a folder")


def test_the_job_file_says_where_results_came_from(frames, mask, tmp_path):
  run(frames, mask, tmp_path / "out")
  job = json.loads((tmp_path / "out" / "segment.json").read_text())
  assert job["finished"]
  assert job["inputs"]["video"] == str(frames)
  assert job["inputs"]["mask"] == str(mask)
  assert job["inputs"]["frames"] == 4


@pytest.fixture
def real(monkeypatch):
  monkeypatch.setattr(segment, "load_segmenter", REAL_LOAD_SEGMENTER)


def test_a_checkpoint_that_is_not_there_is_named(real, frames, mask, tmp_path, capsys):
  arguments = (frames, "--mask", mask, "--out", tmp_path / "out")
  assert vosjax(*arguments, "--checkpoint", "ours") == 2
  refused(
    capsys,
    "ours does not exist, and is not the name of weights in the package: agame-lite",
  )
  assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_a_backbone_is_refused(
  real, frames, mask, tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(weights, "load", lambda _: (object(), {}))
  assert run(frames, mask, tmp_path / "out") == 2
  refused(capsys, "agame-lite.safetensors: holds a checkpoint of object, not of agame")


def test_an_unknown_model_lists_the_known(real, frames, mask, tmp_path, capsys):
  assert run(frames, mask, tmp_path / "out", "--model", "agmae") == 2
  refused(capsys, "--model agmae is unknown; known:", "agame")


def test_a_signal_ends_the_way_backward(
  frames, save_mask, tmp_path, copying, monkeypatch
):
  """It gives no result before it is over, and keeps no state."""
  read = []

  def backward(self, frames, **options):
    del options
    for index in reversed(range(len(frames))):
      read.append(frames[index])
      signal.raise_signal(signal.SIGINT)
    yield

  monkeypatch.setattr(copying, "run", backward)
  mask = save_mask(tmp_path / "00003.png")
  assert run(frames, mask, tmp_path / "out") == 130
  assert len(read) == 1
