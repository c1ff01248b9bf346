"""`vosjax app` refuses what it cannot serve, in one line, before anything starts."""

import importlib.util
import os
import socket

import pytest

from vosjax import __main__, files

pytest.importorskip("vosjax.app.serving", reason="needs vosjax[app]")


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


def test_listening_for_others_warns(capsys):
  arguments = ["--host", "0.0.0.0", "--token", "long-enough", "--port", "99999"]
  __main__.main(["app", *arguments, "--no-browser"])
  assert "warning: everybody who can reach 0.0.0.0" in capsys.readouterr().err


def test_a_missing_library_is_named_with_its_extra(capsys, monkeypatch):
  find = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util, "find_spec", lambda name: None if name == "uvicorn" else find(name)
  )
  assert "uvicorn. Run `pip install vosjax[app]`" in refused(capsys)


def test_a_model_that_takes_no_masks_is_refused(capsys, small, small_fields, tmp_path):
  from vosjax import checkpoints

  _, variables = small("ris")
  checkpoints.save(tmp_path / "ris", "ris", small_fields["ris"], variables)
  message = refused(capsys, "--checkpoint", str(tmp_path / "ris"))
  assert "finds objects by itself" in message
