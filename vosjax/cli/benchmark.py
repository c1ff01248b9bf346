"""`vosjax benchmark`: the speed of a model, of metrics or of data on this machine."""

import argparse
import json
import pathlib
import re
import sys

from vosjax import files, models
from vosjax.benchmarks import metrics, model

EXAMPLE = """
examples:
  vosjax benchmark agame
  vosjax benchmark agame --size 480x864 --objects 5 --json agame5.json
  vosjax benchmark agame --dtype bfloat16 --batch 8       on a GPU or TPU
  vosjax benchmark rvos --size 256x448 --objects 10 --field one_shot=true
  vosjax benchmark cosnet --size 473x473 --field num_references=5
  vosjax benchmark metrics --size 480x854 --objects 2 --frames 20
  vosjax benchmark data --size 480x854

Weights are random, which changes no speed. The peak is that of a matrix product
measured in the same run; FLOP are those of the network's direct form. For metrics
the times are set beside those that the official toolkits state; for data the rate of
training clips beside that of decoding (and resizing) their pictures and nothing else.
"""

METRICS, DATA = "metrics", "data"

ROWS = (
  ("ms_per_frame", "time of a frame", "{:.1f} ms"),
  ("frames_per_second", "frames per second", "{:.2f}"),
  ("compile_seconds", "compilation", "{:.1f} s"),
  ("gflop_per_frame", "work of a frame", "{:.1f} GFLOP"),
  ("peak_gflop_per_second", "matrix product", "{:.0f} GFLOP/s"),
  ("fraction_of_peak", "fraction of that peak", "{:.2f}"),
  ("peak_memory_bytes", "memory, at most", "{:,} bytes"),
  ("plain_ms_per_frame", "plain form", "{:.1f} ms"),
  ("speedup_over_plain", "faster than plain", "{:.2f} x"),
  ("encode_ms", "encoder, by itself", "{:.1f} ms"),
  ("encode_ms_in_run", "encoder, in batches", "{:.1f} ms"),
  ("frames_at_once", "frames of a batch", "{}"),
)


def configure(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments of `vosjax benchmark`."""
  parser.epilog = EXAMPLE
  parser.add_argument(
    "model",
    choices=[*sorted(models.MODELS), METRICS, DATA],
    help="which network; metrics: J, F, T and the protocols (--size, --objects and "
    "--frames alone count then); data: clips to train on (--size alone)",
  )
  parser.add_argument(
    "--size",
    type=_size,
    default=(480, 864),
    metavar="HxW",
    help="rows x columns of the frames (default 480x864)",
  )
  parser.add_argument(
    "--objects",
    type=_count,
    default=1,
    metavar="N",
    help="objects in each video (default 1)",
  )
  parser.add_argument(
    "--batch", type=_count, default=1, metavar="N", help="videos at a time (default 1)"
  )
  parser.add_argument(
    "--dtype",
    choices=("float32", "bfloat16"),
    default="float32",
    help="number format of the convolutions (default float32)",
  )
  parser.add_argument(
    "--frames", type=_count, default=10, metavar="N", help="frames to time (default 10)"
  )
  parser.add_argument(
    "--backbone", metavar="NAME", help="in place of the published one, e.g. resnet18"
  )
  parser.add_argument(
    "--field",
    type=_field,
    action="append",
    default=[],
    metavar="NAME=VALUE",
    help="a field of the model, as in JSON, e.g. one_shot=true; may come again",
  )
  parser.add_argument(
    "--no-plain",
    action="store_true",
    help="do not compare with the network as it is written down",
  )
  parser.add_argument(
    "--json",
    type=pathlib.Path,
    metavar="FILE",
    help="also write the figures to this file",
  )


def run(args: argparse.Namespace) -> None:
  """Measures, prints a table and writes the figures if asked.

  Raises:
    ValueError: the folder of `--json` does not exist.
  """
  if args.json and not args.json.parent.is_dir():
    raise ValueError(f"--json {args.json}: there is no folder {args.json.parent}.")
  measured = {METRICS: _metrics, DATA: _data}.get(args.model, _model)(args)
  if args.json:
    text = json.dumps(measured, indent=2) + "\n"
    files.write_bytes(args.json, text.encode())


def _metrics(args):
  result = metrics.measure(
    size=args.size, objects=args.objects, frames=args.frames, progress=_tell
  )
  print(metrics.table(result))
  return result


def _data(args):
  from vosjax.benchmarks import data  # loads grain

  _tell("clips, decoding and resizing")
  result = data.measure(args.size)
  print(data.table(result))
  return result


def _model(args):
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
    progress=_tell,
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


def _tell(text):
  print(f"measuring {text} ...", file=sys.stderr)


def _size(text):
  match = re.fullmatch(r"(\d+)x(\d+)", text)
  if not match or min(map(int, match.groups())) < 16:
    raise argparse.ArgumentTypeError(
      f"{text!r} is no size; expected ROWSxCOLUMNS of at least 16, such as 480x864"
    )
  return tuple(map(int, match.groups()))


def _field(text):
  name, _, value = text.partition("=")
  try:
    return name, json.loads(value)
  except ValueError:
    return name, value  # names need no quotes


def _count(text):
  if not text.isdigit() or int(text) < 1:
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
  return int(text)
