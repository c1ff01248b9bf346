"""Decides which requests reach the app: only those of its own page and its user.

Any web page that the user visits can send requests to this machine, and a foreign name
can be made to resolve to it. So every request needs the token that the server printed
(in the address once, in a cookie from then on), a `Host` that is this machine, and, if
it says where it comes from, the app's own `Origin`.
"""

import functools
import hmac
import ipaddress
import secrets
import socket
import urllib.parse
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")

# Nothing is loaded from elsewhere, no other page may embed this one, and its address,
# which may hold the token, is told to nobody.
SECURITY_HEADERS = {
  "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
  "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
  "form-action 'none'; frame-ancestors 'none'",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
}
NO_TOKEN = (
  "This page needs the token of the server. Open the address that `vosjax app` printed "
  "when it started.\n"
)


_LONGEST_PATH = 1000  # characters; those of uploads hold a name of up to 200


class BodyTooLarge(Exception):
  """A request's body exceeds its limit."""


def new_token() -> str:
  """A token that cannot be guessed."""
  return secrets.token_urlsafe(32)


def cookie_name(port: int) -> str:
  """Name of the cookie; servers on other ports of this machine share its cookies."""
  return f"vosjax-app-{port}"


def cookie_value(token: str, port: int) -> str:
  """What the cookie holds.

  It opens this server's page but does not tell the token: a browser sends the cookies
  of a machine to all servers on it, whatever their ports. It is the same when the
  server is started again with the same token and port, so that open pages go on.
  """
  return hmac.digest(token.encode(), f"vosjax-app {port}".encode(), "sha256").hex()


class Guard:
  """ASGI middleware that refuses foreign requests and limits the size of bodies.

  Args:
    app: what it protects.
    token: that requests must bring.
    port: that the server listens on.
    public: whether the server listens on more than the loopback device. `Host` may then
      also be an IP address or this machine's name.
    body_limit: largest body in bytes, except for uploads.
    upload_limit: largest body of an upload in bytes.
    upload_path: prefix of the paths of uploads.
  """

  def __init__(
    self,
    app: ASGIApp,
    *,
    token: str,
    port: int,
    public: bool,
    body_limit: int,
    upload_limit: int,
    upload_path: str,
  ):
    self._app, self._token = app, token
    self._cookie, self._session = cookie_name(port), cookie_value(token, port)
    self._public = public
    self._body_limit, self._upload_limit = body_limit, upload_limit
    self._upload_path = upload_path
    if public:
      _own_names()  # now, so that no request has to wait

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] not in ("http", "websocket"):
      await self._app(scope, receive, send)
      return
    headers = Headers(scope=scope)
    refusal = self._refuse(scope, headers)
    if refusal is not None:
      if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4403})
      else:
        await refusal(scope, receive, _with_headers(send))
      return
    if scope["type"] == "websocket":
      await self._app(scope, receive, send)
      return
    limit = self._body_limit
    if scope["path"].startswith(self._upload_path):
      limit = self._upload_limit
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
      answer = PlainTextResponse(f"{_too_large(limit)}\n", 413)
      await answer(scope, receive, _with_headers(send))
      return
    await self._answer(scope, _limited(receive, limit), _with_headers(send))

  async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
    """Passes a request on; a body that is too large ends in an answer that says so."""
    started = False

    async def watch(message: Message) -> None:
      nonlocal started
      started = started or message["type"] == "http.response.start"
      await send(message)

    try:
      await self._app(scope, receive, watch)
    except BodyTooLarge as error:
      if not started:
        await PlainTextResponse(f"{error}\n", 413)(scope, receive, send)

  def _refuse(self, scope: Scope, headers: Headers) -> Response | None:
    """The answer to a request that must not pass; None if it may."""
    host = headers.get("host", "")
    if not is_own_host(host, self._public):
      return PlainTextResponse("The Host of this request is not this machine.\n", 403)
    if len(scope["path"]) > _LONGEST_PATH:
      return PlainTextResponse("The address is too long.\n", 414)
    origin = headers.get("origin")
    if origin is not None and _netloc(origin) != host:
      return PlainTextResponse("Requests of other pages are refused.\n", 403)
    # Following a link to the page is fine, embedding or fetching it is not.
    foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
    link = headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/"
    if foreign and not link:
      return PlainTextResponse("Requests of other pages are refused.\n", 403)
    text = scope.get("query_string", b"").decode("latin1")
    query = dict(urllib.parse.parse_qsl(text))
    if _same(query.get("token"), self._token):
      if scope["type"] == "websocket" or scope["path"] != "/":
        return None
      del query["token"]  # it shall not stay in the history of the browser
      target = f"/?{urllib.parse.urlencode(query)}".rstrip("?")
      answer: Response = RedirectResponse(target, 303)
      if foreign:  # a strict cookie is not sent along when a foreign link is redirected
        answer = Response(headers={"Refresh": f"0; url={target}"})
      answer.set_cookie(self._cookie, self._session, httponly=True, samesite="strict")
      return answer
    if _same(_cookie(headers, self._cookie), self._session):
      return None
    return PlainTextResponse(NO_TOKEN, 403)


def _same(found: str | None, secret: str) -> bool:
  return found is not None and hmac.compare_digest(found.encode(), secret.encode())


def is_own_host(host: str, public: bool) -> bool:
  """Whether a `Host` header names this machine.

  A browser sends the name in its address bar. A foreign name that resolves to this
  machine (DNS rebinding) is refused, whatever the port: that may be forwarded.

  Args:
    host: name or address, with or without a port.
    public: whether to accept any IP address and this machine's name.
  """
  try:
    name = urllib.parse.urlsplit(f"//{host}").hostname or ""
  except ValueError:
    return False
  if name in LOOPBACK:
    return True
  try:
    return ipaddress.ip_address(name).is_loopback or public
  except ValueError:
    return public and name in _own_names()


@functools.cache
def _own_names() -> tuple[str, ...]:
  """Names of this machine; asking for them may take seconds."""
  return socket.gethostname().lower(), socket.getfqdn().lower()


def _netloc(origin: str) -> str | None:
  """Host and port of an origin; None if it is malformed."""
  try:
    return urllib.parse.urlsplit(origin).netloc
  except ValueError:
    return None


def _cookie(headers: Mapping[str, str], name: str) -> str | None:
  """A cookie's value; cookies of other servers may hold what no standard allows."""
  return cookie_parser(headers.get("cookie", "")).get(name)


def _too_large(limit: int) -> str:
  return f"The body exceeds the limit of {limit:,} bytes."


def _limited(receive: Receive, limit: int) -> Receive:
  """Raises BodyTooLarge once more than `limit` bytes have been received."""
  received = 0

  async def read() -> Message:
    nonlocal received
    message = await receive()
    received += len(message.get("body", b""))
    if received > limit:
      raise BodyTooLarge(_too_large(limit))
    return message

  return read


def _with_headers(send: Send) -> Send:
  """Adds the security headers to every answer."""

  async def write(message: Message) -> None:
    if message["type"] == "http.response.start":
      headers = MutableHeaders(scope=message)
      for name, value in SECURITY_HEADERS.items():
        headers[name] = value
      headers.setdefault("Cache-Control", "no-store")
    await send(message)

  return write
