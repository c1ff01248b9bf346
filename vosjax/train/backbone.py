"""Initial weights from a converted backbone."""

from collections.abc import Mapping

import flax.traverse_util

from vosjax import checkpoints, weights
from vosjax.types import Variables

_REMEDY = (
  f"Give the folder that `vosjax convert {'|'.join(checkpoints.BACKBONES)} FILE.pth "
  "--out DIR` wrote"
)


def load_backbone(directory: checkpoints.Path, shapes: Variables) -> Variables:
  """Reads a converted backbone and finds the place of its variables in a model.

  Args:
    directory: a checkpoint of one of `checkpoints.BACKBONES`, or the name of weights in
      the package, whose backbone is taken.
    shapes: the model's variables, or their shapes.

  Returns:
    The backbone's parameters and batch statistics at their paths in the model, and
    nothing else.

  Raises:
    ValueError: the checkpoint holds no backbone, the model has no such part, or the two
      differ in depth or width; names the paths.
  """
  title, loaded = _read(directory)
  path = _find(loaded["params"], shapes["params"])
  if path is None:
    raise ValueError(
      f"{directory} holds {title}, but the model has no such part: its parameters "
      f"are {sorted(shapes['params'])}. {_REMEDY} for a part that it has."
    )
  backbone = {
    (collection, *path, *key): value
    for collection, tree in loaded.items()
    for key, value in flax.traverse_util.flatten_dict(tree).items()
  }
  prefixes = {(collection, *path) for collection in loaded}
  replaced = {
    key: value
    for key, value in flax.traverse_util.flatten_dict(shapes).items()
    if key[: len(path) + 1] in prefixes
  }
  checkpoints.require_equal_shapes(
    flax.traverse_util.unflatten_dict(backbone),
    flax.traverse_util.unflatten_dict(replaced),
    f"{directory} holds {title}, which does not fit the model's "
    f"{'/'.join(path)} (see model.fields)",
  )
  return flax.traverse_util.unflatten_dict(backbone)


def _read(directory: checkpoints.Path) -> tuple[str, Variables]:
  """What a backbone is, and its variables."""
  if str(directory) in weights.names():
    _, loaded = weights.load(directory)
    found = {
      name: tree["backbone"] for name, tree in loaded.items() if "backbone" in tree
    }
    return "the backbone of a whole model", found
  source, loaded = checkpoints.load(directory)
  title = checkpoints.title(directory)
  if type(source) not in checkpoints.BACKBONES.values():
    raise ValueError(f"{directory} holds {title}, which is not a backbone. {_REMEDY}.")
  return title, loaded


def replace(variables: Variables, part: Variables) -> Variables:
  """The variables with those of a part, as `load_backbone` returns it, replaced."""
  flat = flax.traverse_util.flatten_dict(variables)
  return flax.traverse_util.unflatten_dict(flat | flax.traverse_util.flatten_dict(part))


def _find(part: Variables, tree: Variables) -> tuple[str, ...] | None:
  """Path of the module whose children have the names of the part's children."""
  if part.keys() == tree.keys():
    return ()
  children = (item for item in tree.items() if isinstance(item[1], Mapping))
  paths = ((name, _find(part, child)) for name, child in children)
  return next(((name, *path) for name, path in paths if path is not None), None)
