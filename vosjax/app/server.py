"""The server of `vosjax app`: answers the requests of its page."""

import asyncio
import contextlib
import logging
import pathlib
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from vosjax.app import exporting, messages, news
from vosjax.app.filling import fill_box
from vosjax.app.follow import check_direction
from vosjax.app.guard import BodyTooLarge
from vosjax.app.library import Library, MissingVideoError, OpenProject, title
from vosjax.app.live import Hub

STATIC = pathlib.Path(__file__).parent / "static"
UPLOAD_PATH = "/api/uploads/"
BODY_LIMIT = 64_000_000  # bytes; labels of a frame of 8K are 33 million
_LONG_AT_ONCE = 8  # requests that may take seconds; far fewer than there are threads

Handler = Callable[[Request], Awaitable[Response]]
T = TypeVar("T")


class App:
  """Handlers of all requests.

  Args:
    library: the projects.
    hub: through which threads tell windows what has changed.
    about: model and device, as JSON for the page.
  """

  def __init__(self, library: Library, hub: Hub, about: dict[str, Any]):
    self._library, self._hub, self._about = library, hub, about
    self._exports = exporting.Exports(lambda name: hub.announce(name, None))
    self._long: anyio.CapacityLimiter | None = None  # made in the event loop

  def starlette(self) -> Starlette:
    """The application, without the guard."""
    one = "/api/projects/{project}"
    routes = [
      Route("/", self.page),
      Mount("/static", StaticFiles(directory=STATIC)),
      Route("/api/state", _careful(self.state)),
      Route("/api/files", _careful(self.browse)),
      Route("/api/projects", _careful(self.open), methods=["POST"]),
      Route("/api/uploads", _careful(self.begin_upload), methods=["POST"]),
      Route("/api/uploads/{upload}", _careful(self.finish_upload), methods=["POST"]),
      Route(
        "/api/uploads/{upload}/{name}", _careful(self.receive_file), methods=["PUT"]
      ),
      Route(one, _careful(self.describe)),
      Route(f"{one}/objects", _careful(self.update_objects), methods=["PUT"]),
      Route(
        f"{one}/objects/{{id:int}}", _careful(self.delete_object), methods=["DELETE"]
      ),
      Route(f"{one}/frame/{{frame:int}}.jpg", _careful(self.frame)),
      Route(f"{one}/thumbnail/{{frame:int}}.jpg", _careful(self.thumbnail)),
      Route(f"{one}/labels/{{frame:int}}", _careful(self.labels)),
      Route(f"{one}/given/{{frame:int}}", _careful(self.paint), methods=["PUT"]),
      Route(f"{one}/mask/{{frame:int}}", _careful(self.read_mask), methods=["POST"]),
      Route(f"{one}/fill/{{frame:int}}", _careful(self.fill), methods=["POST"]),
      Route(f"{one}/follow", _careful(self.follow), methods=["POST"]),
      Route(f"{one}/pause", _careful(self.pause), methods=["POST"]),
      Route(f"{one}/export", _careful(self.export), methods=["POST"]),
      Route(f"{one}/export/{{name}}", _careful(self.exported)),
      WebSocketRoute(f"{one}/live", self.live),
    ]
    return Starlette(routes=routes, lifespan=self._lifespan)

  @contextlib.asynccontextmanager
  async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
    self._hub.attach(asyncio.get_running_loop())
    self._long = anyio.CapacityLimiter(_LONG_AT_ONCE)
    yield
    await run_in_threadpool(self._library.close)

  async def _at_length(self, function: Callable[..., T], *args: Any) -> T:
    """Calls what may take seconds; strokes, news and others do not wait for it."""
    return await anyio.to_thread.run_sync(function, *args, limiter=self._long)

  async def page(self, _: Request) -> Response:
    """The page itself."""
    return FileResponse(STATIC / "index.html")

  async def state(self, _: Request) -> Response:
    """What the page shows before a project is open."""
    value = self._about | {
      "projects": await run_in_threadpool(self._library.names),
      "kinds": exporting.choices(),
    }
    return JSONResponse(value)

  async def browse(self, request: Request) -> Response:
    """Videos and folders that can be opened."""
    path = request.query_params.get("path")
    return JSONResponse(await run_in_threadpool(self._library.browse, path))

  async def open(self, request: Request) -> Response:
    """Opens a video below the roots."""
    path = (await messages.read_object(request)).get("path")
    if not isinstance(path, str):
      raise ValueError("path is missing, or is not text.")
    opened = await self._at_length(self._library.open, pathlib.Path(path))
    return JSONResponse({"id": opened.project.id})

  async def begin_upload(self, _: Request) -> Response:
    """Begins to receive a video."""
    return JSONResponse({"id": await run_in_threadpool(self._library.uploads.begin)})

  async def receive_file(self, request: Request) -> Response:
    """Receives one file of an upload; a part of a file is not kept."""
    name, upload_id = request.path_params["name"], request.path_params["upload"]
    with self._library.uploads.receiving(upload_id, name) as append:
      async for chunk in request.stream():
        await run_in_threadpool(append, chunk)
    return JSONResponse({})

  async def finish_upload(self, request: Request) -> Response:
    """Makes a project of the files that were received."""
    upload = request.path_params["upload"]
    opened = await self._at_length(self._library.finish_upload, upload)
    return JSONResponse({"id": opened.project.id})

  async def describe(self, request: Request) -> Response:
    """The project, with everything painted and found in it."""
    opened = await self._opened(request)
    value = await run_in_threadpool(opened.project.describe)
    value["title"] = title(value["video"])
    status = await run_in_threadpool(news.status, opened)
    return JSONResponse(value | {"status": status})

  async def update_objects(self, request: Request) -> Response:
    """Adds objects, or replaces their names, colours and flags; others stay."""
    opened = await self._opened(request)
    values = await messages.read_json(request)
    if not isinstance(values, list):
      raise ValueError("objects must be a list.")
    revision = await run_in_threadpool(opened.project.update_objects, values)
    self._hub.announce(opened.project.id, None)
    return JSONResponse({"revision": revision})

  async def delete_object(self, request: Request) -> Response:
    """Deletes an object in all frames."""
    opened, object_id = await self._opened(request), request.path_params["id"]
    revision = await run_in_threadpool(opened.project.delete_object, object_id)
    self._hub.announce(opened.project.id, None)
    return JSONResponse({"revision": revision})

  async def frame(self, request: Request) -> Response:
    """A frame as JPEG."""
    opened, frame = await self._opened(request), _frame(request)
    _check_frame(opened, frame)
    data = await run_in_threadpool(opened.images.jpeg, frame)
    return messages.jpeg_answer(data)

  async def thumbnail(self, request: Request) -> Response:
    """A small frame as JPEG."""
    opened, frame = await self._opened(request), _frame(request)
    _check_frame(opened, frame)
    data = await run_in_threadpool(opened.images.thumbnail, frame)
    return messages.jpeg_answer(data)

  async def labels(self, request: Request) -> Response:
    """Labels of a frame, one byte a pixel, row by row."""
    opened = await self._opened(request)
    labels = await run_in_threadpool(opened.project.labels, _frame(request))
    return await run_in_threadpool(messages.bytes_answer, labels)

  async def paint(self, request: Request) -> Response:
    """Keeps what was painted in a frame."""
    opened, frame = await self._opened(request), _frame(request)
    height, width = opened.project.video.size
    what = f"labels of {height} x {width} pixels"
    body = await messages.read_body(request, height * width, what)
    if len(body) != height * width:
      raise ValueError(
        f"labels have {len(body)} bytes, expected {height} x {width}, one a pixel."
      )
    labels = np.frombuffer(body, np.uint8).reshape(height, width)
    objects, released = (
      messages.parse_numbers(request.query_params.get(name, ""))
      for name in ("objects", "released")
    )
    await run_in_threadpool(opened.project.paint, frame, labels, objects, released)
    self._hub.announce(opened.project.id, frame)
    return JSONResponse({})

  async def read_mask(self, request: Request) -> Response:
    """Labels of an image file that the user chose as a frame's mask."""
    opened, frame = await self._opened(request), _frame(request)
    _check_frame(opened, frame)
    size = height, width = opened.project.video.size
    what = f"a mask of {height} x {width} pixels, which are those of the video"
    data = await messages.read_body(request, messages.mask_limit(size), what)
    labels, note = await run_in_threadpool(messages.read_mask, data, size)
    answer = await run_in_threadpool(messages.bytes_answer, labels)
    answer.headers["X-Note"] = urllib.parse.quote(note)
    return answer

  async def fill(self, request: Request) -> Response:
    """The mask of the object in a rectangle."""
    opened, frame = await self._opened(request), _frame(request)
    _check_frame(opened, frame)
    box = (await messages.read_object(request)).get("box")
    if not isinstance(box, list) or len(box) != 4 or not all(map(messages.is_int, box)):
      raise ValueError(f"box is {box!r}; expected [left, top, right, bottom].")

    def work() -> Response:
      return messages.bytes_answer(fill_box(opened.images.image(frame), tuple(box)))

    return await self._at_length(work)

  async def follow(self, request: Request) -> Response:
    """Follows the painted objects, or goes on with it."""
    opened = await self._opened(request)
    direction = check_direction((await messages.read_object(request)).get("direction"))
    await self._at_length(opened.follower.start, direction)
    return JSONResponse({})

  async def pause(self, request: Request) -> Response:
    """Stops following after the frame in progress. Waits for no thread."""
    self._library.request_pause(request.path_params["project"])
    return JSONResponse({})

  async def export(self, request: Request) -> Response:
    """Begins to write results."""
    opened = await self._opened(request)
    wish = await messages.read_object(request)
    await run_in_threadpool(
      self._exports.start, opened.project, wish.get("kinds"), wish.get("hidden", True)
    )
    return JSONResponse({})

  async def exported(self, request: Request) -> Response:
    """Downloads what was exported; a folder comes as a zip archive."""
    opened = await self._opened(request)
    name = request.path_params["name"]
    path = await self._at_length(exporting.download, opened.project, name)
    return FileResponse(path, filename=f"{opened.project.video.stem}-{path.name}")

  async def live(self, socket: WebSocket) -> None:
    """Tells a window what changes in its project, until it is closed."""
    try:
      opened = await run_in_threadpool(self._library.get, socket.path_params["project"])
    except (KeyError, ValueError):
      await socket.close(4404)
      return
    await socket.accept()
    project_id = opened.project.id
    with self._hub.subscribe(project_id) as changes:
      await news.tell(socket, opened, changes, lambda: self._exports.status(project_id))

  async def _opened(self, request: Request) -> OpenProject:
    return await run_in_threadpool(self._library.get, request.path_params["project"])


def _careful(handler: Handler) -> Handler:
  """Answers with a line that says what is wrong, instead of failing."""

  async def answer(request: Request) -> Response:
    try:
      return await handler(request)
    except KeyError:
      return JSONResponse({"error": "there is no such project, upload or file."}, 404)
    except ValueError as error:
      line = " ".join(str(error).split()).encode(errors="replace").decode()
      # A video may be put back: until then, the page keeps its strokes.
      status = 503 if isinstance(error, MissingVideoError) else 400
      return JSONResponse({"error": line}, status)
    except ClientDisconnect:
      return Response(status_code=400)  # nobody reads it
    except OSError as error:
      return JSONResponse(
        {"error": f"the server cannot do this: {error.strerror}"}, 500
      )
    except BodyTooLarge:
      raise  # the guard answers
    except Exception:  # a fault of ours: its details belong in the log alone
      logging.exception("%s %s", request.method, request.url.path)
      return JSONResponse({"error": "the server failed; its log says how."}, 500)

  return answer


def _frame(request: Request) -> int:
  return int(request.path_params["frame"])


def _check_frame(opened: OpenProject, frame: int) -> None:
  if frame >= len(opened.project.video):
    raise KeyError(frame)
