"""The report shows the worst and the best frame of the worst videos."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from vosjax.evaluation import mask_folders, report, two_folders
from vosjax.evaluation.evaluate import build_protocol, evaluate_files
from vosjax.evaluation.results import Row


def write(folder, volume):
  folder.mkdir(parents=True)
  for t, labels in enumerate(volume):
    Image.fromarray(labels).convert("P").save(folder / f"{t:05d}.png")


def images_of(page):
  """Embedded images as floats in [0, 1], in the order of the page."""
  return [
    np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")) / 255
    for data in re.findall("data:image/jpeg;base64,([^']+)'", page)
  ]


@pytest.fixture
def results(tmp_path):
  """Two objects in two videos: one is predicted well, the other one worse over time."""
  truth = np.zeros((3, 24, 32), np.uint8)
  truth[:, 4:20, 4:16], truth[:, 4:20, 18:30] = 1, 2
  worse = truth.copy()
  worse[1, 4:20, 12:16] = 0
  worse[2, 4:20, 8:16] = 0
  for name, predicted in (("good", truth), ("worse", worse)):
    write(tmp_path / "Annotations" / name, truth)
    write(tmp_path / "results" / name, predicted)
  return tmp_path


def make_page(root, protocol):
  files = mask_folders.find(root / "results", root)
  result = evaluate_files(protocol, files)
  return report.report_html(
    result, files, title="<results>", protocol=build_protocol(protocol), root=root
  )


def test_the_worst_and_the_best_frame_are_shown(results):
  page = make_page(results, "segtrack-v2")
  captions = re.findall("(Worst|Best): frame (0000.), J&amp;F ([0-9.]+)", page)
  assert captions[:2] == [("Worst", "00001", "100.0"), ("Best", "00001", "100.0")]
  assert [caption[:2] for caption in captions[2:]] == [
    ("Worst", "00002"),
    ("Best", "00001"),
  ]
  assert float(captions[2][2]) < float(captions[3][2]) < 100


def test_masks_are_drawn_as_they_were_scored(tmp_path):
  labels = np.zeros((3, 24, 32), np.uint8)
  labels[:, 4:20, 4:16] = 255
  labels[1:, 4:20, 18:30] = 9
  for folder in ("truth", "results"):
    write(tmp_path / folder, labels)
    Image.fromarray(labels[0]).save(tmp_path / folder / "00000.png")  # gray, 0 and 255
  videos = two_folders.pair(tmp_path / "results", tmp_path / "truth").videos
  options = {"label_255": "background"}
  protocol = build_protocol("two folders", **options)
  result = evaluate_files("two folders", videos, options=options)
  page = report.report_html(result, videos, title="x", protocol=protocol, root=None)
  assert "Worst: frame 00000, J&amp;F 100.0" in page
  image = images_of(page)[0]
  for left in (0, image.shape[1] // 2):  # prediction and truth
    inside = image[100:200, left + 80 : left + 180]  # 255: background, not object 1
    np.testing.assert_allclose(inside, 90 / 255, atol=0.05)


def test_only_the_worst_videos_are_illustrated(results, monkeypatch):
  monkeypatch.setattr(report, "MAX_ILLUSTRATED", 1)
  page = make_page(results, "segtrack-v2")
  assert re.findall("<h2>(.*?)</h2>", page) == ["All rows", "worse"]
  assert "the 1 videos with the lowest J" in page


def test_frames_are_shown_below_the_masks(results):
  gray = images_of(make_page(results, "fbms"))[0]
  write_frames = results / "JPEGImages" / "good"
  write_frames.mkdir(parents=True)
  for t in range(3):
    Image.new("RGB", (32, 24), (0, 0, 250)).save(write_frames / f"{t:05d}.png")
  blue = images_of(make_page(results, "fbms"))[0]
  assert blue[..., 2].mean() > gray[..., 2].mean() + 0.2


def test_merged_objects_have_one_colour(results):
  def has_green(image):
    return (image[..., 1] - image[..., 0]).max() > 0.15

  assert not any(map(has_green, images_of(make_page(results, "fbms"))))
  assert any(map(has_green, images_of(make_page(results, "segtrack-v2"))))


def test_curves_run_from_left_to_right_and_one_is_at_the_top():
  frames = tuple(f"{t:05d}" for t in range(9))
  j = np.linspace(1, 0, 9)
  early = Row("dog_1", "dog", frames[:3], j[:3], j[:3], object_id=1)
  late = Row("dog_2", "dog", frames[2:], j[2:], j[2:], object_id=2)
  svg = report.curves_svg([early, late])
  lines = [
    np.array([point.split(",") for point in points.split()], float)
    for points in re.findall('points="(.*?)"', svg)
  ]
  assert [len(line) for line in lines] == [3, 7]
  x, y = np.concatenate([lines[0], lines[1][1:]]).T
  np.testing.assert_array_equal(lines[0][2], lines[1][0])  # the frame of both
  np.testing.assert_allclose(np.diff(x), (x[-1] - x[0]) / 8, atol=0.1)
  np.testing.assert_allclose(np.diff(y), (y[-1] - y[0]) / 8, atol=0.1)
  assert x[0] < x[-1] and y[0] < y[-1]  # SVG counts rows from the top
  labels = re.findall('text-anchor="middle">(.*?)<', svg)
  assert labels == ["00000", "00002", "00004", "00006", "00008"]
