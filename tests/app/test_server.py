"""What requests change in a project, and what its windows hear of it."""

import concurrent.futures
import json
import threading

import numpy as np
import pytest

pytest.importorskip("vosjax.app.serving", reason="needs vosjax[app]")


def stroke(value, row):
  labels = np.zeros((32, 48), np.uint8)
  labels[row : row + 3, 5:9] = value
  return labels.tobytes()


@pytest.fixture(scope="module")
def address(client, video_folder):
  return f"/api/projects/{client.open(video_folder)}"


def put(client, path, body):
  status, _, answer = client.request("PUT", path, body)
  return status, json.loads(answer)


def test_windows_that_know_different_objects_change_only_theirs(client, address):
  assert put(client, f"{address}/given/0?objects=1", stroke(1, 2))[0] == 200
  assert put(client, f"{address}/given/0?objects=2", stroke(2, 9))[0] == 200
  found = client.json("GET", address)
  assert found["given"] == {"0": [[1, 2], []]}
  hidden = json.dumps([found["objects"][0] | {"hidden": True}])
  status, answer = put(client, f"{address}/objects", hidden)
  assert status == 200 and answer["revision"] > found["revision"]
  found = client.json("GET", address)
  assert [info["hidden"] for info in found["objects"]] == [True, False]
  put(client, f"{address}/given/0?released=1", stroke(0, 0))
  assert client.json("GET", address)["given"] == {"0": [[2], []]}

  assert client.request("DELETE", f"{address}/objects/2")[0] == 200
  assert client.request("DELETE", f"{address}/objects/2")[0] == 200  # another window
  assert client.request("DELETE", f"{address}/objects/9")[0] == 404
  status, answer = put(client, f"{address}/given/0?objects=2", stroke(2, 9))
  assert status == 400 and "object 2 was deleted" in answer["error"]
  found = client.json("GET", address)
  assert (found["given"], found["deleted"]) == ({}, [2])


def test_windows_hear_of_objects_and_of_what_is_given(client, address):
  from vosjax.app import news

  put(client, f"{address}/given/3?objects=5", stroke(5, 2))
  opened = client.library.get(address.rpartition("/")[2])
  found = news.collect(opened, {2, 3})
  assert (found["given"], found["not_given"]) == ({3: [(5,), ()]}, [2])
  told = {key: found[key] for key in ("objects", "deleted", "revision")}
  found = client.json("GET", address)
  assert told == {key: found[key] for key in told}


def test_a_pause_is_heard_while_long_requests_keep_threads_busy(
  client, address, monkeypatch
):
  from vosjax.app import server

  busy, go_on = threading.Semaphore(0), threading.Event()

  def wait(image, box):
    busy.release()
    go_on.wait(60)
    return np.zeros((32, 48), bool)

  monkeypatch.setattr(server, "fill_box", wait)
  opened = client.library.get(address.rpartition("/")[2])
  with concurrent.futures.ThreadPoolExecutor(60) as pool:
    box = {"box": [0, 0, 9, 9]}
    asked = [
      pool.submit(client.request, "POST", f"{address}/fill/0", json.dumps(box))
      for _ in range(60)
    ]
    try:
      assert busy.acquire(timeout=60)
      assert client.json("POST", f"{address}/pause") == {}
      assert opened.follower._stop.is_set()
      assert client.json("GET", address)["frames"] == 8  # nor does anything else wait
      assert not any(one.done() for one in asked)
    finally:
      go_on.set()
    assert {one.result()[0] for one in asked} == {200}
  assert client.request("POST", "/api/projects/none/pause")[0] == 404
