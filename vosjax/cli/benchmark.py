"""`vosjax benchmark`: speed of models, metrics, data and `segment` on this machine."""

import argparse
import functools
import json
import pathlib
import sys
from typing import Any

from vosjax import files, models
from vosjax.benchmarks import everything, metrics, model
from vosjax.cli import arguments

EXAMPLE = """
examples:
  vosjax benchmark agame
  vosjax benchmark agame --size 480x864 --objects 5 --json agame5.json
  vosjax benchmark agame --dtype bfloat16 --batch 8       on a GPU or TPU
  vosjax benchmark rvos --size 256x448 --objects 10 --field one_shot=true
  vosjax benchmark cosnet --size 473x473 --field num_references=5
  vosjax benchmark metrics --size 480x854 --objects 2 --frames 20
  vosjax benchmark data --size 480x854
  vosjax benchmark segment --size 480x854 --frames 100
  vosjax benchmark all --minutes 10 --json gpu.json

Weights are random, which does not affect speed. The peak is the speed of a matrix
product, measured in the same run; FLOP are counted for the unoptimised network.
`metrics` compares with the times that the official toolkits state; `data` compares the
rate of training clips with the rate of merely decoding and resizing their images.
`segment` shows each stage of `vosjax segment` alone and all together, without a network
and with the one in the package. `all` measures every model, training and inference, the
most telling things first, until the minutes are over or Ctrl-C; --json is written after
every measurement.
"""

METRICS, DATA, SEGMENT, ALL = "metrics", "data", "segment", "all"

ROWS = (
  ("ms_per_frame", "time per frame", "{:.1f} ms"),
  ("frames_per_second", "frames per second", "{:.2f}"),
  ("compile_seconds", "compilation", "{:.1f} s"),
  ("gflop_per_frame", "work per frame", "{:.1f} GFLOP"),
  ("peak_gflop_per_second", "matrix product", "{:.0f} GFLOP/s"),
  ("fraction_of_peak", "fraction of this peak", "{:.2f}"),
  ("peak_memory_bytes", "peak memory", "{:,} bytes"),
  ("plain_ms_per_frame", "unoptimised network", "{:.1f} ms"),
  ("speedup_over_plain", "speedup over this", "{:.2f} x"),
  ("encode_ms", "encoder, one frame", "{:.1f} ms"),
  ("encode_ms_in_run", "encoder, batched", "{:.1f} ms"),
  ("frames_at_once", "frames per batch", "{}"),
)


def configure(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments of `vosjax benchmark`."""
  parser.epilog = EXAMPLE
  parser.add_argument(
    "model",
    choices=[*sorted(models.MODELS), METRICS, DATA, SEGMENT, ALL],
    help="a model; or metrics: J, F, T and whole evaluations (only --size, --objects, "
    "--frames and --json apply); or data: training clips (only --size and --json); or "
    "segment: from a video file to masks and overlay (as metrics); or "
    "all of them (only --minutes and --json)",
  )
  parser.add_argument(
    "--minutes",
    type=arguments.minutes,
    default=10.0,
    metavar="N",
    help="time for `all`, which ends when it is over (default 10)",
  )
  parser.add_argument(
    "--size",
    type=arguments.size,
    default=(480, 864),
    metavar="HxW",
    help="height x width of the frames (default 480x864)",
  )
  parser.add_argument(
    "--objects",
    type=arguments.count,
    default=1,
    metavar="N",
    help="objects per video (default 1)",
  )
  parser.add_argument(
    "--batch",
    type=arguments.count,
    default=1,
    metavar="N",
    help="videos per batch (default 1)",
  )
  arguments.add_dtype(parser)
  parser.add_argument(
    "--frames",
    type=arguments.count,
    default=10,
    metavar="N",
    help="frames to time (default 10)",
  )
  parser.add_argument(
    "--backbone",
    metavar="NAME",
    help="backbone in place of the published one, e.g. resnet18",
  )
  parser.add_argument(
    "--field",
    type=_field,
    action="append",
    default=[],
    metavar="NAME=VALUE",
    help="field of the model and its value in JSON, e.g. one_shot=true; repeatable",
  )
  parser.add_argument(
    "--no-plain",
    action="store_true",
    help="skip the comparison with the unoptimised network",
  )
  parser.add_argument(
    "--json",
    type=pathlib.Path,
    metavar="FILE",
    help="also write the results to this file",
  )


def run(args: argparse.Namespace) -> None:
  """Runs the benchmark, prints a table and writes the file of `--json`.

  Raises:
    ValueError: the folder of `--json` does not exist.
  """
  arguments.require_folder(args.json)
  if args.model == ALL:
    _benchmark_all(args)
    return
  if args.model == METRICS:
    result = _benchmark_metrics(args)
  elif args.model == DATA:
    result = _benchmark_data(args)
  elif args.model == SEGMENT:
    result = _benchmark_segment(args)
  else:
    result = _benchmark_model(args)
  _save(args, result)


def _save(args: argparse.Namespace, result: dict[str, Any]) -> None:
  if args.json:
    files.write_json(args.json, result)


def _benchmark_all(args: argparse.Namespace) -> None:
  outcome = everything.run(
    everything.plan(),
    seconds=60 * args.minutes,
    save=functools.partial(_save, args),
    report=_progress,
  )
  print(everything.table(outcome))
  if outcome["interrupted"]:
    raise KeyboardInterrupt


def _benchmark_metrics(args: argparse.Namespace) -> dict[str, Any]:
  result = metrics.measure(
    size=args.size, objects=args.objects, frames=args.frames, progress=_progress
  )
  print(metrics.table(result))
  return result


def _benchmark_data(args: argparse.Namespace) -> dict[str, Any]:
  from vosjax.benchmarks import data  # loads grain, which other benchmarks do not need

  _progress("clips, decoding and resizing")
  result = data.measure(args.size)
  print(data.table(result))
  return result


def _benchmark_segment(args: argparse.Namespace) -> dict[str, Any]:
  from vosjax.benchmarks import (
    segment,
  )  # loads PyAV, which other benchmarks do not need

  result = segment.measure(
    size=args.size, objects=args.objects, frames=args.frames, progress=_progress
  )
  print(segment.table(result))
  return result


def _benchmark_model(args: argparse.Namespace) -> dict[str, Any]:
  fields = {"backbone": args.backbone} if args.backbone else {}
  fields |= dict(args.field)
  result = model.measure(
    args.model,
    size=args.size,
    objects=args.objects,
    batch=args.batch,
    dtype=args.dtype,
    frames=args.frames,
    compare=not args.no_plain,
    progress=_progress,
    **fields,
  )
  print(
    f"{args.model}, {args.size[0]}x{args.size[1]}, {args.objects} object(s), batch "
    f"{args.batch}, {args.dtype}, on {result['platform']} ({result['device']})"
  )
  for key, text, form in ROWS:
    if key in result:
      print(f"  {text:<22}{form.format(result[key]):>18}")
  return result


def _progress(text: str) -> None:
  print(f"measuring {text} ...", file=sys.stderr)


def _field(text: str) -> tuple[str, Any]:
  name, _, value = text.partition("=")
  try:
    return name, json.loads(value)
  except ValueError:
    return name, value  # a string without quotes
