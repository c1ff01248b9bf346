"""Puts the parts of the app together and serves them."""

import atexit
import dataclasses
import os
import pathlib
import socket
import sys
import threading
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn

from vosjax.app import follow, guard, server, videos
from vosjax.app.library import Library
from vosjax.app.live import Hub
from vosjax.inference.engine import VideoSegmenter

_GRACE_SECONDS = 3  # for requests in progress when the server is stopped
_INTERRUPTED = 130  # exit code after Ctrl-C


@dataclasses.dataclass(frozen=True)
class Settings:
  """What is served.

  Attributes:
    roots: videos and folders that can be opened; a single video is opened at once.
    projects: folder of the projects.
    segmenter: follows the objects.
    model: digest of the model.
    about: what the page says about it, as JSON.
    token: secret in the address; None for a new one.
    public: whether other machines can reach the server.
    upload_limit: bytes of all files of an upload.
    allow_damaged: leave damaged frames out, see `read_video`.
  """

  roots: Sequence[pathlib.Path]
  projects: pathlib.Path
  segmenter: VideoSegmenter
  model: str
  about: dict[str, Any]
  token: str | None
  public: bool
  upload_limit: int
  allow_damaged: bool = False


def application(
  settings: Settings, token: str, port: int
) -> tuple[guard.Guard, Library]:
  """The application behind its guard, and its projects."""
  hub = Hub()
  library = Library(
    settings.projects,
    settings.roots,
    settings.segmenter,
    settings.model,
    hub.announce,
    settings.upload_limit,
    settings.allow_damaged,
  )
  guarded = guard.Guard(
    server.App(library, hub, settings.about).starlette(),
    token=token,
    port=port,
    public=settings.public,
    body_limit=server.BODY_LIMIT,
    upload_limit=settings.upload_limit,
    upload_path=server.UPLOAD_PATH,
  )
  return guarded, library


def configuration(guarded: guard.Guard) -> uvicorn.Config:
  """How the application is served."""
  return uvicorn.Config(
    guarded,
    log_level="warning",
    server_header=False,
    timeout_graceful_shutdown=_GRACE_SECONDS,
    http="h11",  # httptools, which may be installed, reads headers without end
    ws="websockets-sansio",
    ws_max_size=1 << 16,
  )


def serve(
  listener: socket.socket, settings: Settings, announce: Callable[[str], None]
) -> None:
  """Serves until the process is interrupted.

  Args:
    listener: listens on an address.
    settings: what is served.
    announce: called with the address to open, once it can be opened.
  """
  host, port = listener.getsockname()[:2]
  token = settings.token or guard.new_token()
  query = {"token": token}
  root = settings.roots[0].resolve()
  if len(settings.roots) == 1 and (root.is_file() or videos.holds_frames(root)):
    query["open"] = str(root)
  guarded, _ = application(settings, token, port)
  announce(f"http://{_name(host)}:{port}/?{urllib.parse.urlencode(query)}")
  try:
    uvicorn.Server(configuration(guarded)).run(sockets=[listener])
  except KeyboardInterrupt:
    atexit.register(_end_if_following)
    raise


def _end_if_following() -> None:
  """Ends the process at once if a frame is still in progress.

  A regular exit would end its thread inside XLA, which then aborts the process.
  """
  if any(thread.name == follow.THREAD for thread in threading.enumerate()):
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_INTERRUPTED)


def _name(host: str) -> str:
  """The bound address, as it stands in a URL; another name may not lead to it."""
  host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
  return f"[{host}]" if ":" in host else host
