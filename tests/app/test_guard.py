"""No request of a stranger is answered, and none of anybody does harm."""

import concurrent.futures
import io
import json
import pathlib
import socket
import struct
import zlib
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

guard = pytest.importorskip("vosjax.app.guard", reason="needs vosjax[app]")

STATE = "/api/state"


@pytest.mark.parametrize(
  ("host", "public", "own"),
  [
    ("localhost:8765", False, True),
    ("127.0.0.1", False, True),
    ("[::1]:9000", False, True),
    ("localhost.evil.example:8765", False, False),
    ("evil.example", True, False),
    ("192.168.1.5:8765", False, False),
    ("192.168.1.5:8765", True, True),
    ("", False, False),
    ("[::1", False, False),
    ("localhost@evil.example", False, False),
    ("127.0.0.2:8765", False, True),
    ("127.0.0.2.evil.example", False, False),
  ],
)
def test_only_names_of_this_machine_are_hosts(host, public, own):
  assert guard.is_own_host(host, public) is own


@pytest.mark.parametrize(
  "token", [None, "", "wrong", "a-token-for-test", "a-token-for-tests", "ü"]
)
@pytest.mark.parametrize(
  "path", ["/", STATE, "/static/main.js", "/api/projects/x/live"]
)
def test_nothing_is_answered_without_the_token(client, path, token):
  headers = {}
  if token is not None:
    headers["Cookie"] = f"vosjax-app-{client.port}={token}".encode()
  status, _, body = client.request("GET", path, None, headers, known=False)
  assert status == 403 and b"token" in body
  if token and token != "a-token-for-tests":  # that is right there, not in a cookie
    query = f"{path}?token={token.encode().hex() if token == 'ü' else token}"
    assert client.request("GET", query, known=False)[0] == 403


def test_the_address_with_the_token_gives_a_cookie_and_leaves_no_token_behind(client):
  status, headers, _ = client.request(
    "GET", "/?token=a-token-for-tests&open=x", known=False
  )
  assert (status, headers["location"]) == (303, "/?open=x")
  cookie = headers["set-cookie"].lower()
  assert client.cookie in cookie and "a-token-for-tests" not in cookie
  assert "httponly" in cookie and "samesite=strict" in cookie
  status, headers, body = client.request("GET", "/")
  assert status == 200 and b"<title>vosjax" in body
  assert "default-src 'none'" in headers["content-security-policy"]
  assert headers["referrer-policy"] == "no-referrer"


def test_a_foreign_link_to_the_page_gets_the_cookie_before_it_goes_on(client):
  """Browsers send no strict cookie to where a foreign link is redirected."""
  headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
  path = "/?token=a-token-for-tests&open=%2Fx"
  status, found, body = client.request("GET", path, None, headers, known=False)
  assert (status, found["refresh"], body) == (200, "0; url=/?open=%2Fx", b"")
  assert client.cookie in found["set-cookie"]


@pytest.mark.parametrize("foreign", ['a={"x": 1}', "foo[bar]=1", "x=a b c", "=;;"])
def test_unusual_cookies_of_other_servers_lock_nobody_out(client, foreign):
  headers = {"Cookie": f"{foreign}; {client.cookie}"}
  assert client.request("GET", STATE, None, headers)[0] == 200


@pytest.mark.parametrize(
  "headers",
  [
    {"Host": "evil.example"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},
    {"Origin": "http://[::1"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
  ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_requests_of_other_pages_are_refused_even_with_the_cookie(
  client, method, headers
):
  path = STATE if method == "GET" else "/api/uploads"
  status, _, body = client.request(method, path, None, headers)
  assert status == 403 and (b"refused" in body or b"this machine" in body)


def test_a_socket_of_another_page_is_refused(client, video_folder):
  project = client.open(video_folder)
  upgrade = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
  }
  path = f"/api/projects/{project}/live"
  assert client.request("GET", path, None, upgrade)[0] == 101
  foreign = upgrade | {"Origin": "https://evil.example"}
  assert client.request("GET", path, None, foreign)[0] == 403
  assert client.request("GET", path, None, upgrade, known=False)[0] == 403
  assert client.request("GET", "/api/projects/nothing/live", None, upgrade)[0] == 403


@pytest.mark.parametrize(
  "path",
  [
    "/etc/passwd",
    "..",
    "{root}/../../../../etc",
    "{root}/square/../..",
    "{root}/link",
    "a\0b",
    "x" * 5000,
    "~",
  ],
)
def test_nothing_outside_of_the_roots_can_be_opened_or_listed(client, path):
  link = client.root / "link"
  if not link.is_symlink():
    link.symlink_to("/etc")
  path = path.format(root=client.root)
  status, _, body = client.request("POST", "/api/projects", json.dumps({"path": path}))
  assert (
    status == 400 and "outside" in json.loads(body)["error"] or b"a file can" in body
  )
  status, _, body = client.request("GET", f"/api/files?path={quote(path)}")
  assert status == 400 and b"root:" not in body


@pytest.mark.parametrize(
  "path",
  [
    "/static/../server.py",
    "/static/%2e%2e/server.py",
    "/static/..%2fserver.py",
    "//etc/passwd",
    "/api/projects/..%2f..%2fetc/export/passwd",
    "/api/projects/../export/project.json",
    "/api/projects/{project}/export/..%2fproject.json",
    "/api/projects/{project}/export/project.json",
    "/api/projects/{project}/export/%2e%2e",
    "/api/projects/{project}/frame/-1.jpg",
    "/api/projects/{project}/frame/8.jpg",
    "/api/projects/{project}/frame/99999999999999999999.jpg",
    "/api/projects/{project}/frame/" + "9" * 900 + ".jpg",
    "/api/projects/{project}/thumbnail/8.jpg",
    "/api/projects/{project}/nothing",
  ],
)
def test_no_address_leads_to_another_file(client, video_folder, path):
  project = client.open(video_folder)
  status, _, body = client.request("GET", path.format(project=project))
  assert status in (400, 404)
  assert b"import" not in body and b"root:" not in body and b"format" not in body


def test_a_number_without_end_is_refused(client, video_folder):
  path = f"/api/projects/{client.open(video_folder)}/frame/{'9' * 5000}.jpg"
  status, _, body = client.request("GET", path)
  assert status == 414 and b"too long" in body


def test_the_name_of_this_machine_is_asked_for_once(monkeypatch):
  asked = []
  monkeypatch.setattr(guard.socket, "getfqdn", lambda: asked.append(1) or "here.lan")
  guard._own_names.cache_clear()
  names = ("here.lan", "a.example", "b.example")
  assert [guard.is_own_host(name, True) for name in names] == [True, False, False]
  assert len(asked) == 1
  guard._own_names.cache_clear()


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(client):
  for path, limit in (("/api/projects", 64_000_000), ("/api/uploads/x/a.png", 200_000)):
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
      head = (
        f"PUT {path} HTTP/1.1\r\nHost: localhost\r\n"
        f"Cookie: {client.cookie}\r\n"
        f"Content-Length: {limit + 1}\r\n\r\n"
      )
      connection.sendall(head.encode())
      assert b" 413 " in connection.recv(100)


def test_json_is_not_read_beyond_its_limit(client):
  """Without Content-Length, too: the body comes in parts that never end."""
  with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
    head = (
      "POST /api/projects HTTP/1.1\r\nHost: localhost\r\n"
      f"Cookie: {client.cookie}\r\n"
      "Transfer-Encoding: chunked\r\n\r\n"
    )
    part = b"1e8480\r\n" + b"[" * 2_000_000 + b"\r\n"
    connection.sendall(head.encode() + part)
    assert b" 400 " in connection.recv(100)


@pytest.mark.parametrize(
  ("route", "limit", "what"),
  [
    ("PUT {}/given/0?objects=1", 1536, b"labels of 32 x 48"),
    ("POST {}/mask/0", 8 * 1536 + 1_000_000, b"a mask of 32 x 48"),
  ],
)
def test_bodies_are_not_read_beyond_what_a_frame_needs(
  client, video_folder, route, limit, what
):
  """The body says no length, and its sender never comes to an end."""
  method, path = route.format(f"/api/projects/{client.open(video_folder)}").split()
  with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
    head = (
      f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
      f"Cookie: {client.cookie}\r\n"
      "Transfer-Encoding: chunked\r\n\r\n"
    )
    part = b"%x\r\n" % (limit + 1) + bytes(limit + 1) + b"\r\n"
    connection.sendall(head.encode() + part)
    answer = b""
    while what not in answer and (received := connection.recv(1000)):
      answer += received
    assert b" 400 " in answer and b"too many for " + what in answer


def test_a_header_without_end_is_refused(client):
  with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000)
    assert b" 400 " in connection.recv(100)


def files_in(folder: pathlib.Path) -> set[str]:
  return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_uploads_take_only_names_of_images_and_videos(client):
  upload = client.json("POST", "/api/uploads")["id"]
  for name in (
    "..%2fx.png",
    ".hidden.png",
    "a%2fb.png",
    "run.py",
    "x.png%00.py",
    "a%5cb.png",
  ):
    status, _, _ = client.request("PUT", f"/api/uploads/{upload}/{name}", b"x")
    assert status in (400, 404), name
  assert client.request("PUT", "/api/uploads/unknown/x.png", b"x")[0] == 404
  assert client.request("PUT", f"/api/uploads/{upload}/x.png", b"x")[0] == 200
  assert client.request("PUT", f"/api/uploads/{upload}/x.png", b"x")[0] == 400
  status, _, body = client.request("POST", f"/api/uploads/{upload}")
  assert status == 400 and b"x.png" in body
  assert not [name for name in files_in(client.library.folder) if upload in name]


@pytest.mark.parametrize(
  "content",
  [
    b"ffconcat version 1.0\nfile secret.mp4\n",
    b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\nfile:///etc/passwd\n",
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    b"root:x:0:0:root:/root:/bin/bash\n" * 50,
    bytes(4000),
  ],
)
def test_playlists_and_text_are_no_videos(client, content):
  upload = client.json("POST", "/api/uploads")["id"]
  assert client.request("PUT", f"/api/uploads/{upload}/v.mp4", content)[0] == 200
  status, _, body = client.request("POST", f"/api/uploads/{upload}")
  assert status == 400, body
  assert str(client.library.folder) not in json.loads(body)["error"]


def test_an_uploaded_folder_of_frames_becomes_a_project(client, video_folder):
  upload = client.json("POST", "/api/uploads")["id"]
  for path in sorted(video_folder.iterdir()):
    client.request("PUT", f"/api/uploads/{upload}/{path.name}", path.read_bytes())
  project = client.json("POST", f"/api/uploads/{upload}")["id"]
  assert client.json("GET", f"/api/projects/{project}")["frames"] == 8


def test_uploads_are_limited_together(client):
  upload = client.json("POST", "/api/uploads")["id"]
  half = bytes(150_000)
  assert client.request("PUT", f"/api/uploads/{upload}/a.png", half)[0] == 200
  status, _, body = client.request("PUT", f"/api/uploads/{upload}/b.png", half)
  assert status == 400 and b"--upload-limit" in body
  status, _, _ = client.request("PUT", f"/api/uploads/{upload}/c.png", bytes(300_000))
  assert status in (400, 413)
  names = {name for name in files_in(client.library.folder) if upload in name}
  assert not any(name.endswith(("b.png", "c.png")) for name in names)


def test_a_cut_upload_leaves_no_part_of_a_file(client):
  upload = client.json("POST", "/api/uploads")["id"]
  with socket.create_connection(("127.0.0.1", client.port)) as connection:
    head = (
      f"PUT /api/uploads/{upload}/cut.png HTTP/1.1\r\nHost: localhost\r\n"
      f"Cookie: {client.cookie}\r\n"
      "Content-Length: 100000\r\n\r\n"
    )
    connection.sendall(head.encode() + bytes(500))
  status, _, body = client.request("POST", f"/api/uploads/{upload}")
  assert status == 400 and b"nothing was sent" in body


@pytest.mark.parametrize(
  ("objects", "body"),
  [
    ("1", b""),
    ("1", bytes(32 * 48 - 1)),
    ("1", bytes(32 * 48 + 1)),
    ("0", bytes(32 * 48)),
    ("255", bytes(32 * 48)),
    ("-1", bytes(32 * 48)),
    ("x", bytes(32 * 48)),
    ("1e9", bytes(32 * 48)),
  ],
)
def test_unusable_labels_are_refused_and_change_nothing(
  client, video_folder, objects, body
):
  project = client.open(video_folder)
  path = f"/api/projects/{project}/given/0?objects={objects}"
  status, _, answer = client.request("PUT", path, body)
  assert status == 400 and json.loads(answer)["error"]
  assert client.json("GET", f"/api/projects/{project}")["given"] == {}


def images():
  good = Image.fromarray(np.full((32, 48), 3, np.uint8))
  buffer = io.BytesIO()
  good.save(buffer, "PNG")
  png = buffer.getvalue()
  head = struct.pack(">II5B", 60_000, 60_000, 8, 0, 0, 0, 0)  # 3.6 billion pixels
  huge = png[:16] + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + png[33:]
  return {
    "empty": b"",
    "noise": np.random.default_rng(0).bytes(5000),
    "cut": png[: len(png) // 2],
    "damaged": png[:40] + bytes(20) + png[60:],
    "huge": huge,
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "pickle": b"\x80\x04cposix\nsystem\nX\x02\x00\x00\x00id\x85R.",
  }


@pytest.mark.parametrize(
  "name", ["empty", "noise", "cut", "damaged", "huge", "svg", "pickle"]
)
def test_malformed_masks_are_refused_in_one_line(client, video_folder, name):
  project = client.open(video_folder)
  path = f"/api/projects/{project}/mask/0"
  status, _, answer = client.request("POST", path, images()[name])
  assert status == 400
  assert "\n" not in json.loads(answer)["error"]


@pytest.mark.parametrize(
  ("method", "path", "body"),
  [
    ("POST", "fill/0", "[" * 100_000),
    ("POST", "fill/0", "{}"),
    ("POST", "fill/0", '{"box": [0, 0, 1e400, 5]}'),
    ("POST", "fill/0", '{"box": [0, 0, true, 5]}'),
    ("POST", "fill/0", '{"box": [5, 5, 5, 5]}'),
    ("POST", "fill/0", "[1]"),
    ("POST", "follow", '{"direction": "sideways"}'),
    ("POST", "follow", '{"direction": ["both"]}'),
    ("POST", "follow", "7"),
    ("POST", "export", '{"kinds": ["../../x"]}'),
    ("POST", "export", '{"kinds": []}'),
    ("POST", "export", '{"kinds": "masks"}'),
    ("PUT", "objects", '[{"id": 0}]'),
    ("PUT", "objects", '[{"id": 1, "name": "x", "color": "red; }"}]'),
    ("PUT", "objects", '{"id": 1}'),
    ("PUT", "objects", '[{"id": 1, "name": "x", "color": "#ffffff", "other": 1}]'),
  ],
)
def test_unusable_requests_are_refused_in_one_line(
  client, video_folder, method, path, body
):
  project = client.open(video_folder)
  status, _, answer = client.request(method, f"/api/projects/{project}/{path}", body)
  assert status == 400, answer
  assert json.loads(answer)["error"] and b"Traceback" not in answer


def test_a_hundred_requests_at_a_time_are_all_answered(client, video_folder):
  project = client.open(video_folder)
  labels = bytes(32 * 48)

  def ask(k):
    path = f"/api/projects/{project}"
    kinds = (
      ("GET", f"{path}/frame/{k % 8}.jpg", None),
      ("GET", f"{path}/labels/{k % 8}", None),
      ("GET", path, None),
      ("PUT", f"{path}/given/{k % 8}?objects=", labels),
    )
    return client.request(*kinds[k % 4])[0]

  with concurrent.futures.ThreadPoolExecutor(100) as pool:
    assert set(pool.map(ask, range(100))) == {200}
