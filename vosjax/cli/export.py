"""`vosjax export`: writes a model as programs that run without vosjax."""

import argparse
import pathlib

from vosjax import checkpoints, weights
from vosjax.cli import arguments
from vosjax.export.write import PLATFORMS, RUNNER, write
from vosjax.models import with_execution

EXAMPLE = f"""
examples:
  vosjax export agame-lite --size 480x854 --objects 4 --out exported
  vosjax export runs/mine/model --size 240x432 --objects 1 --platforms cpu --out small
  python exported/{RUNNER} frames.npy --labels first.npy --out labels.npy

The folder holds StableHLO programs for the first frame (begin), for every further one
(step) and, for one-shot models, for objects to correct (correct) and those that appear
later (add, not of RVOS); the weights; manifest.json, which lists inputs, outputs and
the arrays of the state; and {RUNNER}, which runs all this without vosjax. All frames
have this size.
"""


def configure(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments of `vosjax export`."""
  parser.epilog = EXAMPLE
  parser.add_argument(
    "checkpoint",
    metavar="CHECKPOINT",
    help=f"folder of a model, or the name of weights in the package "
    f"({', '.join(weights.names())})",
  )
  parser.add_argument(
    "--size",
    type=arguments.size,
    required=True,
    metavar="HxW",
    help="height x width of the frames",
  )
  parser.add_argument(
    "--objects",
    type=arguments.count,
    default=1,
    metavar="N",
    help="slots of objects (default 1; at least as many as the model decodes anyway)",
  )
  parser.add_argument(
    "--platforms",
    default="cpu,cuda,tpu",
    metavar="NAMES",
    help=f"where the programs can run: some of {','.join(PLATFORMS)} (default "
    "cpu,cuda,tpu); `cpu` alone gives the fastest programs for CPUs",
  )
  arguments.add_dtype(parser)
  parser.add_argument(
    "--weights-inside",
    action="store_true",
    help="make the weights constants of each program, without a file of their own",
  )
  parser.add_argument(
    "--out", type=pathlib.Path, required=True, metavar="DIR", help="folder to write"
  )


def run(args: argparse.Namespace) -> None:
  """Exports a model and prints what was written.

  Raises:
    ValueError: the checkpoint or an argument is unusable.
    OSError: a file cannot be read or written.
  """
  import flatbuffers  # noqa: F401  what JAX serialises programs with

  path = weights.locate(args.checkpoint)
  model, variables = weights.load(args.checkpoint)
  model = with_execution(model, dtype=args.dtype)
  manifest = write(
    args.out,
    args.checkpoint if path.suffix else checkpoints.title(path),
    model,
    variables,
    size=args.size,
    objects=args.objects,
    platforms=[name.strip() for name in args.platforms.split(",")],
    weights_inside=args.weights_inside,
  )
  for file in sorted(args.out.iterdir()):
    print(f"{file}  {file.stat().st_size:,} bytes")
  names, platforms = (", ".join(manifest[key]) for key in ("programs", "platforms"))
  rows, columns = args.size
  slots = manifest["objects"]
  print(f"{names} for frames of {rows}x{columns} and {slots} slot(s), on {platforms}")
