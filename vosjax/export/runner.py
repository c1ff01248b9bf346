"""Runs a model that `vosjax export` wrote. Needs jax, numpy, flatbuffers; no vosjax.

  python run.py FRAMES.npy --labels FIRST.npy --out LABELS.npy

FRAMES.npy holds uint8 RGB [t h w 3], FIRST.npy the ids of objects [h w] in the first
frame (not for models that find objects themselves); LABELS.npy receives ids [t h w].
"""

import argparse
import json
import pathlib
from typing import Any

import jax
import numpy as np
from jax import export


class Model:
  """One video. In labels [h w], slots count from 1; 0 is background, 255 is void.

  `begin` and `step` return labels, probabilities [o h w] and presence [o] of the slots.
  `add` and `correct` are about the latest frame and come before the next `step`.
  """

  def __init__(self, folder: str | pathlib.Path = pathlib.Path(__file__).parent):
    folder = pathlib.Path(folder)
    self.manifest = json.loads((folder / "manifest.json").read_text())
    file = self.manifest["weights"]  # null if they are inside of the programs
    self._weights = jax.device_put(_read_safetensors(folder / file) if file else {})
    self._programs = {}
    for name, entry in self.manifest["programs"].items():
      program = export.deserialize(bytearray((folder / entry["file"]).read_bytes()))
      self._programs[name] = jax.jit(program.call)

  def begin(self, frame: Any, labels: Any = None) -> list[jax.Array]:
    """Segments the first frame; labels are given to models that follow objects."""
    given = [] if labels is None else [np.asarray(labels, np.int32)]
    return self._call("begin", frame, *given)

  def step(self, frame: Any) -> list[jax.Array]:
    """Segments the next frame."""
    return self._call("step", self._state, frame)

  def add(self, frame: Any, labels: Any) -> None:
    """Adds objects in slots that are free."""
    self._call("add", self._state, frame, np.asarray(labels, np.int32))

  def correct(self, frame: Any, labels: Any) -> None:
    """Corrects all objects; where labels are void, they stay as segmented."""
    self._call("correct", self._state, frame, np.asarray(labels, np.int32))

  def _call(self, name, *inputs):
    self._state, *results = self._programs[name](self._weights, *inputs)
    return results


def _read_safetensors(path):
  data = path.read_bytes()
  start = 8 + int.from_bytes(data[:8], "little")
  arrays = {}
  for name, entry in json.loads(data[8:start]).items():
    low, high = (start + offset for offset in entry["data_offsets"])
    arrays[name] = np.frombuffer(data[low:high], "<f4").reshape(entry["shape"])
  return arrays


def main() -> None:
  """Segments the file of frames."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("frames")
  parser.add_argument("--labels")
  parser.add_argument("--out", required=True)
  args = parser.parse_args()
  model, frames, first = Model(), np.load(args.frames), None
  ids = np.arange(256, dtype=np.uint8)
  if args.labels:
    given = np.load(args.labels)
    ids = np.union1d(0, given[given != 255]).astype(given.dtype)
    count, most = len(ids) - 1, model.manifest["objects"]
    if count > most:
      parser.error(
        f"{args.labels} has {count} objects; --objects of the export: {most}"
      )
    first = np.where(given == 255, 255, np.searchsorted(ids, given))
  results = [model.begin(frames[0], first), *map(model.step, frames[1:])]
  np.save(args.out, np.stack([ids[np.asarray(slots)] for slots, *_ in results]))


if __name__ == "__main__":
  main()
