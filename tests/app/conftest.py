"""A small video, a small network, and a server of the app in a thread."""

import contextlib
import dataclasses
import http.client
import json
import pathlib
import socket
import threading
import time

import numpy as np
import pytest
from PIL import Image

from vosjax import VideoSegmenter

HEIGHT, WIDTH, LENGTH = 32, 48, 8
TOKEN = "a-token-for-tests"
PATIENCE = 60.0  # seconds; other tests may run beside these


def square(frame: int) -> np.ndarray:
  """Labels of a bright square that moves to the right: object 1."""
  labels = np.zeros((HEIGHT, WIDTH), np.uint8)
  labels[8:20, 4 + 3 * frame : 16 + 3 * frame] = 1
  return labels


@pytest.fixture(scope="session")
def video_folder(tmp_path_factory) -> pathlib.Path:
  """Frames of the moving square."""
  folder = tmp_path_factory.mktemp("videos") / "square"
  folder.mkdir()
  rng = np.random.default_rng(0)
  ground = rng.integers(0, 90, (HEIGHT, WIDTH, 3), np.uint8)
  for k in range(LENGTH):
    frame = np.where(square(k)[..., None] > 0, np.uint8(230), ground)
    Image.fromarray(frame).save(folder / f"{k:05d}.png")
  return folder


@pytest.fixture(scope="session")
def segmenter(tiny) -> VideoSegmenter:
  """Its network is not trained: its masks are arbitrary, but depend on everything."""
  return VideoSegmenter(*tiny)


def wait_until(condition, what: str) -> None:
  """Fails if something does not happen in time."""
  end = time.monotonic() + PATIENCE
  while not condition():
    assert time.monotonic() < end, f"{what}: waited for {PATIENCE} s"
    time.sleep(0.02)


@dataclasses.dataclass
class Client:
  """Sends requests to a server, as a browser that knows the token.

  Attributes:
    port: of the server.
    library: its projects.
    root: the folder whose videos it may open.
  """

  port: int
  library: object
  root: pathlib.Path

  @property
  def cookie(self) -> str:
    """That of a browser that has opened the address with the token."""
    from vosjax.app import guard

    return f"{guard.cookie_name(self.port)}={guard.cookie_value(TOKEN, self.port)}"

  def request(self, method, path, body=None, headers=None, *, known=True):
    """Status, headers and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
    if known:
      headers = {"Cookie": self.cookie} | (headers or {})
    with contextlib.closing(connection):
      connection.request(method, path, body, headers or {})
      answer = connection.getresponse()
      return answer.status, dict(answer.getheaders()), answer.read()

  def json(self, method, path, value=None):
    """The JSON of an answer that must be a success."""
    body = None if value is None else json.dumps(value)
    status, _, answer = self.request(method, path, body)
    assert status == 200, answer
    return json.loads(answer)

  def open(self, path) -> str:
    """The id of the project of a video."""
    return self.json("POST", "/api/projects", {"path": str(path)})["id"]


@contextlib.contextmanager
def serving(segmenter, roots, projects, **options):
  """Serves the app in a thread."""
  import uvicorn

  from vosjax.app import serving as app_serving

  settings = app_serving.Settings(
    roots=roots,
    projects=projects,
    segmenter=segmenter,
    model="tiny",
    about={"model": "tiny", "device": "cpu"},
    token=TOKEN,
    public=False,
    **{"upload_limit": 200_000} | options,
  )
  listener = socket.create_server(("127.0.0.1", 0))
  port = listener.getsockname()[1]
  guarded, library = app_serving.application(settings, TOKEN, port)
  server = uvicorn.Server(app_serving.configuration(guarded))
  thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
  thread.start()
  try:
    wait_until(lambda: server.started, "the server starts")
    yield Client(port, library, roots[0])
  finally:
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture(scope="session")
def serve():
  """`serving`, for tests whose servers have folders of their own."""
  return serving


@pytest.fixture(scope="module")
def client(segmenter, video_folder, tmp_path_factory):
  """A client of a server that may open what is beside `video_folder`."""
  projects = tmp_path_factory.mktemp("projects")
  with serving(segmenter, [video_folder.parent], projects) as made:
    yield made


@pytest.fixture
def free_port() -> int:
  """A port that nothing listens on."""
  with socket.create_server(("127.0.0.1", 0)) as listener:
    return listener.getsockname()[1]
