"""The trained model that a run scores or predicts with."""

import pathlib
import zlib

import flax.linen as nn
from ml_collections import ConfigDict

from vosjax import models, weights
from vosjax.types import Variables


def load(config: ConfigDict, workdir: str | None) -> tuple[nn.Module, Variables]:
  """Reads `evaluation.checkpoint`, or else WORKDIR/model.

  Raises:
    ValueError: there is nothing to read, or it holds another model than the
      configuration names.
  """
  path = locate(config, workdir)
  model, variables = weights.load(path)
  if not isinstance(model, models.MODELS[config.model.name]):
    raise ValueError(
      f"{path} holds a {type(model).__name__}, but this configuration is for "
      f"{config.model.name}. Give a checkpoint of that model, or the configuration "
      "of the other one."
    )
  return model, variables


def locate(config: ConfigDict, workdir: str | None) -> pathlib.Path:
  """The folder of the trained model, or the file of weights in the package.

  Raises:
    ValueError: there is none.
  """
  if config.evaluation.checkpoint:
    return weights.locate(pathlib.Path(config.evaluation.checkpoint).expanduser())
  if workdir is None or not pathlib.Path(workdir, "model").is_dir():
    raise ValueError(
      f"--workdir={workdir} holds no model/. Name one with "
      "--config.evaluation.checkpoint=DIR (RUN/model of a training run, what `vosjax "
      "convert` wrote, or the name of weights in the package), or train in that "
      "--workdir to the end first."
    )
  return pathlib.Path(workdir, "model")


def fingerprint(path: pathlib.Path) -> int:
  """A number that identifies the model at a path that `locate` returns.

  It is the checksum of a checkpoint's list of checksums, or of a file of weights.
  """
  file = path / "checkpoint.json" if path.is_dir() else path
  return zlib.crc32(file.read_bytes())
