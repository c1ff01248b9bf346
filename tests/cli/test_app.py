"""`vosjax app` refuses what it cannot serve, in one line, before anything starts."""

import html
import importlib.util
import os
import socket
import stat
import urllib.parse
from unittest import mock

import pytest

from vosjax import VideoSegmenter, __main__, files
from vosjax.cli import app

serving = pytest.importorskip("vosjax.app.serving", reason="needs vosjax[app]")


@pytest.fixture
def small_settings(tiny, tmp_path):
  return serving.Settings(
    roots=[tmp_path],
    projects=tmp_path / "projects",
    segmenter=VideoSegmenter(*tiny),
    model="tiny",
    about={},
    token=None,
    public=False,
    upload_limit=1000,
  )


def refused(capsys, *arguments):
  assert __main__.main(["app", *arguments, "--no-browser"]) == 2
  error = capsys.readouterr().err
  lines = [line for line in error.splitlines() if not line.startswith("warning:")]
  assert len(lines) == 1, error
  return lines[0]


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["nothing.mp4"], "nothing.mp4: no such video file or folder"),
    (["--host", "0.0.0.0"], "give --token"),
    (["--host", "192.0.2.1"], "give --token"),
    (["--token", "short"], "--token is shorter than 8 characters"),
    (["--token", "pässwörter"], "use only ASCII letters"),
    (["--upload-limit", "0"], "--upload-limit is 0.0"),
    (["--port", "99999"], "port 99999: cannot be used"),
    (["--checkpoint", "nothing"], "nothing does not exist"),
  ],
)
def test_unusable_arguments_are_named(capsys, arguments, message):
  assert message in refused(capsys, *arguments)


def test_a_port_that_is_taken_is_named(capsys):
  with socket.create_server(("127.0.0.1", 0)) as listener:
    port = listener.getsockname()[1]
    assert f"port {port}" in refused(capsys, "--port", str(port))


def test_a_name_that_the_page_cannot_show_is_refused(capsys, tmp_path):
  folder = tmp_path / os.fsdecode(b"caf\xe9")
  folder.mkdir()
  assert "caf\\udce9': the name is not UTF-8" in refused(capsys, str(folder))


def test_projects_of_another_server_are_refused(capsys, tmp_path):
  with files.claimed(tmp_path, "--projects"):
    message = refused(capsys, "--projects", str(tmp_path))
  assert f"--projects {tmp_path}: another process is working in it" in message


def test_two_starts_get_two_ports():
  with (
    app._listen("127.0.0.1", None) as first,
    app._listen("127.0.0.1", None) as second,
  ):
    assert first.getsockname()[1] != second.getsockname()[1]


@pytest.mark.parametrize(
  ("host", "name"),
  [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]")],
)
def test_the_address_is_the_bound_one_and_can_be_opened_once_it_is_said(
  monkeypatch, small_settings, host, name
):
  said = []

  def announce(address):
    parts = urllib.parse.urlsplit(address)
    socket.create_connection((parts.hostname, parts.port), timeout=5).close()
    said.append(parts.netloc)

  monkeypatch.setattr(serving.uvicorn.Server, "run", lambda *_, **__: None)
  try:
    listening = app._listen(host, None)
  except ValueError:
    pytest.skip(f"this machine has no {host}")
  with listening as listener:
    serving.serve(listener, small_settings, announce)
    assert said == [f"{name}:{listener.getsockname()[1]}"]


def test_the_browser_is_not_told_the_token_in_its_arguments(
  monkeypatch, capsys, tmp_path
):
  address = "http://127.0.0.1:1/?token=secret-token&open=%2Fx"
  opened = []
  monkeypatch.setattr(app.webbrowser, "open", opened.append)
  monkeypatch.setattr(app, "load_segmenter", lambda *_: (mock.Mock(), "agame"))

  def serve(listener, settings, announce):
    announce(address)
    path = tmp_path / "open.html"
    assert opened == [path.as_uri()]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert html.escape(address) in path.read_text()

  monkeypatch.setattr(serving, "serve", serve)
  monkeypatch.setattr(serving, "Settings", lambda **_: None)
  assert not __main__.main(["app", "--projects", str(tmp_path)])
  assert address in capsys.readouterr().out
  assert not list(tmp_path.iterdir())


def test_listening_for_others_warns(capsys):
  arguments = ["--host", "0.0.0.0", "--token", "long-enough", "--port", "99999"]
  __main__.main(["app", *arguments, "--no-browser"])
  assert "warning: everybody who can reach 0.0.0.0" in capsys.readouterr().err


def test_a_missing_library_is_named_with_its_extra(capsys, monkeypatch):
  find = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util, "find_spec", lambda name: None if name == "uvicorn" else find(name)
  )
  assert 'uvicorn. Run `pip install "vosjax[app]"`' in refused(capsys)


def test_a_model_that_takes_no_masks_is_refused(capsys, small, small_fields, tmp_path):
  from vosjax import checkpoints

  _, variables = small("ris")
  checkpoints.save(tmp_path / "ris", "ris", small_fields["ris"], variables)
  message = refused(capsys, "--checkpoint", str(tmp_path / "ris"))
  assert "finds objects by itself" in message
