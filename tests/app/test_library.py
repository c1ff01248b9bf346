"""The library opens only what is below its roots, and keeps projects apart."""

import concurrent.futures
import json
import os
import shutil
import threading

import numpy as np
import pytest

from vosjax.app import videos
from vosjax.app.library import Library
from vosjax.media.write import video_writer

pytest.importorskip("starlette", reason="needs vosjax[app]")


@pytest.fixture
def make_library(segmenter):
  def make(folder, roots):
    return Library(folder, roots, segmenter, "m", lambda *_: None, 1000)

  return make


@pytest.fixture
def root(tmp_path, video_folder):
  """A folder that may be opened, with the video `square` in it."""
  made = tmp_path / "root"
  shutil.copytree(video_folder, made / "square")
  return made


@pytest.fixture
def outside(tmp_path, video_folder):
  """A video that may not be opened."""
  return shutil.copytree(video_folder, tmp_path / "outside")


def test_a_project_whose_video_is_missing_says_so_for_now(
  tmp_path, outside, serve, make_library, segmenter
):
  first = make_library(tmp_path / "projects", [outside])
  name = first.open(outside).project.id
  first.close()
  moved = outside.rename(tmp_path / "moved")
  with serve(segmenter, [outside], tmp_path / "projects") as client:
    status, _, body = client.request("GET", f"/api/projects/{name}")
    assert status == 503 and b"no such video" in body
    moved.rename(outside)
    assert client.request("GET", f"/api/projects/{name}")[0] == 200


def test_a_project_of_another_root_is_neither_listed_nor_opened(
  tmp_path, root, outside, serve, make_library, segmenter
):
  first = make_library(tmp_path / "projects", [outside])
  name = first.open(outside).project.id
  first.close()
  with serve(segmenter, [root], tmp_path / "projects") as client:
    assert client.json("GET", "/api/state")["projects"] == []
    status, _, body = client.request("GET", f"/api/projects/{name}/frame/0.jpg")
    assert status == 400 and b"outside" in body
  again = make_library(tmp_path / "projects", [outside])
  assert [one["id"] for one in again.names()] == [name]
  again.get(name)
  again.close()


@pytest.mark.parametrize("video", ["../../outside", "upload/../../../outside", "/etc"])
def test_a_project_leads_only_to_its_own_upload(
  tmp_path, root, outside, make_library, video
):
  folder = tmp_path / "projects" / "made"
  folder.mkdir(parents=True)
  (folder / "project.json").write_text(json.dumps({"format": 1, "video": video}))
  library = make_library(tmp_path / "projects", [root])
  with pytest.raises(ValueError, match="outside"):
    library.get("made")


def test_a_frame_that_is_a_link_to_the_outside_is_refused(
  tmp_path, root, outside, make_library
):
  library = make_library(tmp_path / "projects", [root])
  frame = root / "square" / "00003.png"
  frame.unlink()
  frame.symlink_to(outside / "00003.png")
  with pytest.raises(ValueError, match="00003.png: is outside"):
    library.open(root / "square")
  frame.unlink()
  frame.symlink_to("00002.png")  # a link that stays inside is a frame like others
  library.open(root / "square")
  library.close()


def test_links_to_the_outside_are_not_listed(tmp_path, root, outside, make_library):
  (root / "linked").symlink_to(outside)
  (root / "linked.mp4").symlink_to(outside / "00000.png")
  (root / "inside").symlink_to(root / "square")
  library = make_library(tmp_path / "projects", [root])
  names = [entry["name"] for entry in library.browse(str(root))]
  assert names == ["inside", "square"]


def test_every_opening_of_a_file_refuses_playlists(tmp_path, monkeypatch):
  """Also the one after the check: the file may be another one by then."""
  av = pytest.importorskip("av", reason="needs vosjax[video]")
  path = tmp_path / "video.mp4"
  with video_writer(path, (32, 48), 24.0) as write:
    for k in range(8):
      write(np.full((32, 48, 3), 20 * k, np.uint8))
  opened, plain = [], av.open

  def watch(*args, **options):
    opened.append(options.get("options", {}).get("format_whitelist", ""))
    return plain(*args, **options)

  monkeypatch.setattr(av, "open", watch)
  assert videos.another_reader(videos.read(path, False))[3].shape == (32, 48, 3)
  assert len(opened) > 1
  assert all("mov" in one and "concat" not in one for one in opened), opened


LATIN1 = b"caf\xe9"


def test_names_that_are_not_utf_8_are_left_out_of_lists(
  tmp_path, root, serve, segmenter
):
  """One of them made every list that it was in fail."""
  (root / os.fsdecode(LATIN1 + b".mp4")).touch()
  (root / os.fsdecode(LATIN1)).mkdir()
  projects = tmp_path / "projects"
  with serve(segmenter, [root], projects) as client:
    project = client.open(root / "square")
    shutil.copytree(projects / project, projects / os.fsdecode(LATIN1))
    entries = client.json("GET", f"/api/files?path={root}")
    assert [entry["name"] for entry in entries] == ["square"]
    (listed,) = client.json("GET", "/api/state")["projects"]
    assert listed["id"] == project
    path = json.dumps({"path": f"{root}/{os.fsdecode(LATIN1)}.mp4"})
    status, _, body = client.request("POST", "/api/projects", path)
    assert status == 400 and b"not one that a file can have" in body
    frame = root / "square" / os.fsdecode(LATIN1 + b"00009.png")
    shutil.copy(root / "square" / "00000.png", frame)
    shutil.rmtree(projects / project)
  with serve(segmenter, [root], projects) as client:
    path = json.dumps({"path": str(root / "square")})
    status, _, body = client.request("POST", "/api/projects", path)
    assert status == 400 and b"not UTF-8" in body


def test_a_pipe_is_no_video_and_keeps_nobody_waiting(tmp_path, root, make_library):
  library = make_library(tmp_path / "projects", [root])
  os.mkfifo(root / "pipe.mp4")
  with pytest.raises(ValueError, match="neither a file nor a folder"):
    library.open(root / "pipe.mp4")
  os.mkfifo(root / "square" / "00009.png")
  with pytest.raises(ValueError, match="00009.png: is not a file"):
    library.open(root / "square")
  assert [entry["name"] for entry in library.browse(str(root))] == ["square"]


def test_a_video_that_takes_long_to_read_keeps_no_other_project_waiting(
  tmp_path, root, make_library, monkeypatch
):
  shutil.copytree(root / "square", root / "slow")
  library = make_library(tmp_path / "projects", [root])
  reading, go_on, plain = threading.Event(), threading.Event(), videos.read
  read = []

  def slow(path, allow_damaged):
    read.append(path.name)
    if path.name == "slow":
      reading.set()
      assert go_on.wait(60)
    return plain(path, allow_damaged)

  monkeypatch.setattr(videos, "read", slow)
  with concurrent.futures.ThreadPoolExecutor(3) as pool:
    waiting = [pool.submit(library.open, root / "slow") for _ in range(2)]
    try:
      assert reading.wait(60)
      other = pool.submit(library.open, root / "square")
      assert other.result(timeout=60).project.id in {p["id"] for p in library.names()}
    finally:
      go_on.set()
    first, second = [one.result(timeout=60) for one in waiting]
  assert first is second and read.count("slow") == 1
  library.close()


def test_a_project_whose_folder_was_deleted_is_made_anew(tmp_path, root, make_library):
  library = make_library(tmp_path / "projects", [root])
  first = library.open(root / "square")
  shutil.rmtree(first.project.folder)
  with pytest.raises(KeyError):
    library.get(first.project.id)
  second = library.open(root / "square")
  assert second is not first and second.project.describe()["frames"] == 8
  library.close()


def test_closing_does_not_wait_for_programs_that_are_compiled(
  tmp_path, root, make_library, monkeypatch
):
  begun, compiled = threading.Event(), threading.Event()

  def compile_programs(*_):
    begun.set()
    compiled.wait(60)
    yield from ()

  monkeypatch.setattr("vosjax.app.follow.make_pass", compile_programs)
  monkeypatch.setattr("vosjax.app.library._CLOSE_SECONDS", 0.1)
  library = make_library(tmp_path / "projects", [root])
  opened = library.open(root / "square")
  opened.project.paint(0, np.ones((32, 48), np.uint8), [1])
  opened.follower.start("forward")
  assert begun.wait(60)
  library.close()
  assert opened.follower.is_pausing
  compiled.set()
  opened.follower.wait(60.0)
  assert opened.follower.status.state == "paused"
