"""Prepares a dataset, as `tfds build` does, but without TensorFlow.

  python datasets/build.py davis2017 --manual_dir=/path/to/DAVIS
  python datasets/build.py youtube_vos --config=2019 --manual_dir=... --workers=8

To resume an interrupted build, run the same command again. With Apache Beam installed,
one of its pipelines can write the shards, on this machine or on a cluster that sees the
same folders:

  python datasets/build.py youtube_vos --manual_dir=... \\
      --beam_pipeline_options=--runner=DirectRunner,--direct_num_workers=8
"""

import argparse
import concurrent.futures
import functools
import importlib
import multiprocessing
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tqdm import tqdm

from vosjax import cores, files

ROOT = pathlib.Path(__file__).resolve().parent


def builder_class(name: str):
  """The builder in `datasets/NAME/NAME_dataset_builder.py`."""
  if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
  return importlib.import_module(f"{name}.{name}_dataset_builder").Builder


def main(arguments: list[str] | None = None) -> int:
  """Builds the dataset that the command line names; returns the exit code."""
  import tensorflow_datasets as tfds

  options = _parse(arguments)
  if options.manual_dir:
    options.manual_dir = pathlib.Path(options.manual_dir).expanduser().resolve()
  try:
    builder_type = builder_class(options.name)
    if options.config not in (None, *builder_type.builder_configs):
      raise ValueError(
        f"--config {options.config}: the configurations of {options.name} are "
        f"{[*builder_type.builder_configs]}."
      )
    data_dir = pathlib.Path(options.data_dir).expanduser()
    builder = builder_type(
      data_dir=data_dir, config=options.config, file_format="array_record"
    )
    builder.map_shards = _mapper(options)
    mode = tfds.GenerateMode
    with files.claimed(data_dir / options.name, f"--data_dir {options.data_dir}"):
      builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
          manual_dir=options.manual_dir,
          try_download_gcs=False,
          download_mode=(
            mode.REUSE_CACHE_IF_EXISTS
            if options.overwrite
            else mode.REUSE_DATASET_IF_EXISTS
          ),
        )
      )
  except (AssertionError, ImportError, OSError, ValueError) as error:  # tfds asserts
    sys.stderr.write(f"build.py: {error}\n")
    return 2
  except KeyboardInterrupt:
    sys.stderr.write("build.py: interrupted; run the same command again to resume.\n")
    return 130
  sys.stderr.write(f"{builder.data_path}: {dict(builder.info.splits)}\n")
  return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
  known = sorted(path.parent.name for path in ROOT.glob("*/*_dataset_builder.py"))
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("name", choices=known, help="which dataset")
  parser.add_argument("--config", help="name of a configuration (default: the first)")
  parser.add_argument("--manual_dir", help="folder of the unpacked original")
  parser.add_argument(
    "--data_dir", default="~/tensorflow_datasets", help="where to write"
  )
  parser.add_argument(
    "--workers",
    type=int,
    default=cores.available(),
    metavar="N",
    help="processes (default: %(default)s, one per core)",
  )
  parser.add_argument(
    "--overwrite", action="store_true", help="build again what already exists"
  )
  parser.add_argument(
    "--beam_pipeline_options",
    metavar="OPTIONS",
    help="write shards with Apache Beam; its options, separated by commas",
  )
  options = parser.parse_args(arguments)
  if options.workers < 1:
    parser.error(f"--workers is {options.workers}; it must be 1 or more.")
  return options


def _mapper(options: argparse.Namespace) -> Callable[..., Iterable[Any]]:
  """What runs a function on all shards, see `ShardedBuilder.map_shards`."""
  if options.beam_pipeline_options:
    return functools.partial(map_beam, options.beam_pipeline_options.split(","))
  return functools.partial(map_processes, options.workers)


def map_processes(
  workers: int, function: Callable[[Any], int], shards: Sequence[Any]
) -> Iterator[int]:
  """Runs `function` on all shards in processes, with a progress bar of records.

  Yields:
    The results, in order of completion.
  """
  with tqdm(
    total=sum(len(shard.items) for shard in shards), unit="record", disable=None
  ) as bar:
    if workers == 1 or len(shards) < 2:
      results = map(function, shards)
      for count in results:
        bar.update(count)
        yield count
      return
    # A forked process would inherit locks held by threads that it does not have.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context) as pool:
      futures = [pool.submit(function, shard) for shard in shards]
      try:
        for future in concurrent.futures.as_completed(futures):
          bar.update(future.result())
          yield future.result()
      finally:  # after a failure or an interrupt, the rest is not worked on
        pool.shutdown(cancel_futures=True)


def map_beam(
  options: Sequence[str], function: Callable[[Any], int], shards: Sequence[Any]
) -> Iterator[int]:
  """Runs `function` on all shards in an Apache Beam pipeline.

  Raises:
    ImportError: Apache Beam is not installed.
  """
  try:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
  except ImportError:
    raise ImportError(
      "--beam_pipeline_options: Apache Beam is not installed. Run `pip install "
      "apache-beam`, preferably in a separate environment, or use --workers instead."
    ) from None
  # Beam's processes import the builders, too.
  path = os.environ.get("PYTHONPATH")
  os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([path] if path else [])])
  with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
    _ = pipeline | beam.Create(shards) | beam.Reshuffle() | beam.Map(function)
  return iter(())


if __name__ == "__main__":
  sys.exit(main())
