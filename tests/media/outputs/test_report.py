"""report.html and the timelines in it."""

import math
import re

import numpy as np
import pytest

from vosjax.media import outputs
from vosjax.media.outputs import timeline
from vosjax.media.outputs.least_sure import LeastSure


def record(scores, *, ids=(1, 2), lost=None, name="00000"):
  lost = [score < 0.5 for score in scores] if lost is None else lost
  return {
    "name": name,
    "time": 0.0,
    "objects": list(ids),
    "scores": list(scores),
    "lost": lost,
    "area": [0.1] * len(ids),
  }


def test_the_page_shows_each_object_and_its_worst_frame(write_job):
  folder = write_job(["report"], video_name="<b>toy</b>", prompts={0: (1, 7), 9: (7,)})
  page = (folder / "report.html").read_text()
  assert "&lt;b&gt;toy&lt;/b&gt;" in page and "<b>toy" not in page
  assert "12 frames, 2 objects, 1 of them flagged as probably lost in some fra" in page
  assert page.count("<svg") == 2 and page.count("<figure>") == 1
  assert (
    "frame 00004<br><span class='faint'>0.16 s, score 0.24, flagged 00004 to" in page
  )
  assert page.count("mask given at frame 00000") == 2
  assert page.count("mask corrected at frame 00009") == 1
  assert not re.search(r"(src|href)='(?!data:)", page)  # self-contained


def write_scores(folder, toy, scores, *, start=0, stop=None, area=None, prompts=None):
  """Writes a report of object 1 with these scores, and no flags; returns the page."""
  settings = {"video_name": "toy", "size": toy.size, "frames_per_second": 25.0}
  with outputs.open_outputs(
    ["report"], folder, prompts=prompts, resume_from=start, **settings
  ) as out:
    for t, score in enumerate(scores):
      if t < start:
        continue
      if t == stop:
        out.checkpoint()
        raise KeyboardInterrupt
      labels = np.zeros(toy.size, np.int32)
      labels[2:9, 3:12] = area is None or area[t]
      flags = np.zeros(1, bool)
      out.write(
        t, f"{t:05d}", toy.frame_of(t), labels, (1,), None, np.array([score]), flags
      )
  return (folder / "report.html").read_text()


def shown_frames(page):
  return re.findall(r"frame (\d+)<br><span class='faint'>\S+ s, score ([\d.]+)<", page)


def test_without_flags_the_least_sure_frames_are_shown(toy, tmp_path):
  scores = np.full(90, 0.9)
  scores[[3, 4, 24, 41, 55, 56, 70, 88]] = 0.3, 0.2, 0.7, 0.1, 0.62, 0.61, 0.6, 0.0
  area = np.arange(90) < 80  # it leaves
  page = write_scores(tmp_path, toy, scores, area=area, prompts={0: (1,), 41: (1,)})
  assert "90 frames, 1 object, never flagged as probably lost." in page
  assert "The least sure frames" in page
  expected = [
    ("00004", "0.20"),
    ("00024", "0.70"),
    ("00056", "0.61"),
    ("00070", "0.60"),
  ]
  found = shown_frames(page)
  assert set(expected) <= set(found)
  assert not {"00000", "00041", "00088"} & {name for name, _ in found}


def test_at_most_six_frames_are_shown_and_they_lie_apart():
  least_sure = LeastSure()
  scores = 0.9 - 0.001 * np.arange(600)
  records = [record([score, 0.95], lost=[False] * 2) for score in scores]
  for index, added in enumerate(records):
    least_sure.add(index, added, ())
  chosen = least_sure.choose(timeline.collect(records, {}))
  assert [doubt.worst for doubt in chosen] == [599, 569, 539, 509, 479, 449]
  assert all(doubt in least_sure for doubt in chosen)


def test_a_resumed_job_shows_the_same_least_sure_frames(toy, tmp_path):
  scores = 0.5 + 0.4 * np.cos(np.arange(40))
  (tmp_path / "whole").mkdir()
  whole = write_scores(tmp_path / "whole", toy, scores)
  (tmp_path / "halves").mkdir()
  with pytest.raises(KeyboardInterrupt):
    write_scores(tmp_path / "halves", toy, scores, stop=25)
  assert write_scores(tmp_path / "halves", toy, scores, start=25) == whole
  assert whole.count("<figure>") >= 3


def test_a_flagged_object_that_is_not_there_yet_is_said_so(toy, tmp_path):
  settings = {"video_name": "toy", "size": toy.size, "frames_per_second": 25.0}
  with outputs.open_outputs(["report"], tmp_path, **settings) as out:
    for t in range(6):
      labels = np.zeros(toy.size, np.int32)
      labels[2:9, 3:12] = 2 <= t < 4
      is_lost = np.array([not labels.any()])
      score = np.where(is_lost, 0.001, 0.9)
      out.write(t, f"{t:05d}", toy.frame_of(t), labels, (1,), None, score, is_lost)
  page = (tmp_path / "report.html").read_text()
  assert "flagged 00000 to 00001, not found up to here" in page
  assert "flagged 00004 to 00005, not found from here on" in page
  assert "If the object is not in the frame yet" in page


def test_ranges_of_lost_frames_are_found_with_their_worst_frame():
  scores = [0.9, 0.4, 0.2, 0.3, 0.9, 0.9, 0.1]
  (line,) = timeline.collect([record([score], ids=(3,)) for score in scores], {})
  ranges = [(doubt.start, doubt.end, doubt.worst) for doubt in line.doubts]
  assert ranges == [(1, 3, 2), (6, 6, 6)]
  assert [doubt.score for doubt in line.doubts] == [0.2, 0.1]
  assert line.describe().endswith("mean score 0.53, probably lost in 4 frames.")


def test_an_object_that_comes_and_goes_has_a_curve_for_each_time():
  records = [record([0.9], ids=(1,))] * 3
  records += [record([0.9, 0.8])] * 2 + [record([0.9], ids=(1,))] + [record([0.9, 0.7])]
  first, second = timeline.collect(records, {3: (2,)})
  assert timeline.draw(first).count("<polyline") == 1
  assert timeline.draw(second).count("<polyline") == 2
  np.testing.assert_array_equal(np.isnan(second.scores), [1, 1, 1, 0, 0, 1, 0])


def test_a_single_bad_frame_of_a_long_video_remains_visible():
  scores = np.full(50_000, 0.9)
  scores[31_234] = 0.05
  (line,) = timeline.collect((record([score], ids=(1,)) for score in scores), {})
  image = timeline.draw(line)
  lowest = timeline.draw(line).split("<polyline points=")[1].split('"')[1].split()
  heights = [float(point.partition(",")[2]) for point in lowest]
  assert len(heights) < 1000 and max(heights) > min(heights) + 70
  bands = re.findall(r'width="([\d.]+)" height="5"', image)
  assert len(bands) == 1 and float(bands[0]) >= 2


def test_without_scores_the_curve_is_the_area():
  records = [record([], lost=[]) | {"scores": None, "lost": None}] * 4
  lines = timeline.collect(records, {})
  assert math.isnan(lines[0].scores[0]) and not lines[0].doubts
  assert "no scores: the curve is its share of the frame" in lines[0].describe()
  heights = re.findall(r"\d+\.\d,(\d+\.\d)", timeline.draw(lines[0]))
  assert {float(height) for height in heights} == {14.0}  # the top: its largest area


@pytest.mark.parametrize("kinds", [["report"], ["report", "results"]])
def test_a_video_without_objects_has_a_report(kinds, tmp_path, toy):
  with outputs.open_outputs(
    kinds, tmp_path, video_name="toy", size=toy.size, frames_per_second=25.0
  ) as out:
    out.write(0, "00000", toy.frame_of(0), np.zeros(toy.size, np.int32))
  assert "No object was found." in (tmp_path / "report.html").read_text()


def test_names_that_are_no_unicode_do_not_end_a_job(write_job):
  page = (write_job(["report"], video_name="caf\udce9") / "report.html").read_text()
  assert "caf?" in page
