"""Prepares a data set: `tfds build` without TensorFlow.

  python datasets/build.py davis2017 --manual_dir=/path/to/DAVIS
"""

import argparse
import importlib
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent


def builder_class(name: str):
  """The builder in `datasets/NAME/NAME_dataset_builder.py`."""
  if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
  return importlib.import_module(f"{name}.{name}_dataset_builder").Builder


def main(arguments: list[str] | None = None) -> int:
  """Builds the data set that the command line names; returns the exit code."""
  import tensorflow_datasets as tfds

  known = sorted(path.parent.name for path in ROOT.glob("*/*_dataset_builder.py"))
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("name", choices=known, help="which data set")
  parser.add_argument("--config", help="name of a configuration; default: the first")
  parser.add_argument("--manual_dir", help="where the unpacked original lies")
  parser.add_argument(
      "--data_dir", default="~/tensorflow_datasets", help="where to write")
  options = parser.parse_args(arguments)
  if options.manual_dir:
    options.manual_dir = pathlib.Path(options.manual_dir).expanduser().resolve()
  try:
    builder = builder_class(options.name)(
        data_dir=pathlib.Path(options.data_dir).expanduser(), config=options.config,
        file_format="array_record")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(
        manual_dir=options.manual_dir))
  except (AssertionError, OSError, ValueError) as error:  # tfds asserts on folders
    sys.stderr.write(f"build.py: {error}\n")
    return 2
  sys.stderr.write(f"{builder.data_path}: {dict(builder.info.splits)}\n")
  return 0


if __name__ == "__main__":
  sys.exit(main())
