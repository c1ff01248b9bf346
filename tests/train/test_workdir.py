import json

import pytest
from ml_collections import ConfigDict

from vosjax.data.video import Source
from vosjax.train.workdir import open_workdir, record_or_compare_videos


def config(**changes):
  data = ConfigDict({"root": "data", "year": "2017"})
  config = ConfigDict({"model": {"name": "agame"}, "size": (96, 160), "seed": 0})
  config.mode = "train"
  config.validation = ConfigDict({"num_videos": 2})
  config.data = data
  config.update(changes)
  return config


def test_a_fresh_folder_is_made_and_differs_each_time(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  first, second = (open_workdir(config(), None) for _ in range(2))
  assert first[0] != second[0]
  assert first[0].parent.name == "runs"
  assert not first[1]
  assert json.loads((first[0] / "config.json").read_text())["size"] == [96, 160]


def test_the_same_configuration_resumes_and_may_move_its_data(tmp_path):
  assert open_workdir(config(), str(tmp_path / "run"))[1] is False
  moved = config(data={"root": "elsewhere", "year": "2017"})
  assert open_workdir(moved, str(tmp_path / "run"))[1] is True


def test_what_does_not_change_the_training_may_change_when_it_resumes(tmp_path):
  keys = ("title", "log", "checkpoint")
  folders = {"root": "a", "youtube_vos": "b", "year": "2017", "num_workers": 0}
  moved = folders | {"root": "c", "youtube_vos": "d", "num_workers": 4}
  before = config(data=folders, **dict.fromkeys(keys, "before"))
  assert open_workdir(before, str(tmp_path / "run"))[1] is False
  after = config(data=moved, **dict.fromkeys(keys, "after"))
  assert open_workdir(after, str(tmp_path / "run"))[1] is True


def test_what_validates_may_change_only_where_nothing_is_trained(tmp_path):
  """Scores of other videos would be compared with those that the run has."""
  first = config(evaluation={"size": (96, 160), "num_videos": 8, "also": ()})
  open_workdir(first, str(tmp_path / "run"))
  more = config(evaluation={"size": (96, 160), "num_videos": 30, "also": ("davis",)})
  assert open_workdir(more, str(tmp_path / "run"))[1] is True
  other = config(evaluation={"size": (48, 80), "num_videos": 8, "also": ()})
  with pytest.raises(
    ValueError, match=r"evaluation.size is \[96, 160\] there and \[48"
  ):
    open_workdir(other, str(tmp_path / "run"))
  more.validation.num_videos = first.validation.num_videos = 0  # as many as are scored
  open_workdir(first, str(tmp_path / "all"))
  with pytest.raises(ValueError, match="evaluation.num_videos is 8 there and 30 here"):
    open_workdir(more, str(tmp_path / "all"))
  other.mode = "evaluate"
  assert open_workdir(other, str(tmp_path / "run"))[1] is True


def test_another_configuration_is_refused_and_the_difference_named(tmp_path):
  open_workdir(config(), str(tmp_path / "run"))
  other = config(seed=3, data={"root": "data", "year": "2016"})
  with pytest.raises(ValueError) as error:
    open_workdir(other, str(tmp_path / "run"))
  assert "data.year is '2017' there and '2016' here" in str(error.value)
  assert "seed is 0 there and 3 here" in str(error.value)
  assert "size" not in str(error.value)


def test_another_model_comes_first_and_a_long_list_is_cut(tmp_path):
  open_workdir(config(a=0, b=0, c=0, d=0, e=0), str(tmp_path / "run"))
  other = config(a=1, b=1, c=1, d=1, e=1, model={"name": "rvos"})
  with pytest.raises(ValueError) as error:
    open_workdir(other, str(tmp_path / "run"))
  _, _, said = str(error.value).partition("configuration: ")
  assert said.startswith("model.name is 'agame' there and 'rvos' here; a is 0")
  assert "d is 0 there and 1 here; and 1 more. Give another" in said


@pytest.mark.parametrize("content", ["null", "[1, 2]", '"run"'])
def test_a_file_of_another_program_is_no_configuration(tmp_path, content):
  (tmp_path / "config.json").write_text(content)
  with pytest.raises(ValueError, match="not the configuration of a run"):
    open_workdir(config(), str(tmp_path))


def test_long_values_are_shown_in_full(tmp_path):
  theirs, ours = (f"/home/alice/{'long/' * 20}{name}/lists/a.txt" for name in "ab")
  open_workdir(config(subset=theirs), str(tmp_path / "run"))
  with pytest.raises(ValueError) as error:
    open_workdir(config(subset=ours), str(tmp_path / "run"))
  assert theirs in str(error.value)
  assert ours in str(error.value)


def test_whole_sections_are_shortened(tmp_path):
  (tmp_path / "config.json").write_text('{"model": {"name": "agame"}}')
  with pytest.raises(ValueError) as error:
    open_workdir(config(data={f"key{k}": "x" * 99 for k in range(9)}), str(tmp_path))
  assert "data is None there and {'key0':" in str(error.value)
  assert len(str(error.value)) < 700


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
  (tmp_path / "holiday.jpg").touch()
  with pytest.raises(ValueError, match="exists but holds no run"):
    open_workdir(config(), str(tmp_path))
  with pytest.raises(ValueError, match="exists but holds no run"):
    open_workdir(config(), str(tmp_path / "holiday.jpg"))


class Videos(Source):
  """A source that knows the lengths of its videos, or their number alone."""

  def __init__(self, count, num_frames=None):
    self._count, self._num_frames = count, num_frames

  def __len__(self):
    return self._count

  def __getitem__(self, index):
    raise AssertionError("no video is needed")

  @property
  def num_frames(self):
    return self._num_frames


def test_a_run_resumes_only_with_the_videos_that_it_started_with(tmp_path):
  def sources(drawn=3, **videos):
    davis = Videos(len(videos), videos)
    return {"main": {"davis": davis, "synthvos": Videos(drawn)}}

  record_or_compare_videos(tmp_path, sources(bear=82, tree=50))
  record_or_compare_videos(tmp_path, sources(bear=82, tree=50))
  for changed, said in [
    (sources(bear=82), "main.davis.tree is 50 there and None here"),
    (sources(bear=82, tree=49), "main.davis.tree is 50 there and 49 here"),
    (sources(bear=82, tree=50, drawn=4), "main.synthvos is 3 there and 4 here"),
  ]:
    with pytest.raises(ValueError, match=said):
      record_or_compare_videos(tmp_path, changed)
  many = {f"new{i}": 9 for i in range(7)}
  with pytest.raises(ValueError, match="new4 .*; and 2 more"):
    record_or_compare_videos(tmp_path, sources(bear=82, tree=50, **many))


def test_a_damaged_record_is_named(tmp_path):
  (tmp_path / "videos.json").write_text('{"main": {"syn')
  with pytest.raises(ValueError, match=r"videos\.json is damaged .*another --workdir"):
    record_or_compare_videos(tmp_path, {"main": {"synthvos": Videos(3)}})


def test_a_run_that_was_killed_in_its_first_moment_begins_again(tmp_path):
  (tmp_path / ".config.1.part.json").touch()
  assert open_workdir(config(), str(tmp_path))[1] is False
