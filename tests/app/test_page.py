"""The page in a real browser: paint, follow, correct, reload, kill, export."""

import contextlib
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from vosjax import __main__, checkpoints
from vosjax.cli import app as command_line
from vosjax.media.write import video_writer

pytest.importorskip("vosjax.app.serving", reason="needs vosjax[app]")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKEN = "a-token-for-tests"
PATIENCE = 60_000.0  # milliseconds
WIDTH, HEIGHT, LENGTH = 48, 32, 8

pytestmark = pytest.mark.skipif(
  CHROMIUM is None, reason="needs Chromium (apt-get install chromium)"
)


@pytest.fixture(scope="module")
def browser():
  with sync_api.sync_playwright() as playwright:
    made = playwright.chromium.launch(
      executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
    )
    yield made
    made.close()


@pytest.fixture
def context(browser):
  """One user: all windows share the cookie. Errors on a page fail the test."""
  made = browser.new_context(viewport={"width": 1280, "height": 720})
  made.set_default_timeout(PATIENCE)
  errors = []
  made.on("weberror", lambda error: errors.append(str(error.error)))
  yield made
  made.close()
  assert not errors, errors


def open_page(context, port, video):
  page = context.new_page()
  page.goto(f"http://localhost:{port}/?token={TOKEN}&open={video}")
  ready(page)
  return page


def ready(page):
  page.wait_for_selector("#workspace:not([hidden])")
  page.wait_for_selector("#objects li")
  shows(page, r"\d+ / \d+", "#position")
  page.wait_for_selector("#canvas[data-frame]")  # it can be painted


def shows(page, pattern, selector):
  sync_api.expect(page.locator(selector)).to_have_text(
    re.compile(pattern), timeout=PATIENCE
  )


def wait_for(page, condition):
  end = time.monotonic() + PATIENCE / 1000
  while not condition():
    assert time.monotonic() < end
    page.wait_for_timeout(20)


def position(page, x, y):
  """Where on the screen a point of the frame is; the frame fits the canvas."""
  box = page.locator("#canvas").bounding_box()
  scale = min((box["width"] - 24) / WIDTH, (box["height"] - 24) / HEIGHT)
  left = box["x"] + (box["width"] - WIDTH * scale) / 2
  top = box["y"] + (box["height"] - HEIGHT * scale) / 2
  return left + x * scale, top + y * scale


def brush(page, size):
  """Chooses the size of the brush, by a slider whose steps grow with it."""
  page.locator("#size").fill(f"{100 * np.log(size) / np.log(200):.2f}")
  shows(page, f"^{size}$", "#size-value")


def stroke(page, *points):
  """Paints through points of the frame, and waits until it is saved."""
  page.mouse.move(*position(page, *points[0]))
  page.mouse.down()
  for point in points[1:]:
    page.mouse.move(*position(page, *point), steps=4)
  with page.expect_response(lambda answer: "/given/" in answer.url):
    page.mouse.up()


def go(page, frame):
  page.locator("#slider").fill(str(frame))
  shows(page, rf"^{frame} / ", "#position")
  page.wait_for_selector(f'#canvas[data-frame="{frame}"]')


def follow(page, frames=LENGTH):
  page.click("#follow")
  shows(page, f"All {frames} frames are up to date", "#progress-text")


def read(folder: pathlib.Path) -> dict[str, np.ndarray]:
  return {path.name: np.asarray(Image.open(path)) for path in folder.glob("*.png")}


def same(ours, theirs):
  assert ours.keys() == theirs.keys() and len(ours) == LENGTH
  for name in ours:
    np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def segment(video, mask, checkpoint, out):
  """`vosjax segment`, forwards."""
  options = [f"--mask={mask}", f"--checkpoint={checkpoint}", f"--out={out}"]
  options += ["--direction=forward", "--save=masks"]
  assert not __main__.main(["segment", str(video), *options])


def project_folder(client, page) -> pathlib.Path:
  return client.library.folder / page.url.rpartition("project=")[2]


@pytest.fixture(scope="module")
def checkpoint(tiny, small_fields, tmp_path_factory):
  folder = tmp_path_factory.mktemp("model") / "agame"
  checkpoints.save(folder, "agame", small_fields["agame"], tiny[1])
  return folder


def test_from_an_empty_page_to_the_masks_of_the_command_line(
  client, context, video_folder, checkpoint, tmp_path
):
  page = open_page(context, client.port, video_folder)
  brush(page, 6)
  stroke(page, (6, 10), (14, 10), (14, 18), (6, 18))
  page.keyboard.press("n")
  shows(page, "Object 1Object 2|Object 2", "#objects")
  stroke(page, (30, 24), (40, 26))
  page.click("text=Forward")
  follow(page)

  page.keyboard.press("s")
  for kind in ("masks", "alpha", "coco"):
    page.locator(f"#kinds input[value={kind}]").check()
  page.locator("#kinds input[value=overlay]").uncheck()
  page.click("#export-start")
  shows(page, "Written to", "#export-text")
  with page.expect_download() as downloading:
    page.click("#export-files >> text=coco.json")
  assert downloading.value.path().stat().st_size > 100
  assert downloading.value.suggested_filename == "square-coco.json"
  folder = project_folder(client, page)
  out = tmp_path / "out"
  segment(video_folder, folder / "given" / "00000.png", checkpoint, out)
  same(read(folder / "export"), read(out))
  assert set(np.unique(read(folder / "given")["00000.png"])) == {0, 1, 2}
  assert (folder / "export" / "alpha.webm").exists()


def test_a_correction_moves_only_what_follows_and_can_be_undone(
  client, context, video_folder, checkpoint, tmp_path
):
  page = open_page(context, client.port, video_folder)
  folder = project_folder(client, page)
  go(page, 0)
  stroke(page, (6, 10), (14, 18))
  page.click("text=Forward")
  # The page has heard of the stroke: all frames may have been up to date before.
  shows(page, "^(0 of 8 frames are up to date|Ready to follow)", "#progress-text")
  follow(page)
  before = read(folder / "masks")
  go(page, 5)
  brush(page, 9)
  stroke(page, (24, 16), (30, 16))
  shows(page, "Painted: “Object 1”", "#frame-state")
  shows(page, "5 of 8 frames are up to date", "#progress-text")
  follow(page)
  after = read(folder / "masks")
  for k in range(5):
    np.testing.assert_array_equal(before[f"{k:05d}.png"], after[f"{k:05d}.png"])
  out = tmp_path / "out"
  segment(video_folder, folder / "given", checkpoint, out)
  same(after, read(out))
  go(page, 5)
  with page.expect_response(lambda answer: "/given/5" in answer.url):
    page.keyboard.press("Control+z")
  shows(page, "Older than", "#frame-state")
  assert not (folder / "given" / "00005.png").exists()
  with page.expect_response(lambda answer: "/given/5" in answer.url):
    page.keyboard.press("Control+Shift+z")
  assert (folder / "given" / "00005.png").exists()


def test_a_reload_in_the_middle_loses_nothing(client, context, video_folder):
  page = open_page(context, client.port, video_folder)
  folder = project_folder(client, page)
  go(page, 3)
  stroke(page, (4, 4), (8, 4))
  painted = (folder / "given" / "00003.png").read_bytes()
  page.reload()
  ready(page)
  shows(page, "^3 / 7", "#position")
  shows(page, "Painted: “Object 1”", "#frame-state")
  assert (folder / "given" / "00003.png").read_bytes() == painted


def test_two_windows_on_two_projects_do_not_mix(client, context, video_folder):
  other = video_folder.parent / "other"
  if not other.exists():
    shutil.copytree(video_folder, other)
  first = open_page(context, client.port, video_folder)
  second = open_page(context, client.port, other)
  assert first.url != second.url
  go(first, 0)
  stroke(first, (38, 4), (42, 6))  # where no other test paints
  stroke(second, (20, 10), (26, 14))
  second.click("text=Forward")
  first.click("#follow")
  second.click("#follow")
  for page in (first, second):
    shows(page, "All 8 frames are up to date", "#progress-text")
  masks = read(project_folder(client, second) / "masks")
  assert set(np.unique(np.stack(list(masks.values())))) <= {0, 1}
  assert len(read(project_folder(client, second) / "given")) == 1


def test_two_windows_on_one_project_keep_what_the_other_does(
  client, context, video_folder
):
  other = video_folder.parent / "windows"
  shutil.copytree(video_folder, other)
  first = open_page(context, client.port, other)
  second = open_page(context, client.port, other)
  for page in (first, second):
    page.wait_for_selector('#canvas[data-frame="0"]')
    brush(page, 4)
  stroke(first, (6, 6), (14, 6))
  shows(second, "Painted: “Object 1”", "#frame-state")
  second.keyboard.press("n")
  shows(first, "Object 1Object 2", "#objects")
  # The first window is painting while the second one does, and does not know of it.
  first.mouse.move(*position(first, 6, 14))
  first.mouse.down()
  stroke(second, (30, 24), (40, 24))
  with first.expect_response(lambda answer: "/given/" in answer.url):
    first.mouse.up()
  for page in (first, second):
    shows(page, "Painted: “Object 1”, “Object 2”", "#frame-state")
  labels = read(project_folder(client, first) / "given")["00000.png"]
  assert labels[14, 6] == 1 and labels[24, 34] == 2
  first.on("dialog", lambda dialog: dialog.accept())
  first.click('[aria-label="Delete Object 2"]')
  sync_api.expect(second.locator("#objects li")).to_have_count(1, timeout=PATIENCE)
  sync_api.expect(second.locator("#undo")).to_be_disabled()  # its stroke is forgotten
  second.keyboard.press("n")
  for page in (first, second):
    shows(page, "Object 1Object 3", "#objects")


def test_a_stroke_that_cannot_be_kept_is_sent_again(client, context, video_folder):
  other = video_folder.parent / "full"
  shutil.copytree(video_folder, other)
  page = open_page(context, client.port, other)
  page.wait_for_selector('#canvas[data-frame="0"]')
  full = '{"error": "the server cannot do this: No space left on device"}'
  page.route(
    re.compile("/given/"), lambda route: route.fulfill(status=500, body=full), times=1
  )
  stroke(page, (6, 6), (14, 6))
  shows(page, "Not saved yet: .* No space left on device", "#toast")
  wait_for(page, (project_folder(client, page) / "given" / "00000.png").exists)


def test_a_stroke_that_waits_survives_leaving_its_frame(client, context, video_folder):
  """What comes later in the frame is painted over it, also if the answers are late."""
  other = video_folder.parent / "leaves"
  shutil.copytree(video_folder, other)
  page = open_page(context, client.port, other)
  brush(page, 4)
  held, aborted = [], []

  def answer(route):
    if "/given/" in route.request.url and not held:
      held.append(route)
    elif "/objects" in route.request.url and not aborted:
      aborted.append(route)
      route.abort()
    else:
      route.continue_()

  page.route(re.compile("/given/0|/objects"), answer)
  with page.expect_request(re.compile("/given/0")):
    drag(page, (6, 6), (14, 6))
  go(page, 1)
  go(page, 0)
  page.evaluate("delete document.getElementById('canvas').dataset.frame")
  page.click("#open-button")
  page.locator("#open-list button", has_text="leaves").first.click()  # once more
  page.wait_for_selector('#canvas[data-frame="0"]')
  brush(page, 4)
  page.keyboard.press("n")
  drag(page, (6, 20), (14, 20))
  page.keyboard.press("1")
  with page.expect_response(re.compile("/objects")):  # asked again
    page.keyboard.press("F2")
    page.keyboard.type("horse")
    page.keyboard.press("Enter")
    focused = page.evaluate("document.activeElement.textContent")
  assert aborted
  with page.expect_response(re.compile("/given/0")):
    held[0].continue_()
  path = project_folder(client, page) / "given" / "00000.png"
  wait_for(page, lambda: path.exists() and np.asarray(Image.open(path))[20, 10] == 2)
  assert np.asarray(Image.open(path))[6, 10] == 1
  project = client.library.get(project_folder(client, page).name).project
  assert project.describe()["objects"][0]["name"] == focused == "horse"


def test_a_project_whose_video_is_missing_does_not_keep_others_waiting(
  client, context, video_folder
):
  for name in ("missing", "there"):
    shutil.copytree(video_folder, video_folder.parent / name)
  client.open(video_folder.parent / "there")
  page = open_page(context, client.port, video_folder.parent / "missing")
  brush(page, 4)
  missing = project_folder(client, page)
  error = '{"error": "missing: no such video"}'
  page.route(
    re.compile(f"{missing.name}/(given|objects)"),
    lambda route: route.fulfill(status=503, body=error),
  )
  stroke(page, (6, 6), (14, 6))
  page.keyboard.press("h")
  shows(page, "Not saved yet: missing: no such video", "#toast")
  page.evaluate("delete document.getElementById('canvas').dataset.frame")
  page.click("#open-button")
  page.locator("#open-list button", has_text="there").first.click()
  page.wait_for_selector('#canvas[data-frame="0"]')
  stroke(page, (6, 20), (14, 20))
  with page.expect_response(re.compile("/objects")):
    page.keyboard.press("h")
  with page.expect_response(re.compile("/follow")):
    page.keyboard.press("f")
  page.unroute_all()
  with page.expect_response(re.compile(f"{missing.name}/given/0")) as answer:
    pass
  assert answer.value.ok


def test_the_video_that_was_chosen_last_is_shown(client, context, video_folder):
  """Neither a late answer nor a late frame of the other one comes in between."""
  for name in ("late-one", "late-two"):
    folder = shutil.copytree(video_folder, video_folder.parent / name)
    Image.new("RGB", (WIDTH, HEIGHT), name == "late-two" and "red" or 0).save(
      folder / "00000.png"
    )
  one, two = (
    client.open(video_folder.parent / name) for name in ("late-one", "late-two")
  )
  page = context.new_page()
  held, holding = [], [f"{one}$", f"{one}/frame/0"]

  def answer(route):
    if holding and re.search(holding[0], route.request.url):
      del holding[0]
      held.append(route)
    else:
      route.continue_()

  page.route(re.compile(one), answer)
  page.goto(f"http://localhost:{client.port}/?token={TOKEN}")
  listed = page.locator("#welcome-list button")
  listed.filter(has_text="late-one").click()
  wait_for(page, lambda: held)
  held.pop().continue_()  # it is opened, but its frame does not come
  shows(page, "late-one", "#video-name")
  wait_for(page, lambda: held)
  page.click("#open-button")
  page.locator("#open-list button", has_text="late-two").click()
  shows(page, "late-two", "#video-name")
  held.pop().continue_()
  page.wait_for_selector('#canvas[data-frame="0"]')
  x, y = position(page, 24, 16)
  pixels = Image.open(io.BytesIO(page.screenshot()))
  assert pixels.getpixel((int(x), int(y)))[0] > 200  # the frame of the other is black
  page.evaluate("delete document.getElementById('canvas').dataset.frame")
  holding.append(f"{one}$")
  for name in ("late-one", "late-two"):
    page.click("#open-button")
    page.locator("#open-list button", has_text=name).click()
  page.wait_for_selector('#canvas[data-frame="0"]')
  with page.expect_response(re.compile(f"{one}$")):
    held.pop().continue_()
  page.wait_for_timeout(200)
  shows(page, "late-two", "#video-name")
  assert page.url.endswith(two)


def test_what_is_discarded_comes_back_as_it_was_painted(client, context, video_folder):
  """And not with what following found in the frame meanwhile."""
  other = video_folder.parent / "discards"
  shutil.copytree(video_folder, other)
  page = open_page(context, client.port, other)
  brush(page, 4)
  stroke(page, (6, 6), (14, 6))
  folder = project_folder(client, page)
  painted = read(folder / "given")["00000.png"]
  with page.expect_response(re.compile("/labels/0")):
    page.click("#clear-frame")
  found = np.ones((HEIGHT, WIDTH), np.uint8)
  page.route(re.compile("/labels/0"), lambda route: route.fulfill(body=found.tobytes()))
  go(page, 1)
  go(page, 0)
  with page.expect_response(re.compile("/given/0")):
    page.keyboard.press("Control+z")
  np.testing.assert_array_equal(read(folder / "given")["00000.png"], painted)
  for keys in ("Control+Shift+z", "Control+z"):
    with page.expect_response(re.compile("/given/0")):
      page.keyboard.press(keys)
    assert ("00000.png" in read(folder / "given")) == (keys == "Control+z")
  np.testing.assert_array_equal(read(folder / "given")["00000.png"], painted)


def test_playing_at_the_end_begins_anew(client, context, video_folder):
  page = open_page(context, client.port, video_folder)
  page.keyboard.press("End")
  page.wait_for_selector(f'#canvas[data-frame="{LENGTH - 1}"]')
  held = []

  def answer(route):
    if held:
      route.continue_()
    held.append(route)

  page.route(re.compile("/labels/[3-6]"), answer)
  page.locator("#slider").focus()
  page.keyboard.press(" ")
  wait_for(page, lambda: held)  # in the middle
  held[0].continue_()
  page.wait_for_selector('#play[aria-label="Play"]')
  assert page.locator("#canvas").get_attribute("data-frame") == str(LENGTH - 1)


def test_a_frame_that_fails_does_not_keep_others_away(client, context, video_folder):
  page = open_page(context, client.port, video_folder)
  held = []
  page.route(re.compile("/labels/3"), lambda route: held.append(route))
  page.locator("#slider").fill("3")
  wait_for(page, lambda: held)
  page.locator("#slider").fill("4")
  held[0].fulfill(status=500, body='{"error": "no such frame"}')
  page.wait_for_selector('#canvas[data-frame="4"]')


def test_an_answer_that_breaks_off_is_asked_for_again(client, context, video_folder):
  page = open_page(context, client.port, video_folder)
  page.evaluate("""() => {
    const whole = Response.prototype.arrayBuffer;
    Response.prototype.arrayBuffer = async function () {
      Response.prototype.arrayBuffer = whole;
      throw new TypeError("network error");
    };
  }""")
  go(page, 3)


def test_a_page_that_goes_along_stays_where_it_is_painted(
  client, context, video_folder
):
  other = video_folder.parent / "along"
  shutil.copytree(video_folder, other)
  sockets, news = [], []

  def pass_on(socket):
    server = socket.connect_to_server()
    server.on_message(lambda text: (news.append(text), socket.send(text)))
    sockets.append(socket)

  context.route_web_socket(re.compile("/live"), pass_on)
  page = open_page(context, client.port, other)
  brush(page, 4)
  stroke(page, (6, 6), (14, 6))
  wait_for(page, lambda: news and '"given": {"0"' in news[-1])

  def tell(frame):
    """As if following had come to a frame."""
    said = json.loads(news[-1])
    status = said["status"] | {"state": "following", "frame": frame}
    sockets[-1].send(json.dumps(said | {"status": status}))

  tell(4)
  page.wait_for_selector('#canvas[data-frame="4"]')
  assert page.is_checked("#watch")
  page.keyboard.press("p")
  x, y = position(page, 10, 10)
  page.mouse.click(x, y)
  assert not page.is_checked("#watch")
  tell(5)
  page.wait_for_timeout(200)
  assert page.locator("#canvas").get_attribute("data-frame") == "4"
  page.check("#watch")
  page.keyboard.press("Control+z")  # in frame 0
  page.wait_for_selector('#canvas[data-frame="0"]')
  assert not page.is_checked("#watch")
  tell(6)
  with page.expect_response(re.compile("/given/0")):
    page.keyboard.press("Control+z")
  page.wait_for_timeout(200)
  assert page.locator("#canvas").get_attribute("data-frame") == "0"


def test_only_the_buttons_and_the_finger_that_paint_do(client, context, video_folder):
  other = video_folder.parent / "fingers"
  shutil.copytree(video_folder, other)
  page = open_page(context, client.port, other)
  brush(page, 4)
  press = """([x, y, button, pointerId, type]) =>
    document.getElementById("canvas").dispatchEvent(new PointerEvent(type, {
      clientX: x, clientY: y, button, pointerId, bubbles: true }))"""
  page.evaluate(press, [*position(page, 30, 6), 3, 1, "pointerdown"])  # "back"
  page.mouse.move(*position(page, 6, 24))
  page.mouse.down()
  for kind in ("pointermove", "pointerup"):
    page.evaluate(press, [*position(page, 40, 6), 0, 77, kind])  # another finger
  page.mouse.move(*position(page, 14, 24), steps=4)
  with page.expect_response(re.compile("/given/")):
    page.mouse.up()
  labels = read(project_folder(client, page) / "given")["00000.png"]
  assert labels[24, 12] == 1 and not labels[:20].any()


def drag(page, *points):
  """Paints through points of the frame."""
  page.mouse.move(*position(page, *points[0]))
  page.mouse.down()
  for point in points[1:]:
    page.mouse.move(*position(page, *point), steps=4)
  page.mouse.up()


def test_an_answer_in_the_middle_of_a_stroke_does_not_end_it(
  client, context, video_folder
):
  other = video_folder.parent / "answer"
  shutil.copytree(video_folder, other)
  page = open_page(context, client.port, other)
  page.wait_for_selector('#canvas[data-frame="0"]')
  brush(page, 4)
  held = []
  page.route(re.compile("/fill/"), lambda route: held.append(route), times=1)
  page.keyboard.press("r")
  with page.expect_request(re.compile("/fill/")):
    drag(page, (2, 6), (20, 22))
  page.keyboard.press("b")
  page.mouse.move(*position(page, 30, 26))
  page.mouse.down()
  page.mouse.move(*position(page, 36, 26), steps=4)
  held[0].continue_()
  shows(page, "A stroke came in between", "#toast")
  page.mouse.move(*position(page, 42, 26), steps=4)
  with page.expect_response(re.compile("/given/")):
    page.mouse.up()
  labels = read(project_folder(client, page) / "given")["00000.png"]
  assert labels[26, 31] == labels[26, 41] == 1 and not labels[:20].any()


def test_strokes_of_two_projects_that_wait_do_not_mix(client, context, video_folder):
  for name in ("waits-one", "waits-two"):
    shutil.copytree(video_folder, video_folder.parent / name)
  client.open(video_folder.parent / "waits-two")  # the page lists its project
  page = open_page(context, client.port, video_folder.parent / "waits-one")
  page.wait_for_selector('#canvas[data-frame="0"]')
  brush(page, 4)
  one = project_folder(client, page)
  held = []
  page.route(re.compile("/given/"), lambda route: held.append(route), times=1)
  with page.expect_request(re.compile("/given/")):
    drag(page, (6, 6), (14, 6))
  drag(page, (6, 14), (14, 14))
  page.click("#open-button")
  # So that what is waited for below is the frame of the other project.
  page.evaluate("delete document.getElementById('canvas').dataset.frame")
  page.locator("#open-list button", has_text="waits-two").first.click()
  shows(page, "waits-two", "#video-name")
  two = project_folder(client, page)
  page.wait_for_selector('#canvas[data-frame="0"]')
  drag(page, (6, 24), (14, 24))
  with page.expect_response(re.compile(f"{two.name}/given/")):
    held[0].continue_()
  path = one / "given" / "00000.png"
  wait_for(page, lambda: path.exists() and np.asarray(Image.open(path))[14, 10])
  ours, theirs = (read(folder / "given")["00000.png"] for folder in (one, two))
  assert ours[6, 10] == ours[14, 10] == theirs[24, 10] == 1
  assert not ours[24].any() and not theirs[:20].any()


def test_a_page_that_comes_back_learns_what_it_missed(client, context, video_folder):
  other = video_folder.parent / "missed"
  shutil.copytree(video_folder, other)
  sockets = []

  def pass_on(socket):
    sockets.append(socket)
    socket.connect_to_server()

  context.route_web_socket(re.compile("/live"), pass_on)
  page = open_page(context, client.port, other)
  page.wait_for_selector('#canvas[data-frame="0"]')
  page.wait_for_load_state("networkidle")
  project = client.library.get(project_folder(client, page).name).project
  project.paint(0, np.eye(HEIGHT, WIDTH, dtype=np.uint8) * 3, [3])  # nobody is told
  sockets[-1].close()
  shows(page, "Painted: “Object 3”", "#frame-state")


@contextlib.contextmanager
def command(video, checkpoint, projects, port):
  """`vosjax app` as its own process, which can be killed."""
  arguments = [str(video), f"--checkpoint={checkpoint}", f"--projects={projects}"]
  arguments += [f"--port={port}", f"--token={TOKEN}", "--no-browser"]
  process = subprocess.Popen(
    [sys.executable, "-m", "vosjax", "app", *arguments],
    env=os.environ | {"PYTHONPATH": str(ROOT)},
    stdout=subprocess.PIPE,
    text=True,
  )
  try:
    line = process.stdout.readline()
    assert f"http://127.0.0.1:{port}/?token={TOKEN}" in line
    yield process
  finally:
    process.kill()
    process.wait()
    process.stdout.close()


def test_killing_the_server_in_the_middle_loses_nothing(
  context, video_folder, checkpoint, tmp_path, free_port
):
  with command(video_folder, checkpoint, tmp_path, free_port) as process:
    page = open_page(context, free_port, video_folder)
    page.wait_for_selector('#canvas[data-frame="0"]')
    brush(page, 8)
    stroke(page, (6, 10), (14, 18))
    page.click("#follow")
    shows(page, "(of|All) 8 frames", "#progress-text")  # a fast machine is done
    page.uncheck("#watch")
    place = page.text_content("#position").partition(" ")[0]
    page.wait_for_selector(f'#canvas[data-frame="{place}"]')  # it can be painted
    process.send_signal(signal.SIGKILL)
    page.wait_for_selector("#away:not([hidden])")
    shown = int(page.get_attribute("#canvas", "data-frame"))  # as far as it followed
    go_without_server(page)
  with command(video_folder, checkpoint, tmp_path, free_port):
    page.wait_for_selector("#away", state="hidden")
    shows(page, "Painted", "#frame-state")
    (folder,) = tmp_path.iterdir()
    # What was painted while there was no server arrives as well.
    given = folder / "given" / f"{shown:05d}.png"
    wait_for(
      page, lambda: given.exists() and np.asarray(Image.open(given))[28, 40] == 1
    )
    # The page has heard of what the new server knows.
    shows(page, "of 8 frames are up to date", "#progress-text")
    follow(page)


def go_without_server(page):
  """Paints while the server is away."""
  page.mouse.move(*position(page, 36, 28))
  page.mouse.down()
  page.mouse.move(*position(page, 42, 28), steps=4)
  page.mouse.up()


def saving(answer) -> bool:
  return "/given/0" in answer.url


def given(folder) -> np.ndarray:
  return read(folder / "given")["00000.png"]


def drop(page, mask):
  """Drops a mask file on the page."""
  buffer = io.BytesIO()
  Image.fromarray(mask).save(buffer, "PNG")
  page.evaluate(DROP, list(buffer.getvalue()))


def test_a_click_counts_if_another_object_changes_before_it_ends(
  client, context, video_folder
):
  other = video_folder.parent / "clicks"
  shutil.copytree(video_folder, other)
  page = open_page(context, client.port, other)
  stroke(page, (6, 10), (14, 18))
  page.keyboard.press("n")
  stroke(page, (30, 14), (40, 14))
  window = open_page(context, client.port, other)
  lock = page.locator('[aria-label="Lock Object 1"]').bounding_box()
  page.mouse.move(lock["x"] + lock["width"] / 2, lock["y"] + lock["height"] / 2)
  page.mouse.down()
  window.click('[aria-label="Hide Object 2"]')
  page.wait_for_selector('[aria-label="Hide Object 2"][aria-pressed=true]')
  page.mouse.up()
  page.wait_for_selector('[aria-label="Lock Object 1"][aria-pressed=true]')
  page.keyboard.press("F2")  # object 2 is active
  page.keyboard.type("wheel")
  page.click('[aria-label="Lock Object 2"]')  # which ends the renaming
  page.wait_for_selector('[aria-label="Lock wheel"][aria-pressed=true]')


def test_deleting_stays_in_its_project_if_another_one_is_opened_meanwhile(
  client, context, video_folder
):
  for name in ("deletes-one", "deletes-two"):
    shutil.copytree(video_folder, video_folder.parent / name)
  page = open_page(context, client.port, video_folder.parent / "deletes-two")
  stroke(page, (6, 10), (14, 18))
  two = project_folder(client, page)
  page = open_page(context, client.port, video_folder.parent / "deletes-one")
  one = project_folder(client, page)
  page.on("dialog", lambda dialog: dialog.accept())
  held = []
  page.route(re.compile("/given/"), lambda route: held.append(route), times=1)
  with page.expect_request(re.compile("/given/")):
    drag(page, (6, 6), (14, 6))
  page.click('[aria-label="Delete Object 1"]')
  page.click("#open-button")
  page.locator("#open-list button", has_text="deletes-two").first.click()
  shows(page, "deletes-two", "#video-name")
  with page.expect_response(lambda answer: answer.request.method == "DELETE") as said:
    held[0].continue_()
  assert f"/{one.name}/objects/1" in said.value.url
  assert client.library.get(two.name).project.describe()["objects"]


def test_objects_are_locked_marked_absent_discarded_and_deleted(
  client, context, video_folder
):
  other = video_folder.parent / "objects"
  shutil.copytree(video_folder, other)
  page = open_page(context, client.port, other)
  folder = project_folder(client, page)
  page.wait_for_selector('#canvas[data-frame="0"]')
  stroke(page, (6, 10), (14, 18))
  page.click('[aria-label="Lock Object 1"]')
  page.keyboard.press("n")
  stroke(page, (10, 14), (30, 14))  # goes around the locked object
  labels = read(folder / "given")["00000.png"]
  assert labels[14, 10] == 1 and labels[14, 30] == 2
  page.keyboard.press("1")
  page.mouse.click(*position(page, 40, 28))
  shows(page, "“Object 1” is locked", "#toast")
  with page.expect_response(saving):
    page.keyboard.press("Control+z")  # the stroke of object 2
  page.keyboard.press("Control+z")
  shows(page, "“Object 1” is locked", "#toast")
  np.testing.assert_array_equal(given(folder), np.where(labels == 1, 1, 0))
  with page.expect_response(saving):
    page.keyboard.press("Control+Shift+z")
  shows(page, "“Object 2”", "#frame-state")  # now there is something to clear
  with page.expect_response(saving):
    page.click("#clear-frame")
  np.testing.assert_array_equal(given(folder), np.where(labels == 1, 1, 0))
  mask = np.full((HEIGHT, WIDTH), 1, np.uint8)
  mask[:20] = 3
  with page.expect_response(saving):
    drop(page, mask)
  shows(page, "objects 3. “Object 1” is locked", "#toast")
  np.testing.assert_array_equal(
    given(folder), np.where(labels == 1, 1, np.where(mask == 3, 3, 0))
  )
  page.click('[aria-label="Delete Object 1"]')
  shows(page, "“Object 1” is locked: unlock", "#toast")
  for _ in range(2):  # a key that is held
    page.keyboard.down("h")
  page.keyboard.up("h")
  page.wait_for_selector('[aria-label="Hide Object 1"][aria-pressed=true]')
  page.keyboard.press("h")
  with page.expect_response(lambda answer: answer.url.endswith("/objects")):
    page.click('[aria-label="Lock Object 1"]')
  page.wait_for_selector('[aria-label="Lock Object 1"][aria-pressed=false]')
  go(page, 4)
  with page.expect_response(lambda answer: "/given/4" in answer.url):
    page.keyboard.press("x")
  shows(page, "Not here: “Object 1”", "#frame-state")
  with page.expect_response(lambda answer: "/given/4" in answer.url):
    page.click("#clear-frame")
  shows(page, "Not followed yet", "#frame-state")
  page.on("dialog", lambda dialog: dialog.accept())
  with page.expect_response(lambda answer: "/objects" in answer.url):
    page.click('[aria-label="Delete Object 1"]')
  assert set(np.unique(given(folder))) == {0, 3}
  page.wait_for_selector("li.active .choose:focus")


def test_videos_are_uploaded_and_masks_dropped(client, context, tmp_path):
  path = tmp_path / "clip.mp4"
  with video_writer(path, (HEIGHT, WIDTH), 10.0) as write:
    for k in range(4):
      write(np.full((HEIGHT, WIDTH, 3), 40 * k, np.uint8))
  page = context.new_page()
  page.goto(f"http://localhost:{client.port}/?token={TOKEN}")
  with page.expect_file_chooser() as choosing:
    page.click("text=Upload a video")
  choosing.value.set_files(path)
  ready(page)
  shows(page, "clip.mp4", "#video-name")
  mask = np.zeros((HEIGHT, WIDTH), np.uint8)
  mask[4:9, 6:20] = 255
  page.wait_for_selector('#canvas[data-frame="0"]')
  with page.expect_response(saving):
    drop(page, mask)
  shows(page, "Painted: “Object 1”", "#frame-state")
  np.testing.assert_array_equal(given(project_folder(client, page)), mask // 255)
  # A click in the row of an object goes to the frame.
  row = page.locator("#rows canvas").bounding_box()
  page.mouse.click(row["x"] + 0.9 * row["width"], row["y"] + row["height"] / 2)
  shows(page, "^3 / 3", "#position")


DROP = """(bytes) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], "first.png"));
  window.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer}));
}"""


def test_everything_works_by_keyboard_alone(client, context, video_folder):
  page = open_page(context, client.port, video_folder)
  page.keyboard.press("End")
  shows(page, "^7 / 7", "#position")
  page.wait_for_selector('#canvas[data-frame="7"]')
  page.keyboard.press("b")
  page.keyboard.press("c")
  page.keyboard.press("Space")
  for _ in range(3):
    page.keyboard.press("Shift+ArrowLeft")
  with page.expect_response(lambda answer: "/given/7" in answer.url):
    page.keyboard.press("Space")
  page.keyboard.press("Escape")
  shows(page, "Painted: “Object 1”", "#frame-state")
  page.keyboard.press("F2")
  page.keyboard.type("A name that is too long for its row, Ben")
  page.keyboard.press("Enter")
  shows(page, "Painted: “A name .* Ben”", "#frame-state")
  shows(page, "From frames? ", "#direction-text")
  rows, icon = (
    page.locator(selector).first.bounding_box()
    for selector in ("#objects", "[aria-label^=Delete]")
  )
  assert icon["x"] + icon["width"] <= rows["x"] + rows["width"]
  page.keyboard.press("ArrowLeft")
  shows(page, "^6 / 7", "#position")
  page.keyboard.press("?")
  assert page.locator("#help-dialog").is_visible()
  page.keyboard.press("Escape")
  focused = []
  page.locator("#open-button").focus()
  for _ in range(40):
    focused.append(page.evaluate("document.activeElement.id"))
    page.keyboard.press("Tab")
  places = ["open-button", "size", "undo", "canvas", "new-object", "follow", "slider"]
  order = [focused.index(place) for place in places]
  assert order == sorted(order), focused


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_passes_an_accessibility_checker(client, context, video_folder, theme):
  axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
  page = context.new_page()
  page.emulate_media(color_scheme=theme)
  page.goto(f"http://localhost:{client.port}/?token={TOKEN}")
  page.wait_for_selector("#welcome .entries button")
  check_accessibility(axe, page, "welcome")
  page.goto(f"http://localhost:{client.port}/?open={video_folder}")
  ready(page)
  page.keyboard.press("n")
  check_accessibility(axe, page, "workspace")
  for key, dialog in (("?", "help"), ("s", "export")):
    page.keyboard.press(key)
    page.wait_for_selector(f"#{dialog}-dialog[open]")
    check_accessibility(axe, page, dialog)
    page.keyboard.press("Escape")


def check_accessibility(axe, page, state):
  found = axe.run(page).response["violations"]
  lines = [
    f"{one['id']}: {one['help']}: {node['html'][:120]}"
    for one in found
    for node in one["nodes"]
  ]
  assert not lines, "\n".join([state, *lines])


def test_the_file_that_the_browser_is_given_leads_to_the_page(
  client, context, video_folder, tmp_path
):
  address = f"http://127.0.0.1:{client.port}/?token={TOKEN}&open={video_folder}"
  page = context.new_page()
  with command_line._redirect(tmp_path, address) as given:
    page.goto(given)
    ready(page)
  assert "token" not in page.url


def test_a_stroke_is_seen_within_50_ms(client, context, video_folder):
  page = open_page(context, client.port, video_folder)
  go(page, 1)
  page.mouse.move(*position(page, 20, 20))
  page.mouse.down()
  times = page.evaluate("""async () => {
    const canvas = document.getElementById("canvas");
    const box = canvas.getBoundingClientRect();
    const times = [];
    for (let k = 0; k < 15; k++) {
      const start = performance.now();
      const x = box.x + box.width / 2 + 6 * k;
      canvas.dispatchEvent(new PointerEvent("pointermove",
        {clientX: x, clientY: box.y + box.height / 2, pointerId: 1, bubbles: true}));
      await new Promise((resolve) => requestAnimationFrame(resolve));
      times.push(performance.now() - start);
    }
    return times;
  }""")
  page.mouse.up()
  assert np.median(times) < 50, times
