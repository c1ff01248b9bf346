"""Sessions that are saved, and go on in another segmenter."""

import json

import numpy as np
import pytest
import safetensors.numpy

import vosjax
from vosjax.inference import whole_video

CASES = {
  "agame": ("agame", {"output_stride": 8, "deep": "pyramid", "matching_lags": (1, 2)}),
  "rvos": ("rvos", {"one_shot": True, "num_objects": 3}),
  "rvos, zero-shot": ("rvos", {}),
  "cosnet": ("cosnet", {"deep": "pyramid"}),
}


@pytest.fixture(params=CASES)
def case(request, small, first):
  name, fields = CASES[request.param]
  one_shot = name == "agame" or "one_shot" in fields
  options = {"reference_policy": "random"} if name == "cosnet" else {}
  return small(name, **fields), options, first if one_shot else None


def assert_equal(found, expected):
  for ours, theirs in zip(found, expected, strict=True):
    assert ours.object_ids == theirs.object_ids
    np.testing.assert_array_equal(ours.frame, theirs.frame)
    np.testing.assert_array_equal(ours.labels, theirs.labels)
    np.testing.assert_array_equal(ours.probs, theirs.probs)
    np.testing.assert_array_equal(ours.scores, theirs.scores)


def test_a_saved_stream_goes_on_bit_by_bit(case, frames, tmp_path):
  model, options, labels = case
  plain = vosjax.VideoSegmenter(*model, **options).new_session()
  first = plain.start(frames[0], labels)
  if labels is not None and plain.setup.readout.threshold is None:
    plain.remove(2)  # a free slot
  expected = [first, *map(plain.step, frames[1:])]

  begun = vosjax.VideoSegmenter(*model, **options).new_session()
  begun.start(frames[0], labels)
  if labels is not None and plain.setup.readout.threshold is None:
    begun.remove(2)
  begun.step(frames[1])
  begun.step(frames[2])
  begun.save(tmp_path / "session")
  assert [path.name for path in tmp_path.iterdir()] == ["session"]
  resumed = vosjax.VideoSegmenter(*model, **options).load_session(tmp_path / "session")
  assert resumed.object_ids == begun.object_ids
  assert_equal([resumed.result], [begun.result])
  assert_equal(map(resumed.step, frames[3:]), expected[3:])


def test_a_run_that_is_saved_between_batches_goes_on_bit_by_bit(
  tiny, frames, first, tmp_path, monkeypatch
):
  monkeypatch.setattr(whole_video, "choose_batch_size", lambda n: min(n, 2))
  prompts = {1: np.where(first < 3, first, 0), 4: np.where(first == 3, 3, 0)}
  segmenter = vosjax.VideoSegmenter(*tiny, max_objects=3)
  options = {"prompts": prompts, "direction": "forward"}
  expected = list(segmenter.run(frames, **options))
  session = segmenter.new_session()
  for t, _ in enumerate(segmenter.run(frames, **options, session=session)):
    if t == 2:
      session.save(tmp_path / "session")
      break
  resumed = segmenter.load_session(tmp_path / "session")
  assert_equal(segmenter.run(frames, **options, session=resumed), expected[3:])

  # A correction needs features of the latest frame, which are not in the file.
  again = segmenter.load_session(tmp_path / "session")
  for one in (session, again):
    one.correct(np.where(first == 1, 2, 0))
  assert_equal([again.step(frames[3])], [session.step(frames[3])])


def test_what_objects_share_is_stored_once(small, frames, first, tmp_path):
  model = small("agame", **CASES["agame"][1])
  saved = []
  for options in ({}, {"max_objects": 12}):
    session = vosjax.VideoSegmenter(*model, **options).new_session()
    session.start(frames[0], np.where(first < 3, first, 0))
    session.step(frames[1])
    session.save(tmp_path / "session")
    saved.append(safetensors.numpy.load_file(tmp_path / "session"))
  few, many = (sorted(array.shape for array in arrays.values()) for arrays in saved)
  assert few == many  # ten free slots need no room
  one = np.asarray(session.state.matching.first_keys)[:, 0]
  assert sum(np.array_equal(one, array) for array in saved[0].values()) == 1


@pytest.mark.parametrize("references", [3, "all", 7])
def test_a_resumed_run_replaces_the_references(small, frames, tmp_path, references):
  assert len(frames) < 7  # there are fewer frames than references
  segmenter = vosjax.VideoSegmenter(*small("cosnet"), references=references)
  expected = list(segmenter.run(frames))
  session = segmenter.new_session()
  run = segmenter.run(frames, session=session)
  next(run), next(run)
  session.save(tmp_path / "session")
  resumed = segmenter.load_session(tmp_path / "session")
  found = segmenter.run(frames, session=resumed)
  for ours, theirs in zip(found, expected[2:], strict=True):
    np.testing.assert_allclose(ours.probs, theirs.probs, atol=2e-5)


def test_sessions_of_others_and_damaged_files_are_refused(
  tiny, small, frames, first, tmp_path
):
  path = tmp_path / "session"
  model, variables = tiny
  segmenter = vosjax.VideoSegmenter(model, variables)
  with pytest.raises(ValueError, match=r"save\(\): no video is in progress"):
    segmenter.new_session().save(path)
  session = segmenter.new_session()
  session.start(frames[0], first)
  session.save(path)

  def refuse(message, *args, **options):
    with pytest.raises(ValueError, match=rf"load_session\(\): .*{message}") as error:
      vosjax.VideoSegmenter(*args, **options).load_session(path)
    assert "\n" not in str(error.value)

  refuse("model AGame, not RVOS", *small("rvos"))
  refuse("other fields", model.clone(update_rate=0.5), variables)
  refuse("other weights", *small("agame", update_rate=0.1))
  refuse("max_objects None, not 4", model, variables, max_objects=4)
  content = path.read_bytes()
  path.write_bytes(content[: len(content) // 2])
  refuse("is damaged or no saved session", model, variables)
  path.write_bytes(b"no file of ours")
  refuse("is damaged or no saved session", model, variables)
  values = json.dumps({"frame_number": 3})
  path.write_bytes(
    safetensors.numpy.save({"frame": frames[0]}, {"format": "2", "values": values})
  )
  refuse("is damaged or no saved session", model, variables)
  path.write_bytes(
    safetensors.numpy.save({"frame": frames[0]}, {"format": "1", "values": values})
  )
  refuse("has format '1'.* Begin the video again", model, variables)
  with pytest.raises(OSError):
    segmenter.load_session(tmp_path / "none")


def test_only_forward_runs_can_be_saved(tiny, frames, first):
  segmenter = vosjax.VideoSegmenter(*tiny)
  with pytest.raises(ValueError, match=r"run\(\): session is given, but the direction"):
    segmenter.run(frames, prompts={2: first}, session=segmenter.new_session())
