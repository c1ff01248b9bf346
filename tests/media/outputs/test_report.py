"""report.html and the timelines in it."""

import math
import re

import numpy as np
import pytest

from vosjax.media.outputs import timeline


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
  assert "12 frames, 2 objects, 1 with frames flagged as probably lost" in page
  assert page.count("<svg") == 2 and page.count("<figure>") == 1
  assert (
    "frame 00004<br><span class='faint'>0.16 s, score 0.24, flagged 00004 to" in page
  )
  assert page.count("mask given at frame 00000") == 2
  assert page.count("mask corrected at frame 00009") == 1
  assert not re.search(r"(src|href)='(?!data:)", page)  # self-contained


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
  from vosjax.media import outputs

  with outputs.open_outputs(
    kinds, tmp_path, video_name="toy", size=toy.size, frames_per_second=25.0
  ) as out:
    out.write(0, "00000", toy.frame_of(0), np.zeros(toy.size, np.int32))
  assert "No object was found." in (tmp_path / "report.html").read_text()
