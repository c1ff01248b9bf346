"""The trained model that a run is about."""

import pathlib
import zlib

import flax.linen as nn
from ml_collections import ConfigDict

from vosjax import checkpoints, models
from vosjax.train.recipes import recipe_of
from vosjax.types import Variables


def load(config: ConfigDict, workdir: str | None) -> tuple[nn.Module, Variables]:
  """Reads `evaluation.checkpoint`, or else WORKDIR/model.

  Raises:
    ValueError: there is none, it is of another model than the configuration, or that
      is of none.
  """
  directory = folder(config, workdir)
  recipe_of(config)  # refuses what is no model
  model, variables = checkpoints.load(directory)
  if not isinstance(model, models.MODELS[config.model.name]):
    raise ValueError(
      f"{directory} holds a {type(model).__name__}; this configuration is of "
      f"{config.model.name}. Give a checkpoint of that model, or the configuration "
      "of the other."
    )
  return model, variables


def folder(config: ConfigDict, workdir: str | None) -> pathlib.Path:
  """Where the model is.

  Raises:
    ValueError: nowhere.
  """
  if config.evaluation.checkpoint:
    return pathlib.Path(config.evaluation.checkpoint).expanduser()
  if workdir is None or not pathlib.Path(workdir, "model").is_dir():
    raise ValueError(
      f"--workdir={workdir} holds no model/. Name one with "
      "--config.evaluation.checkpoint=DIR (RUN/model of training, or what `vosjax "
      "convert` wrote), or train to the end first in that --workdir."
    )
  return pathlib.Path(workdir, "model")


def fingerprint(directory: pathlib.Path) -> int:
  """A number that tells checkpoints apart: that of their list of checksums."""
  return zlib.crc32((directory / "checkpoint.json").read_bytes())
