"""Arguments that several commands take, and types of arguments."""

import argparse
import pathlib
import re


def add_dtype(parser: argparse.ArgumentParser) -> None:
  """Adds `--dtype`."""
  parser.add_argument(
    "--dtype",
    choices=("float32", "bfloat16"),
    default="float32",
    help="dtype of the convolutions (default float32)",
  )


def size(text: str) -> tuple[int, int]:
  """Rows and columns, such as 480x854."""
  match = re.fullmatch(r"(\d+)x(\d+)", text)
  if not match or min(map(int, match.groups())) < 16:
    raise argparse.ArgumentTypeError(
      f"{text!r} is not a size; expected HEIGHTxWIDTH, each 16 or more, such as 480x864"
    )
  return int(match[1]), int(match[2])


def count(text: str) -> int:
  """A whole number of 1 or more."""
  if not text.isdigit() or int(text) < 1:
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
  return int(text)


def minutes(text: str) -> float:
  """A positive number."""
  try:
    value = float(text)
  except ValueError:
    value = 0.0
  if not 0 < value < float("inf"):
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes above 0")
  return value


def require_folder(json: pathlib.Path | None) -> None:
  """Refuses a file of `--json` whose folder does not exist."""
  if json is not None and not json.parent.is_dir():
    raise ValueError(f"--json {json}: there is no folder {json.parent}.")
