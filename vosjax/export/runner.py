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
  """One video: `begin` and `step` return slots [h w], probabilities [o h w] and which
  slots are present [o]. In labels, 0 is background and others are slots from 1."""

  def __init__(self, folder: pathlib.Path = pathlib.Path(__file__).parent):
    self.manifest = json.loads((pathlib.Path(folder) / "manifest.json").read_text())
    self._folder = pathlib.Path(folder)
    self._programs: dict[str, Any] = {}
    self._weights = jax.device_put(self._read_weights())

  def begin(self, frame: Any, labels: Any = None) -> list[Any]:
    """Begins a video with its first frame; labels are slots, if the model needs any."""
    inputs = [frame] if labels is None else [frame, np.asarray(labels, np.int32)]
    self._state, *results = self._call("begin", *inputs)
    return results

  def step(self, frame: Any) -> list[Any]:
    """Segments the next frame."""
    self._state, *results = self._call("step", self._state, frame)
    return results

  def add(self, frame: Any, labels: Any) -> None:
    """Adds the objects of the latest frame's labels, before the next step."""
    (self._state,) = self._call("add", self._state, frame, np.asarray(labels, np.int32))

  def correct(self, frame: Any, labels: Any) -> None:
    """Corrects tracked objects by the latest frame's labels, before the next step."""
    inputs = frame, np.asarray(labels, np.int32)
    (self._state,) = self._call("correct", self._state, *inputs)

  def _call(self, name, *inputs):
    if name not in self._programs:
      data = (self._folder / self.manifest["programs"][name]["file"]).read_bytes()
      self._programs[name] = jax.jit(export.deserialize(bytearray(data)).call)
    return self._programs[name](self._weights, *inputs)

  def _read_weights(self):
    if self.manifest["weights"] is None:  # they are inside of the programs
      return {}
    data = (self._folder / self.manifest["weights"]).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")  # the safetensors format
    arrays = {}
    for name, entry in json.loads(data[8:start]).items():
      if name != "__metadata__":
        low, high = (start + offset for offset in entry["data_offsets"])
        arrays[name] = np.frombuffer(data[low:high], "<f4").reshape(entry["shape"])
    return arrays


def main() -> None:
  """Segments the frames of one file."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("frames")
  parser.add_argument("--labels")
  parser.add_argument("--out", required=True)
  args = parser.parse_args()
  model, frames, inputs, ids = Model(), np.load(args.frames), [], None
  if args.labels:
    given = np.load(args.labels)
    ids = np.array([0, *(i for i in np.unique(given) if i not in (0, 255))])
    inputs = [sum(slot * (given == i) for slot, i in enumerate(ids))]
  results = [model.begin(frames[0], *inputs), *map(model.step, frames[1:])]
  slots = np.stack([np.asarray(labels) for labels, *_ in results])
  np.save(args.out, slots if ids is None else ids[slots].astype(np.uint8))


if __name__ == "__main__":
  main()
