"""`vosjax convert`: official PyTorch checkpoints as checkpoints of ours."""

import argparse
import pathlib
from collections.abc import Sequence

import jax
import numpy as np

from vosjax import checkpoints, convert

EXAMPLE = """
examples:
  vosjax convert resnet resnet101-63fe2227.pth --out weights/resnet101
  vosjax convert deeplab deeplab_davis_12_0.pth --out weights/deeplab
  vosjax convert agame rn101_alpha_beta.pth.tar --out weights/agame
  vosjax segment holiday.mp4 --mask first.png --checkpoint weights/agame --out result

Both formats of PyTorch are read, without PyTorch, and nothing that a file says is run.
A ResNet (18, 34, 50, 101 or 152, told by its names) is a backbone to start training
from: `--config.backbone_checkpoint=weights/resnet101`. So is the DeepLabv3 that the
released COSNet was trained from, ASPP and saliency classifier included, and
torchvision's VGG-16 (vgg16-397923af.pth), from which RIS has its features of people.
"""

# Models whose official weights come in several files, in the order of the arguments.
PARTS = {"rsis": ("encoder", "decoder"), "rvos": ("encoder", "decoder")}


def configure(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments of `vosjax convert`."""
  parser.epilog = EXAMPLE
  parser.add_argument(
    "model",
    choices=sorted(convert.TABLES),
    help="whose weights they are; deeplab, resnet, vgg: of a backbone",
  )
  parser.add_argument(
    "files",
    type=pathlib.Path,
    nargs="+",
    metavar="FILE.pth",
    help="official file; where there are two, encoder first",
  )
  parser.add_argument(
    "--out",
    type=pathlib.Path,
    required=True,
    metavar="DIR",
    help="folder to make; it must not exist",
  )


def run(args: argparse.Namespace) -> None:
  """Converts a checkpoint; a fault leaves nothing behind.

  Raises:
    ValueError: a file is no checkpoint of that model, or `--out` exists.
    OSError: a file cannot be read or written.
  """
  if args.out.exists():
    raise ValueError(f"--out {args.out} exists; name a new folder.")
  state_dict = read(args.model, args.files)
  try:
    fields = convert.find_fields(args.model, state_dict)
    variables = convert.convert(args.model, state_dict, **fields)
  except ValueError as error:
    raise ValueError(f"{', '.join(map(str, args.files))}: {error}") from error
  checkpoints.save(args.out, args.model, fields, variables)
  count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
  title = checkpoints.describe(args.model, fields)
  print(f"{args.out}: {title}, {count:,} parameters.")


def read(model: str, files: Sequence[pathlib.Path]) -> dict[str, np.ndarray]:
  """The tensors of all files in one dict, those of parts under their prefixes.

  Raises:
    ValueError: the model comes in another number of files, or one is no checkpoint.
  """
  parts = PARTS.get(model, ("",))
  if len(files) != len(parts):
    wanted = "two files, the encoder's and the decoder's" if parts[0] else "one file"
    raise ValueError(f"{model} comes in {wanted}; {len(files)} given.")
  state_dict = {}
  for part, file in zip(parts, files):
    tensors = convert.strip_data_parallel(convert.read_torch(file))
    prefix = f"{part}." if part else ""
    state_dict |= {f"{prefix}{name}": tensor for name, tensor in tensors.items()}
  return state_dict
