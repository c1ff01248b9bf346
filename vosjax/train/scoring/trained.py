"""The trained model that a run scores or predicts with."""

import pathlib
import zlib

import flax.linen as nn
from ml_collections import ConfigDict

from vosjax import checkpoints, models
from vosjax.types import Variables


def load(config: ConfigDict, workdir: str | None) -> tuple[nn.Module, Variables]:
  """Reads `evaluation.checkpoint`, or else WORKDIR/model.

  Raises:
    ValueError: there is no checkpoint, or it holds another model than the configuration
      names.
  """
  directory = folder(config, workdir)
  model, variables = checkpoints.load(directory)
  if not isinstance(model, models.MODELS[config.model.name]):
    raise ValueError(
      f"{directory} holds a {type(model).__name__}, but this configuration is for "
      f"{config.model.name}. Give a checkpoint of that model, or the configuration "
      "of the other one."
    )
  return model, variables


def folder(config: ConfigDict, workdir: str | None) -> pathlib.Path:
  """The folder of the trained model.

  Raises:
    ValueError: there is none.
  """
  if config.evaluation.checkpoint:
    return pathlib.Path(config.evaluation.checkpoint).expanduser()
  if workdir is None or not pathlib.Path(workdir, "model").is_dir():
    raise ValueError(
      f"--workdir={workdir} holds no model/. Name one with "
      "--config.evaluation.checkpoint=DIR (RUN/model of a training run, or what "
      "`vosjax convert` wrote), or train in that --workdir to the end first."
    )
  return pathlib.Path(workdir, "model")


def fingerprint(directory: pathlib.Path) -> int:
  """A number that identifies a checkpoint: the checksum of its list of checksums."""
  return zlib.crc32((directory / "checkpoint.json").read_bytes())
