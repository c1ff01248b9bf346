"""`config.mode=predict`: masks of whole datasets, to be scored elsewhere."""

import json
import pathlib
import shlex
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from vosjax import __main__ as command_line
from vosjax.inference.engine import VideoSegmenter
from vosjax.media.write import write_labels
from vosjax.train import run
from vosjax.train.scoring import predict


def setting(get_config, name, checkpoint, root, subset, **evaluation):
  """A configuration that predicts."""
  config = get_config(name)
  config.mode = "predict"
  config.evaluation.update(subset=subset, checkpoint=checkpoint, **evaluation)
  config.data["youtube_vos" if "youtube_vos" in str(root) else "root"] = str(root)
  return config


@pytest.fixture
def agame(get_config, trained, davis):
  """A-GAME on DAVIS 2017 test-dev, which has the first masks only."""
  return setting(get_config, "agame:paper", trained("agame").path, davis, "test-dev")


def written(workdir):
  root = workdir / "predictions"
  return {path.relative_to(root).as_posix(): path for path in root.rglob("*.*")}


ALL = {f"{name}/{t:05d}.png" for name in ("deer", "orchid") for t in range(4)}


def test_a_test_set_becomes_palette_masks_of_each_frame(agame, sets, tmp_path, capsys):
  agame.evaluation.num_videos = 1  # holds for scores alone
  run.run(agame, str(tmp_path / "run"))
  files = written(tmp_path / "run")
  assert set(files) == ALL
  with Image.open(files["deer/00000.png"]) as first:
    assert first.mode == "P"
    assert first.getpalette()[3:6] == [128, 0, 0]
    np.testing.assert_array_equal(np.asarray(first), sets.truth(0))
  assert set(np.unique(np.asarray(Image.open(files["orchid/00003.png"])))) <= {0, 1, 2}
  said = capsys.readouterr().out
  assert "2 videos into" in said
  assert "0 of them are finished" in said
  root = agame.data.root
  assert f"--dataset davis2017 --root {root} --set 2017/test-dev" in said


def one_device(monkeypatch):
  first = jax.local_devices()[:1]
  monkeypatch.setattr(jax, "local_devices", lambda: first)


@pytest.mark.skipif(jax.local_device_count() < 2, reason="needs two devices")
def test_devices_share_the_videos_and_write_the_same_bytes(
  agame, tmp_path, monkeypatch
):
  devices = set()
  segment_video = VideoSegmenter.run

  def observed(self, *args):
    devices.add(jax.config.jax_default_device)
    return segment_video(self, *args)

  monkeypatch.setattr(VideoSegmenter, "run", observed)
  run.run(agame, str(tmp_path / "two"))
  assert devices == set(jax.local_devices()[:2])
  one_device(monkeypatch)
  run.run(agame, str(tmp_path / "one"))
  both = [written(tmp_path / name) for name in ("one", "two")]
  assert set(both[0]) == set(both[1]) == ALL
  for name, path in both[0].items():
    assert path.read_bytes() == both[1][name].read_bytes(), name


def test_an_interrupted_prediction_resumes_video_by_video(
  agame, tmp_path, monkeypatch, capsys
):
  one_device(monkeypatch)  # so that the videos are written one after another
  workdir = tmp_path / "run"
  write, seen = write_labels, []

  def stopped(path, labels):
    if len(seen) == 6:
      path.with_name(".00002.1.part.png").touch()  # as a killed process leaves it
      raise KeyboardInterrupt
    seen.append(path)
    write(path, labels)

  monkeypatch.setattr(predict, "write_labels", stopped)
  with pytest.raises(KeyboardInterrupt):
    run.run(agame, str(workdir))
  assert len(written(workdir)) == 7
  finished = workdir / "predictions/deer/00003.png"
  finished.write_bytes(b"left alone")
  monkeypatch.setattr(predict, "write_labels", write)
  assert "0 of them are finished" in capsys.readouterr().out
  run.run(agame, str(workdir))
  assert "1 of them are finished and skipped" in capsys.readouterr().out
  assert set(written(workdir)) == ALL
  assert finished.read_bytes() == b"left alone"
  shutil.rmtree(workdir / "predictions/deer")
  run.run(agame, str(workdir))
  assert set(written(workdir)) == ALL
  assert finished.read_bytes() != b"left alone"


def test_a_workdir_of_something_else_is_refused(
  agame, trained, davis, tmp_path, monkeypatch
):
  def nothing(segment, source, videos, done, out):
    (out / "deer").mkdir(parents=True)

  monkeypatch.setattr(predict, "_write", nothing)
  workdir = str(tmp_path / "run")
  run.run(agame, workdir)
  moved = davis.with_name("moved")
  davis.rename(moved)
  agame.data.root = str(moved)
  monkeypatch.setattr(predict, "_write", lambda *_: None)
  run.run(agame, workdir)  # the data may move, the model likewise
  copied = shutil.copytree(agame.evaluation.checkpoint, tmp_path / "copy")
  agame.evaluation.checkpoint = str(copied)
  run.run(agame, workdir)

  note = copied / "checkpoint.json"
  note.write_text(note.read_text() + "\n")
  with pytest.raises(ValueError, match=r"predictions of something else: model \(chec"):
    run.run(agame, workdir)
  agame.evaluation.update(checkpoint=trained("agame").path, subset="val")
  with pytest.raises(ValueError, match="subset is 'test-dev' there and 'val' here"):
    run.run(agame, workdir)
  agame.evaluation.subset = "test-dev"
  shutil.copy(
    moved / "JPEGImages/480p/deer/00003.jpg", moved / "JPEGImages/480p/deer/00004.jpg"
  )
  with pytest.raises(ValueError, match="deer is 4 there and 5 here"):
    run.run(agame, workdir)
  (moved / "JPEGImages/480p/deer/00004.jpg").unlink()
  given = moved / "Annotations/480p/deer/00000.png"
  masks = np.asarray(Image.open(given))
  Image.fromarray(masks[::-1]).save(given)
  with pytest.raises(ValueError, match="else: annotations .checksum..deer is"):
    run.run(agame, workdir)
  agame.seed = 5
  with pytest.raises(ValueError, match="another configuration: seed is 0 there"):
    run.run(agame, workdir)


def test_annotations_are_told_apart_by_frame_and_content(tmp_path):
  one, two = tmp_path / "one.png", tmp_path / "two.png"
  one.write_bytes(b"1")
  two.write_bytes(b"2")
  given = [
    (None, None),
    (one, None),
    (None, one),
    (two, None),
    (None, two),
    (one, two),
    (two, one),
    (two, two),
    ([b"1", b"2"], None),
    ([b"1", b"3"], None),
  ]
  sums = [predict._checksum(files) for files in given]
  assert sums[0] is None
  assert len(set(sums)) == len(given)
  assert predict._checksum(([b"1"], None)) == sums[1]  # a prepared set's bytes


def test_videos_without_masks_stop_a_one_shot_model_before_anything_is_written(
  agame, davis, tmp_path
):
  shutil.rmtree(davis / "Annotations/480p/orchid")
  said = "1 of 2 videos have no annotation: orchid. This model follows .* zero-shot"
  with pytest.raises(ValueError, match=said):
    run.run(agame, str(tmp_path / "run"))
  shutil.rmtree(davis / "Annotations")
  with pytest.raises(ValueError, match="2 of 2 videos have no annotation"):
    run.run(agame, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


def test_annotations_without_objects_are_named_and_their_video_is_not_written(
  agame, davis, tmp_path
):
  blank = Image.fromarray(np.zeros((32, 48), np.uint8))
  blank.save(davis / "Annotations/480p/deer/00000.png")
  with pytest.raises(ValueError, match="deer: no mask shows an object"):
    run.run(agame, str(tmp_path / "run"))
  # Another device may have begun the other video by then.
  assert not [name for name in written(tmp_path / "run") if name.startswith("deer")]


def test_a_dataset_without_a_server_is_not_predicted(agame, tmp_path):
  agame.evaluation.dataset = "synthvos"
  with pytest.raises(ValueError, match=r"'synthvos', .* no server .*\['davis', 'fbms'"):
    run.run(agame, str(tmp_path / "run"))
  agame.evaluation.dataset = "fbms"
  with pytest.raises(ValueError, match="given or matched objects are not scored"):
    run.run(agame, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


def test_a_zero_shot_model_needs_no_annotations(
  get_config, trained, davis, tmp_path, capsys
):
  shutil.rmtree(davis / "Annotations")
  listed = davis / "ImageSets/2019"
  listed.mkdir()
  shutil.copy(davis / "ImageSets/2017/test-dev.txt", listed)
  checkpoint = trained("rvos", one_shot=False).path
  config = setting(
    get_config, "rvos:paper", checkpoint, davis, str(listed / "test-dev.txt")
  )
  config.evaluation.match_first_frame = False
  run.run(config, str(tmp_path / "run"))
  assert set(written(tmp_path / "run")) == ALL
  said = capsys.readouterr().out
  assert f"--dataset davis2017-unsupervised --root {davis} --set 2019/test-dev" in said
  config.evaluation.match_first_frame = True  # later, where the truth is
  run.run(config, str(tmp_path / "later"))
  assert "--dataset davis2017 " in (said := capsys.readouterr().out)
  assert "--match first-frame" in said
  for name, path in written(tmp_path / "run").items():
    assert path.read_bytes() == (tmp_path / "later/predictions" / name).read_bytes()


def test_a_partly_annotated_dataset_is_not_matched_in_part(
  get_config, trained, davis, tmp_path
):
  shutil.rmtree(davis / "Annotations/480p/orchid")
  checkpoint = trained("rvos", one_shot=False).path
  config = setting(get_config, "rvos:paper", checkpoint, davis, "test-dev")
  with pytest.raises(ValueError, match="1 of 2 videos have no annotation: orchid. Com"):
    run.run(config, str(tmp_path / "run"))
  config.evaluation.match_first_frame = False
  run.run(config, str(tmp_path / "run"))
  assert set(written(tmp_path / "run")) == ALL


def test_late_objects_of_youtube_vos_appear_in_their_first_frame(
  get_config, trained, youtube_vos, tmp_path, capsys
):
  (youtube_vos / "train").rename(youtube_vos / "elsewhere")  # what is seen is not asked
  root = youtube_vos.rename(youtube_vos.with_name("youtube_vos"))
  config = setting(
    get_config,
    "rvos:paper_one_shot",
    trained("rvos", one_shot=True).path,
    root,
    "valid",
    dataset="youtube_vos",
  )
  run.run(config, str(tmp_path / "run"))
  files = written(tmp_path / "run")
  assert set(files) == {
    f"{name}/{t:04d}5.png" for name, n in (("late", 5), ("early", 4)) for t in range(n)
  }
  late = [np.asarray(Image.open(files[f"late/{t:04d}5.png"])) for t in range(5)]
  assert not late[0].any()
  for t, i in ((1, 2), (3, 1)):  # RVOS shows what it is given
    given = Image.open(root / f"valid/Annotations/late/{t:04d}5.png")
    np.testing.assert_array_equal(late[t] == i, np.asarray(given) == i)
  assert not (late[2] == 1).any()
  assert f"--dataset youtube-vos --root {root}/valid" in capsys.readouterr().out


def command(said):
  """The last line of a run, as arguments."""
  words = shlex.split(said.strip().splitlines()[-1])
  assert words[0] == "vosjax"
  return words[1:]


@pytest.mark.parametrize("case", ["davis2016", "davis2017", "fbms", "matched"])
def test_the_printed_command_gives_the_scores_of_evaluate(
  get_config, trained, sets, davis, fbms, youtube_vos, tmp_path, capsys, case
):
  if case == "davis2017":
    config = setting(get_config, "agame:paper", trained("agame").path, davis, "val")
  elif case == "matched":
    root = youtube_vos.rename(youtube_vos.with_name("youtube_vos"))
    config = setting(
      get_config,
      "rvos:paper",
      trained("rvos", one_shot=False).path,
      root / "train",
      str(root / "held_out.txt"),
      dataset="youtube_vos",
    )
  else:
    root, subset = (fbms, "test") if case == "fbms" else (davis, "val")
    config = setting(get_config, f"cosnet:{case}", trained("cosnet").path, root, subset)
  workdir = tmp_path / "run"
  run.run(config, str(workdir))
  arguments = command(capsys.readouterr().out)
  scores = tmp_path / "scores"
  assert command_line.main([*arguments, "--workers", "1", "--out", str(scores)]) == 0
  config.mode = "evaluate"
  run.run(config, str(workdir))
  ours, theirs = (
    json.loads(pathlib.Path(folder, "results.json").read_text())
    for folder in (workdir / "eval", scores)
  )
  assert any(value for row in ours["rows"] for value in row["J_per_frame"])
  assert ours == theirs
  if case == "matched":  # in its first frame a late object is the annotation
    first = np.asarray(Image.open(workdir / "predictions/late/00035.png"))
    np.testing.assert_array_equal(first == 1, sets.truth(3) == 1)
