"""Shards are written in parallel, and an interrupted build resumes."""

import os

import pytest

from vosjax.data.records import builders
from vosjax.data.records.videos import PreparedFolder

pytestmark = pytest.mark.filterwarnings("default")  # tfds and its dependencies


@pytest.fixture
def command(build, davis_tree, monkeypatch):
  """Arguments of a build in which every video is a shard of its own."""
  builder = build.builder_class("davis2017")
  monkeypatch.setattr(builder, "NUM_VIDEOS", {"train": 2, "validation": 1})
  monkeypatch.setattr(builder, "SHARD_BYTES", 1)
  return [
    "davis2017",
    f"--manual_dir={davis_tree}",
    f"--data_dir={davis_tree.parent / 'out'}",
  ]


@pytest.fixture
def out(davis_tree):
  return davis_tree.parent / "out/davis2017/semi_supervised_480p"


def records(folder):
  """All videos of both splits, in order."""
  return [
    (video.name, video.frames)
    for split in ("train", "validation")
    for video in PreparedFolder(str(folder / "1.0.0"), split)
  ]


def test_processes_write_what_one_process_writes(build, command, out):
  assert build.main([*command, "--workers=1"]) == 0
  alone = records(out)
  assert build.main([*command, "--workers=2", "--overwrite"]) == 0
  assert records(out) == alone and len(alone) == 3
  assert len(list(out.glob("1.0.0/*-train.array_record-*"))) == 2


def test_an_unknown_configuration_is_one_line_with_the_known_ones(
  build, command, out, capsys
):
  assert build.main([*command, "--config=foo"]) == 2
  error = capsys.readouterr().err
  assert error.count("\n") == 1
  assert "foo: the configurations of davis2017 are ['semi_supervised" in error
  assert not out.exists()


def test_an_interrupted_build_resumes(build, command, out, monkeypatch, capsys):
  def stopped(_, function, shards):
    function(shards[0])
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(build, "map_processes", stopped)
    assert build.main(command) == 130
  assert "run the same command again to resume" in capsys.readouterr().err
  [kept] = out.glob("1.0.0.unfinished/*")
  content, inode = kept.read_bytes(), kept.stat().st_ino
  assert build.main([*command, "--workers=1"]) == 0
  [shard] = out.glob("1.0.0/*-train.array_record-00000-of-00002")
  assert shard.read_bytes() == content and shard.stat().st_ino == inode
  assert not list(out.glob("*.unfinished")) and len(records(out)) == 3


def test_a_shard_of_files_that_have_changed_is_written_again(
  build, command, out, davis_tree, monkeypatch
):
  with monkeypatch.context() as patch:
    patch.setattr(builders.ShardedBuilder, "_finish", _interrupted)
    assert build.main([*command, "--workers=1"]) == 130
  before = {path.name for path in out.glob("1.0.0.unfinished/*")}
  changed = davis_tree / "Annotations/480p/bus/00001.png"
  changed.write_bytes((davis_tree / "Annotations/480p/bus/00002.png").read_bytes())
  os.utime(changed, (1, 1))
  assert build.main([*command, "--workers=1"]) == 0
  bus = next(frames for name, frames in records(out) if name == "bus")
  assert len(before) == 3 and bus[1].mask == bus[2].mask == changed.read_bytes()


def test_apache_beam_writes_the_same_records(build, command, out):
  pytest.importorskip("apache_beam")
  assert build.main([*command, "--workers=1"]) == 0
  alone = records(out)
  options = "--beam_pipeline_options=--runner=DirectRunner"
  assert build.main([*command, options, "--overwrite"]) == 0
  assert records(out) == alone


def test_apache_beam_renders_videos_in_other_processes(build, tmp_path, monkeypatch):
  pytest.importorskip("apache_beam")
  monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))  # it is changed
  arguments = ["synthvos", "--config=procedural_tiny", "--workers=1"]
  folders = [tmp_path / name for name in ("alone", "beam")]
  assert build.main([*arguments, f"--data_dir={folders[0]}"]) == 0
  assert (
    build.main(
      [
        *arguments,
        f"--data_dir={folders[1]}",
        "--beam_pipeline_options=--runner=DirectRunner,--direct_num_workers=2,"
        "--direct_running_mode=multi_processing",
      ]
    )
    == 0
  )
  alone, beam = (
    [
      list(video.frames)
      for split in ("train", "validation")
      for video in PreparedFolder(str(folder / "synthvos/procedural_tiny/1.0.0"), split)
    ]
    for folder in folders
  )
  assert len(alone) == 6 and alone == beam


def test_a_missing_apache_beam_is_reported(build, command, monkeypatch, capsys):
  monkeypatch.setitem(build.sys.modules, "apache_beam", None)
  assert build.main([*command, "--beam_pipeline_options=--runner=DirectRunner"]) == 2
  assert "pip install apache-beam" in capsys.readouterr().err


def _interrupted(*_):
  raise KeyboardInterrupt


def test_a_full_disk_is_one_line_and_leaves_no_half_written_shard(
  build, command, out, monkeypatch, capsys
):
  class Full(builders.ArrayRecordWriter):
    def close(self):
      super().close()
      raise RuntimeError("write() failed: No space left on device")

  with monkeypatch.context() as patch:
    patch.setattr(builders, "ArrayRecordWriter", Full)
    assert build.main([*command, "--workers=1"]) == 2
  said = capsys.readouterr().err.splitlines()[-1]
  assert said.startswith("build.py: ") and "No space left" in said
  assert not list(out.glob("1.0.0.unfinished/*"))
  assert build.main([*command, "--workers=1"]) == 0
