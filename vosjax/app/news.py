"""What windows are told of their projects while they are open."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from vosjax.app.follow import ranges
from vosjax.app.library import OpenProject
from vosjax.app.live import Changes

_SECONDS = 0.1  # between two messages to a window


async def tell(
  socket: WebSocket,
  opened: OpenProject,
  changes: Changes,
  export_status: Callable[[], dict[str, Any] | None],
) -> None:
  """Tells a window what changes in its project, until it is closed.

  Args:
    socket: of the window.
    opened: its project.
    changes: what the window has not been told yet.
    export_status: returns how far the project's latest export is.
  """
  receiving = asyncio.create_task(_wait_until_closed(socket))
  try:
    while not receiving.done():
      waiting = asyncio.create_task(changes.wait())
      await asyncio.wait({receiving, waiting}, return_when=asyncio.FIRST_COMPLETED)
      waiting.cancel()
      message = await run_in_threadpool(collect, opened, changes.take())
      message["export"] = export_status()
      await socket.send_text(json.dumps(message))
      await asyncio.sleep(_SECONDS)
  except (WebSocketDisconnect, RuntimeError):
    pass  # the window was closed
  finally:
    receiving.cancel()


async def _wait_until_closed(socket: WebSocket) -> None:
  with contextlib.suppress(WebSocketDisconnect, RuntimeError):
    while (await socket.receive())["type"] != "websocket.disconnect":
      pass  # windows have nothing to say


def collect(opened: OpenProject, frames: set[int]) -> dict[str, Any]:
  """The status, the objects, and what is given and found in some frames, as JSON."""
  found = opened.project.describe_frames(frames)
  not_given = [k for k in frames if k not in found["given"]]
  return found | {"status": status(opened), "not_given": not_given}


def status(opened: OpenProject) -> dict[str, Any]:
  """What is being followed, as JSON."""
  found = opened.follower.status
  fresh, total = opened.follower.fresh()
  return {
    "state": found.state,
    "pausing": opened.follower.is_pausing,
    "direction": found.direction,
    "pass": found.making,
    "frame": found.frame,
    "total": total,
    "steps": found.steps,
    "steps_left": found.left,
    "rate": round(found.rate, 3),
    "left": found.seconds_left,
    "message": found.message,
    "fresh": list(ranges(fresh)),
  }
