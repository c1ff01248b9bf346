"""Sessions on disk, from which a video goes on as if it had not been interrupted.

A file is in the safetensors format: arrays, and in its header JSON. Nothing in it is
ever executed. It holds no weights, but a checksum of those that it belongs to. It holds
no features either: they are computed again from the latest frame.

Objects that were given together remember the same frame, and free slots remember
nothing that matters. So the arrays of the state are cut into blocks along their second
axis, and blocks with the same content are stored once.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vosjax import files
from vosjax.inference import programs
from vosjax.inference.checks import UsageError
from vosjax.inference.frame_result import FrameResult
from vosjax.inference.painting import Ranking
from vosjax.inference.references import StreamReferences
from vosjax.inference.setup import Setup
from vosjax.inference.slots import Slots
from vosjax.models.api import State, TakesReferences, map_objects

_FORMAT = "2"


def save(session: Any, path: str | os.PathLike) -> None:
  """Writes a session atomically.

  Args:
    session: a Session.
    path: of the file.

  Raises:
    UsageError: no video is in progress.
    OSError: the file cannot be written; one that exists is unchanged.
  """
  if session.frame is None or session.result is None:
    raise UsageError("no video is in progress. Call start() with the first frame.")
  result = session.result
  smallest = np.min_scalar_type(result.labels.max())
  blocks, places = _split(_flatten("state", _without_free_slots(session)))
  arrays = {
    "frame": session.frame,
    "result/labels": result.labels.astype(smallest),
    "result/probs": result.probs,
    "result/scores": result.scores,
    **blocks,
  }
  ranking, references = session.ranking, session.stream_references
  values = {
    "frame_number": session.frame_number,
    "batch_size": session.batch_size,
    "blocks": places,
    "slots": session.slots.to_json(),
    "ranking": ranking and ranking.to_json(),
    "references": references and references.to_json(),
    "object_ids": result.object_ids,
    "num_references": getattr(session.setup.model, "num_references", 0),
    "setup": describe(session.setup),
  }
  import safetensors.numpy  # not installed everywhere that vosjax infers

  content = safetensors.numpy.save(
    {name: _as_plain(x) for name, x in arrays.items()},
    {"format": _FORMAT, "values": json.dumps(values)},
  )
  files.write_bytes(pathlib.Path(path), content)


def load(session: Any, path: str | os.PathLike) -> None:
  """Reads a session.

  Args:
    session: a new Session, of the segmenter that goes on with the video.
    path: of the file.

  Raises:
    UsageError: the file is damaged, or was saved with another model, weights or
      options; says which.
    OSError: it cannot be read.
  """
  import safetensors

  try:
    with safetensors.safe_open(path, framework="numpy") as file:
      metadata = file.metadata() or {}
      arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    values = json.loads(metadata["values"])
    if metadata["format"] != _FORMAT:
      raise UsageError(
        f"{path} has format {metadata['format']!r}, and this version of vosjax reads "
        f"{_FORMAT!r}. Begin the video again."
      )
    _require_equal(values["setup"], describe(session.setup), path)
    _restore(session, values, arrays)
  except UsageError:
    raise
  except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
    raise UsageError(
      f"{path} is damaged or no saved session ({error}). Begin the video again."
    ) from error


def describe(setup: Setup) -> dict[str, str]:
  """What a session depends on, by names for people."""
  crc = 0
  for leaf in jax.tree.leaves(setup.variables):
    crc = zlib.crc32(np.ascontiguousarray(leaf).tobytes(), crc)
  model: nn.Module = setup.model
  if isinstance(model, TakesReferences):  # a run may have fewer, or one for each frame
    model = model.clone(num_references=0)
  return {
    "model": type(setup.model).__name__,
    "fields": repr(model),
    "weights": f"{crc:08x}",
    "recurrence": str(setup.recurrence),
    "max_objects": str(setup.max_objects),
    "references": str(setup.references),
    "reference_policy": str(setup.reference_policy),
    "seed": str(setup.seed),
  }


def _require_equal(
  found: Mapping[str, str], expected: Mapping[str, str], path: str | os.PathLike
) -> None:
  """Refuses a session of another segmenter."""
  for name, value in expected.items():
    if found.get(name) == value:
      continue
    told = f"other {name}" if name in ("fields", "weights") else ""
    raise UsageError(
      f"{path} was saved with "
      + (told or f"{name} {found.get(name)}, not {value}")
      + ". Load it into a segmenter of the same model, weights and options."
    )


def _restore(
  session: Any, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
  """Fills a new session."""
  model: nn.Module = session.setup.model
  frame = arrays["frame"]
  if isinstance(model, TakesReferences):
    model = model.clone(num_references=values["num_references"])
  session.setup = setup = dataclasses.replace(session.setup, model=model)
  slots = Slots.from_json(values["slots"])
  template = _template(setup, frame, slots)
  session.state = _unflatten("state", template, values["blocks"], arrays)
  session.frame, session.slots = frame, slots
  session.features, session.batch_size = None, values["batch_size"]
  session.frame_number = values["frame_number"]
  ids = tuple(values["object_ids"])
  session.result = FrameResult(
    frame,
    arrays["result/labels"].astype(np.int32),
    ids,
    arrays["result/probs"][None],
    tuple(range(len(ids))),
    arrays["result/scores"],
  )
  if values["ranking"] is not None:
    session.ranking = Ranking.from_json(values["ranking"])
  if values["references"] is not None:
    references = StreamReferences(
      setup.reference_policy, int(setup.references), seed=setup.seed
    )
    references.restore(values["references"])
    session.stream_references = references


def _template(setup: Setup, frame: np.ndarray, slots: Slots) -> State:
  """Shapes of the state; nothing is computed."""
  size = (frame.shape[0], frame.shape[1])
  # Not the compiled programs, which cannot be traced as parts of others.
  encode, init = programs.encode.__wrapped__, programs.init_slots.__wrapped__
  features = jax.eval_shape(lambda: encode(setup.model, setup.variables, frame[None]))
  labels = np.zeros((1, *size), np.int32) if setup.readout.one_shot else None
  return jax.eval_shape(
    lambda features: init(
      setup.model, size, setup.variables, None, features, labels, slots.active
    ),
    features,
  )


def _without_free_slots(session: Any) -> State:
  """The state, in which free slots repeat one that is used."""
  slots, one_shot = session.slots, session.setup.readout.one_shot
  # Models that keep slots also see free ones.
  if slots.by_id or not one_shot or not slots.used:
    return session.state
  used = [k if k in slots.used else slots.used[0] for k in range(slots.capacity)]
  return map_objects(lambda array: np.asarray(array)[:, used], session.state)


def _flatten(name: str, tree: Any) -> dict[str, np.ndarray]:
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {name + jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def _split(
  arrays: Mapping[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
  """Blocks along the second axis of arrays, by their content.

  Returns:
    The blocks by name, and for each array the names of its blocks in order.
  """
  blocks: dict[str, np.ndarray] = {}
  places: dict[str, list[str]] = {}
  for name, array in arrays.items():
    places[name] = []
    parts = np.moveaxis(array, 1, 0) if _is_cut(array.shape) else array[None]
    for part in map(np.ascontiguousarray, parts):
      digest = hashlib.sha1(f"{part.dtype} {part.shape}".encode())
      digest.update(part.view(np.uint8).data)
      block = f"block/{digest.hexdigest()}"
      blocks[block] = part
      places[name].append(block)
  return blocks, places


def _is_cut(shape: tuple[int, ...]) -> bool:
  """Whether there is a second axis to cut."""
  return len(shape) > 1 and shape[1] > 0


def _unflatten(
  name: str,
  template: Any,
  places: Mapping[str, list[str]],
  arrays: Mapping[str, np.ndarray],
) -> Any:
  """The inverse of `_flatten` and `_split`."""

  def find(path: Any, like: Any) -> Any:
    key = name + jax.tree_util.keystr(path)
    parts = [arrays[block] for block in places[key]]
    array = np.stack(parts, axis=1) if _is_cut(like.shape) else parts[0]
    if like.dtype == jnp.bfloat16:
      array = array.view(jnp.bfloat16)
    if array.shape != like.shape or array.dtype != like.dtype:
      raise ValueError(
        f"{key} is {array.dtype} {list(array.shape)}, not {like.dtype} "
        f"{list(like.shape)}"
      )
    return jnp.asarray(array)

  return jax.tree_util.tree_map_with_path(find, template)


def _as_plain(array: Any) -> np.ndarray:
  """An array of a type that the format has."""
  array = np.ascontiguousarray(array)
  return array.view(np.uint16) if array.dtype == jnp.bfloat16 else array
