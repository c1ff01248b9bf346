"""`vosjax evaluate` writes the official files, or lists every problem."""

import base64
import io
import json
import re
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from vosjax import __main__ as command

MERGED = ("davis2016", "fbms", "youtube-objects", "segtrack-v2-unsupervised")
VIDEOS = ("blob-one", "blob-two", "blob-three")


def write_masks(folder, volume, *, first=0, bits=8):
  folder.mkdir(parents=True)
  for t, labels in enumerate(volume):
    image = Image.fromarray(labels).convert("P")
    image.putpalette(bytes(range(48)))
    image.save(folder / f"{first + t:05d}.png", bits=bits)


@pytest.fixture(scope="session")
def original(golden, tmp_path_factory):
  """A dataset in the layout of DAVIS, and predictions; tests must not change it."""
  root = tmp_path_factory.mktemp("davis")
  sets = root / "ImageSets" / "2017"
  sets.mkdir(parents=True)
  (sets / "val.txt").write_text("\n".join(VIDEOS))
  for name in VIDEOS:
    masks = golden(f"metrics/inputs_{name}.npz")
    for folder in ("Annotations", "Annotations_unsupervised"):
      write_masks(root / folder / "480p" / name, masks["gt"])
    write_masks(root / "pert" / name, masks["pert"], bits=4)
    write_masks(root / "few" / name, masks["few"])
  return root


@pytest.fixture
def davis(original, tmp_path):
  """A copy of the dataset that a test may change."""
  return shutil.copytree(original, tmp_path / "davis")


def evaluate(predictions, dataset, root, *options, workers=1):
  """Runs the command and returns its exit code."""
  arguments = ["evaluate", predictions, "--dataset", dataset, "--root", root]
  return command.main([*map(str, [*arguments, "--workers", workers, *options])])


def test_a_single_video_is_no_plural(original, tmp_path, capsys):
  (tmp_path / "one.txt").write_text(VIDEOS[0])
  options = "--set", tmp_path / "one.txt"
  assert evaluate(original / "pert", "davis2017", original, *options) == 0
  assert "; 1 video, in percent" in capsys.readouterr().out


@pytest.mark.parametrize(
  "dataset, predictions, configuration",
  [("davis2017", "pert", "semi"), ("davis2017-unsupervised", "few", "unsup_few")],
)
def test_files_equal_the_toolkit(
  original, tmp_path, golden, capsys, dataset, predictions, configuration
):
  expected = golden("metrics/golden_sequences.json")[configuration]
  out = tmp_path / "out"
  arguments = original / predictions, dataset, original, "--out", out
  assert evaluate(*arguments) == 0
  for name, text in expected["csv"].items():
    assert (out / name).read_text() == text
  results = json.loads((out / "results.json").read_text())
  assert results["summary"] == expected["global_"]
  page = (out / "report.html").read_text()
  assert page.count("<img") == page.count("data:image/jpeg") == 2 * len(VIDEOS)
  assert "http://" not in page.replace('xmlns="http://www.w3.org/2000/svg"', "")
  for name in VIDEOS:
    svg = (out / "curves" / f"{name}.svg").read_text()
    rows = [row for row in expected["rows"] if row["row"].startswith(f"{name}_")]
    assert svg.count("<polyline") == len(rows)
  assert f"{100 * expected['global_']['J&F-Mean']:.1f}" in capsys.readouterr().out


@pytest.mark.parametrize(("asked", "used"), [(2, 2), (64, len(VIDEOS))])
def test_videos_are_shared_by_as_many_processes(
  original, monkeypatch, capsys, asked, used
):
  def refuse(*_, workers, **__):
    raise ValueError(f"{workers} workers")

  monkeypatch.setattr("vosjax.evaluation.evaluate.evaluate_files", refuse)
  assert evaluate(original / "pert", "davis2017", original, workers=asked) == 2
  assert f"{used} workers" in capsys.readouterr().err


def test_two_folders_with_the_conventions_of_davis_give_its_scores(
  original, tmp_path, golden, capsys
):
  expected = golden("metrics/golden_sequences.json")["semi"]["global_"]
  truth = original / "Annotations" / "480p"
  options = "--skip-ends", "--label-255", "background", "--out", tmp_path / "out"
  arguments = "evaluate", original / "pert", truth, "--workers", "1", *options
  assert command.main(list(map(str, arguments))) == 0
  results = json.loads((tmp_path / "out" / "results.json").read_text())
  # Videos are in another order, which changes the last bit of a mean.
  assert results["summary"] == pytest.approx(expected, rel=1e-12)
  said, errors = capsys.readouterr()
  assert "two folders: same ids; first and last frame left out; mean over" in said
  assert "warning" not in errors and "note" not in errors
  page = (tmp_path / "out" / "report.html").read_text()
  assert page.count("<img") == 2 * len(VIDEOS)


def test_255_means_what_was_said_also_in_masks_without_another_id(tmp_path, capsys):
  for folder, value in (("truth", 255), ("results", 0)):
    labels = np.zeros((2, 8, 12), np.uint8)
    labels[0, 2:5, 2:8] = 1
    labels[1, 4:7, 2:8] = value  # alone in its frame
    (tmp_path / folder).mkdir()
    for t, frame in enumerate(labels):
      Image.fromarray(frame).save(tmp_path / folder / f"{t:05d}.png")
  arguments = "evaluate", tmp_path / "results", tmp_path / "truth", "--workers", "1"
  assert command.main([*map(str, arguments), "--label-255", "void"]) == 0
  said, errors = capsys.readouterr()
  assert "J-Mean     100.0" in said and "white is 255" in errors


def test_what_was_matched_or_ignored_is_said(tmp_path, capsys):
  labels = np.zeros((3, 20, 30), np.uint8)
  labels[:, 3:9, 4:15] = 5
  write_masks(tmp_path / "truth" / "a", labels)
  labels[:, :2, :2] = 3
  write_masks(tmp_path / "res" / "run" / "a", labels, first=1)
  extra = shutil.copy(tmp_path / "res/run/a/00001.png", tmp_path / "res/run/a/x.png")
  assert command.main(["evaluate", f"{tmp_path}/res", f"{tmp_path}/truth"]) == 0
  errors = capsys.readouterr().err
  for line in (
    "res: the predictions were found in run/VIDEO.",
    "warning: a: predictions are numbered from 00001.png, annotations from 00000",
    f"note: 1 prediction belongs to no annotated frame and is ignored: {extra}.",
    "warning: a: predicted ids 3 are not in the truth and are ignored.",
  ):
    assert line in errors, line


def test_masks_that_hold_no_ids_are_warned_of(davis, capsys):
  for name in VIDEOS[:2]:
    for path in (davis / "pert" / name).iterdir():
      values = (np.asarray(Image.open(path)) > 0) * np.uint8(255)
      if name == VIDEOS[1]:  # a ramp of one pixel
        values[:, 1:] = values[:, 1:] // 2 + values[:, :-1] // 2
      Image.fromarray(values).save(path)
  assert evaluate(davis / "pert", "davis2016", davis, "--set", "2017/val") == 0
  lines = capsys.readouterr().err.splitlines()
  (line,) = lines  # and no progress bar, which is for terminals
  assert re.match(r"warning: \d+ predictions: soft edges thresholded at 50 %: ", line)
  assert f"{VIDEOS[1]}/00001.png" in line and " more." in line
  assert evaluate(davis / "pert", "davis2017", davis) == 0
  error = capsys.readouterr().err
  assert "predictions: white (255) is object 1: " in error
  assert f"warning: {VIDEOS[1]}: no frame of the prediction has" in error


def test_a_missing_first_frame_is_noticed_where_it_is_not_scored(davis, capsys):
  for name in VIDEOS[:2]:
    (davis / "pert" / name / "00000.png").unlink()
  assert evaluate(davis / "pert", "davis2017", davis) == 0
  (line,) = (x for x in capsys.readouterr().err.splitlines() if "warning:" in x)
  assert "blob-one, blob-two: no prediction 00000.png; it is not scored here" in line


def test_all_problems_are_listed_and_nothing_is_scored(davis, tmp_path, capsys):
  broken = davis / "pert"
  (broken / "blob-one" / "00003.png").unlink()
  Image.new("P", (5, 7)).save(broken / "blob-one" / "00004.png")
  Image.new("RGB", (160, 120), (9, 0, 0)).save(broken / "blob-two" / "00005.png")
  Image.fromarray(np.full((120, 160), 9, np.uint8)).convert("P").save(
    broken / "blob-two" / "00006.png"
  )
  (broken / "blob-two" / "00000.png").unlink()  # the first frame is not scored
  shutil.rmtree(broken / "blob-three")
  out = tmp_path / "out"
  assert evaluate(broken, "davis2017", davis, "--out", out) == 2
  assert not out.exists()
  lines = capsys.readouterr().err.splitlines()
  for wanted in (
    "blob-one/00003.png: missing",
    "blob-one/00004.png: 5x7 pixels, but the annotation has 160x120",
    "blob-two/00005.png: a label map of RGB colours",
    "blob-two/00006.png: holds object id 9, but davis2017 allows ids up to 2",
    "pert/blob-three: no such folder",
  ):
    assert any(wanted in line for line in lines), wanted
  assert not any("blob-two/00000.png" in line for line in lines)
  assert "5 problem(s)" in lines[-1]


@pytest.mark.parametrize(
  "arguments, text",
  [
    (["nowhere"], "nowhere: no such folder of predictions"),
    (["Annotations/480p/blob-one"], "holds no folder of any video.*no folder at"),
    (["ImageSets"], "blob-one, blob-two, blob-three.*but 2017"),
    (["."], "holds the annotations themselves"),
    (["pert", "--set", "2016/train"], "no list '2016/train'.*2017/val"),
    (["pert", "--workers", "0"], "--workers is 0"),
    (["pert", "--no-stability"], "--no-stability does not apply to davis2017, only "),
    (
      ["pert", "--match", "first-frame", "--dataset", "fbms"],
      "--match does not apply to fbms, only to davis2017, youtube-vos, segtrack-v2",
    ),
    (["pert", "pert"], "TRUTH is pert, and --dataset is given as well"),
    (["pert", "--skip-ends"], "--skip-ends does not apply to davis2017, only to two"),
    (["pert", "--root", "pert"], "holds no folder Annotations.*datasets/export.py"),
    (["pert", "--root", "absent"], "--root absent: no such folder"),
    (["pert", "--out", "ImageSets/2017/val.txt/x"], "val.txt is not a writable folder"),
  ],
)
def test_wrong_arguments_are_one_line(original, monkeypatch, capsys, arguments, text):
  monkeypatch.chdir(original)
  defaults = ["evaluate", "--dataset", "davis2017", "--root", "."]
  assert command.main([*defaults, *arguments]) == 2
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == 1
  assert re.search(text, lines[0])


@pytest.mark.parametrize(
  "arguments, text",
  [
    (["pert"], "give two folders, vosjax evaluate PREDICTIONS TRUTH, or the dataset"),
    (["pert", "--dataset", "fbms"], "give two folders, .* --dataset NAME --root DIR"),
    (["pert", "ImageSets"], "ImageSets: holds no masks"),
    (["pert", "pert", "--match", "first-frame"], "--match does not apply to two fold"),
    ([".", "--dataset", "fbms", "--root", "."], "holds the annotations themselves"),
    (
      ["own", "--dataset", "davis2017", "--root", "own"],
      "own has no ImageSets.*vosjax evaluate own own/Annotations",
    ),
    (
      ["outer", "--dataset", "davis2017", "--root", "."],
      "no folder of any video.*There is such a folder in outer/run: give that",
    ),
    (
      ["flat", "--dataset", "davis2017", "--root", "."],
      "blob-one_00000.png lie in it directly.*vosjax evaluate flat TRUTH --skip-ends",
    ),
  ],
)
def test_the_way_out_is_shown(davis, monkeypatch, capsys, arguments, text):
  monkeypatch.chdir(davis)
  (davis / "own").mkdir()
  shutil.copytree("Annotations/480p", "own/Annotations")
  shutil.copytree("pert", "outer/run")
  (davis / "flat").mkdir()
  shutil.copy("pert/blob-one/00000.png", "flat/blob-one_00000.png")
  assert command.main(["evaluate", *arguments]) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert re.search(text, line), line


def test_a_folder_that_is_not_writable_is_refused_first(
  original, tmp_path, monkeypatch, capsys
):
  def refuse(dir):
    raise PermissionError(13, "Permission denied", str(dir))

  monkeypatch.setattr("tempfile.TemporaryFile", refuse)  # root may write anywhere
  options = "--out", tmp_path / "out"
  assert evaluate(original / "pert", "davis2017", original, *options) == 2
  assert f"{tmp_path} is not a writable folder" in capsys.readouterr().err
  assert not (tmp_path / "out").exists()


def test_equal_problems_of_many_files_are_one_line(davis, capsys):
  for path in (davis / "pert" / "blob-one").iterdir():
    Image.new("P", (5, 7)).save(path)
  assert evaluate(davis / "pert", "davis2017", davis) == 2
  first, last = capsys.readouterr().err.splitlines()
  assert "blob-one/00001.png: 5x7 pixels, but the annotation has 160x120" in first
  assert re.search(r"The same applies to (\d+) more, up to \S+blob-one/0\d+.png", first)
  assert f"{int(first.split(' more')[0].split()[-1]) + 1} problem(s)" in last


def test_results_of_segment_are_truth_for_others(tmp_path, capsys):
  labels = np.zeros((3, 20, 30), np.uint8)
  labels[:, 3:9, 4:15] = 1
  for name in ("mine", "theirs"):
    write_masks(tmp_path / name, labels)
    for inner in ("alpha", "objects/1", "probs/1"):
      write_masks(tmp_path / name / inner, labels)
    for file in ("overlay.mp4", "alpha.webm", "results.json", "report.html"):
      (tmp_path / name / file).touch()
  out = tmp_path / "out"
  arguments = ["evaluate", tmp_path / "mine", tmp_path / "theirs", "--out", out]
  assert command.main([*map(str, arguments)]) == 0
  said, errors = capsys.readouterr()
  assert "mean over objects; 1 video, in percent" in said and errors == ""
  arguments = ["evaluate", tmp_path / "all", tmp_path / "theirs"]
  shutil.copytree(tmp_path / "mine", tmp_path / "all" / "video")
  assert command.main([*map(str, arguments)]) == 0
  assert "the predictions were found in video." in capsys.readouterr().err
  page = (out / "report.html").read_text()
  assert "<h1>mine compared with theirs</h1>" in page


def youtube_vos(tmp_path):
  labels = np.zeros((3, 8, 8), np.uint8)
  labels[:, 1:4, 1:4], labels[1:, 5:7, 5:7] = 1, 2
  root = tmp_path / "valid"
  write_masks(root / "Annotations" / "0ab", labels)
  objects = {"1": {"category": "cat"}, "2": {"category": "yak"}}
  meta = {"videos": {"0ab": {"objects": objects}}}
  (root / "meta.json").write_text(json.dumps(meta))
  write_masks(tmp_path / "submission" / "Annotations" / "0ab", labels)
  return root, tmp_path / "submission"


def test_the_training_set_of_youtube_vos_tells_which_categories_are_seen(
  tmp_path, capsys
):
  root, submission = youtube_vos(tmp_path)
  arguments = submission, "youtube-vos", root
  assert evaluate(*arguments) == 2
  assert "--train-meta FILE" in capsys.readouterr().err
  nameless = tmp_path / "meta.json"  # as in datasets without categories
  nameless.write_text('{"videos": {"x": {"objects": {"1": {"frames": ["0"]}}}}}')
  assert evaluate(*arguments, "--train-meta", nameless) == 2
  assert f"{nameless}: names no object category" in capsys.readouterr().err
  meta = {"videos": {"x": {"objects": {"1": {"category": "cat"}}}}}
  (tmp_path / "train").mkdir()
  (tmp_path / "train" / "meta.json").write_text(json.dumps(meta))
  (
    submission / "Annotations" / "0ab" / "00000.png"
  ).unlink()  # the prompt needs no prediction
  assert evaluate(*arguments) == 0
  assert re.search(r"^G +100\.0$", capsys.readouterr().out, re.MULTILINE)


def test_the_first_frames_of_youtube_vos_count_if_asked(tmp_path, capsys):
  root, submission = youtube_vos(tmp_path)
  options = "--train-meta", root / "meta.json", "--count-first-frames"
  assert evaluate(submission, "youtube-vos", root, *options) == 0
  assert "first frames count" in capsys.readouterr().out
  (submission / "Annotations" / "0ab" / "00000.png").unlink()
  assert evaluate(submission, "youtube-vos", root, *options) == 2
  assert "00000.png: missing" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("options", "measured"), [([], True), (["--no-stability"], False)]
)
def test_stability_is_measured_on_davis2016_unless_refused(
  tmp_path, capsys, options, measured
):
  labels = np.zeros((4, 20, 30), np.uint8)
  labels[:, 3:9, 4:15] = 1
  write_masks(tmp_path / "Annotations" / "480p" / "bear", labels)
  write_masks(tmp_path / "Annotations" / "480p" / "libby", labels)  # not in the list
  write_masks(tmp_path / "predicted" / "bear", labels)
  (tmp_path / "ImageSets" / "2016").mkdir(parents=True)
  (tmp_path / "ImageSets" / "2016" / "val.txt").write_text("bear")
  assert evaluate(tmp_path / "predicted", "davis2016", tmp_path, *options) == 0
  printed = capsys.readouterr().out
  assert ("T" in printed.splitlines()[0].split()) == measured
  assert re.search(r"^T-Mean +0\.0$" if measured else r"^T-Mean +-$", printed, re.M)


def test_unsupervised_annotations_are_preferred_where_they_exist(original, tmp_path):
  root = tmp_path / "davis"
  (root / "Annotations").mkdir(parents=True)
  annotations = root / "Annotations_unsupervised"
  annotations.symlink_to(original / "Annotations_unsupervised")
  (tmp_path / "list.txt").write_text("blob-one")
  arguments = original / "few", "davis2017-unsupervised", root
  assert evaluate(*arguments, "--set", tmp_path / "list.txt") == 0


def test_images_show_matched_proposals_only(tmp_path):
  labels = np.zeros((2, 40, 60), np.uint8)
  labels[:, 5:20, 5:30] = 1
  write_masks(tmp_path / "valid" / "Annotations" / "swan", labels)
  labels[:, 25:35, 35:55] = 2  # a proposal that matches no object
  write_masks(tmp_path / "predicted" / "swan", labels)
  (tmp_path / "list.txt").write_text("swan")
  folders = tmp_path / "predicted", "davis2017-unsupervised", tmp_path / "valid"
  options = "--set", tmp_path / "list.txt", "--out", tmp_path / "out"
  assert evaluate(*folders, *options) == 0
  page = (tmp_path / "out" / "report.html").read_text()
  shown = [
    np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), int)
    for data in re.findall("data:image/jpeg;base64,([^']+)'", page)
  ]
  assert len(shown) == 2
  for image in shown:  # gray but for the red of the object, on both sides
    assert (image[..., 0] - image[..., 1]).max() > 60
    assert (image[..., 1] - image[..., 0]).max() < 40


def test_void_is_not_an_instance_to_match(davis, capsys):
  path = davis / "few" / "blob-two" / "00002.png"
  Image.fromarray(np.full((120, 160), 255, np.uint8)).convert("P").save(path)
  assert evaluate(davis / "few", "davis2017", davis, "--match", "first-frame") == 2
  assert "blob-two/00002.png: holds id 255, which means void" in capsys.readouterr().err


def test_first_frame_matching_does_not_depend_on_ids(
  original, tmp_path, golden, capsys
):
  for name in VIDEOS:
    truth = golden(f"metrics/inputs_{name}.npz")["gt"]
    renamed = np.where(truth > 0, 9 - truth, 0).astype(np.uint8)
    write_masks(tmp_path / "zero-shot" / name, renamed)
  options = "--match", "first-frame", "--by-instances", "--out", tmp_path / "out"
  assert evaluate(tmp_path / "zero-shot", "davis2017", original, *options) == 0
  page = (tmp_path / "out" / "report.html").read_text()
  assert page.count("<img") == 2 * len(VIDEOS)
  printed = capsys.readouterr().out
  assert re.search(r"^J&F-Mean +100\.0$", printed, re.MULTILINE)
  for count in (1, 2, 3):  # one video each with as many objects
    assert re.search(rf"^ +{count} +1 +100\.0 +100\.0$", printed, re.MULTILINE), printed


@pytest.mark.parametrize(
  "dataset, video, score",
  [
    ("davis2016", "blob", "J&F-Mean"),
    ("davis2017", "blob", "J&F-Mean"),
    ("davis2017-unsupervised", "blob", "J&F-Mean"),
    ("youtube-vos", "0ab", "G"),
    ("fbms", "cars1", "J-Mean"),
    ("youtube-objects", "cat/0001", "J-Mean-by-Category"),
    ("segtrack-v2", "bmx", "J-Mean"),
    ("segtrack-v2-unsupervised", "bmx", "J-Mean"),
  ],
)
def test_every_dataset_is_scored_and_reported(tmp_path, capsys, dataset, video, score):
  labels = np.zeros((4, 20, 30), np.uint8)
  labels[:, 3:9, 4:15], labels[:, 12:18, 6:20] = 1, 2
  root = tmp_path / "valid"
  write_masks(root / "Annotations" / video, labels)
  write_masks(tmp_path / "predicted" / video, labels)
  objects = {str(i): {"category": "cat"} for i in (1, 2)}
  meta = json.dumps({"videos": {video: {"objects": objects}}})
  (tmp_path / "train").mkdir()
  for folder in (root, tmp_path / "train"):
    (folder / "meta.json").write_text(meta)
  (tmp_path / "list.txt").write_text(video)
  options = "--set", tmp_path / "list.txt", "--out", tmp_path / "out"
  assert evaluate(tmp_path / "predicted", dataset, root, *options) == 0
  printed = capsys.readouterr().out
  if dataset != "youtube-vos":  # G is NaN, as no category is unseen
    assert re.search(rf"^{score} +100\.0$", printed, re.MULTILINE), printed
  page = (tmp_path / "out" / "report.html").read_text()
  assert page.count("<img") == 2
  curves = 1 if dataset in MERGED else 2
  assert page.count("<polyline") == curves == page.count('height="4"')
  assert "-0.0" not in page
  label = "all objects cat:" if dataset == "youtube-objects" else "all objects:"
  assert (label in page) == (dataset in MERGED)


# J and F of each video as the README of the predictions states them.
PUBLISHED = {
  ("osvos_semi_supervised", "davis2016"): {
    "blackswan": (94.3, 97.4),
    "car-shadow": (92.8, 91.7),
    "libby": (62.3, 75.1),
    "bmx-trees": (54.1, 76.6),
  },
  ("rvos_zero_shot", "davis2017-unsupervised"): {
    "blackswan": (92.1, 94.3),
    "car-shadow": (92.0, 95.7),
    "libby": (62.6, 77.9),
    "bmx-trees": (49.5, 69.2),
  },
}


@pytest.mark.parametrize(
  ("method", "dataset", "videos"),
  [
    ("rvos_zero_shot", "davis2017-unsupervised", ["car-shadow"]),
    *(
      pytest.param(method, dataset, list(scores), marks=pytest.mark.slow)
      for (method, dataset), scores in PUBLISHED.items()
    ),
  ],
)
def test_published_predictions_get_their_scores(
  shared, tmp_path, method, dataset, videos
):
  root = shared / "data" / "davis_mini"
  (tmp_path / "videos.txt").write_text("\n".join(videos))
  options = ["--set", tmp_path / "videos.txt", "--out", tmp_path]
  if dataset == "davis2016":
    options.append("--no-stability")
  predictions = root / "ReferencePredictions" / method
  assert evaluate(predictions, dataset, root, *options) == 0
  rows = json.loads((tmp_path / "results.json").read_text())["rows"]
  means = {
    row["sequence"]: tuple(round(100 * row[name]["mean"], 1) for name in "JF")
    for row in rows
  }
  assert means == {name: PUBLISHED[method, dataset][name] for name in videos}


@pytest.mark.slow
def test_real_folders_give_the_official_files(shared, tmp_path):
  archive = shared / "reference" / "metrics" / "davis_layout.zip"
  with zipfile.ZipFile(archive) as files:
    files.extractall(tmp_path)
  folders = tmp_path / "results" / "pert", "davis2017", tmp_path / "davis"
  assert evaluate(*folders, "--out", tmp_path / "out", workers=2) == 0
  expected = tmp_path / "expected_csv" / "semi"
  for path in expected.iterdir():
    assert (tmp_path / "out" / path.name).read_text() == path.read_text()
