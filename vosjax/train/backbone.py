"""Initial weights from a converted backbone."""

from collections.abc import Mapping

import flax.traverse_util

from vosjax import checkpoints
from vosjax.types import Variables

_REMEDY = (
  f"Give the folder that `vosjax convert {'|'.join(checkpoints.BACKBONES)} FILE.pth "
  "--out DIR` wrote"
)


def load_backbone(directory: checkpoints.Path, variables: Variables) -> dict:
  """Replaces the backbone among a model's variables by a converted one.

  Args:
    directory: a checkpoint of one of `checkpoints.BACKBONES`.
    variables: of a model; they are not changed.

  Returns:
    The variables with the backbone's parameters and batch statistics replaced.

  Raises:
    ValueError: the checkpoint holds no backbone, the model has no such part, or the two
      differ in depth or width; names the paths.
  """
  source, loaded = checkpoints.load(directory)
  title = checkpoints.title(directory)
  if type(source) not in checkpoints.BACKBONES.values():
    raise ValueError(f"{directory} holds {title}, which is not a backbone. {_REMEDY}.")
  path = _find(loaded["params"], variables["params"])
  if path is None:
    raise ValueError(
      f"{directory} holds {title}, but the model has no such part: its parameters "
      f"are {sorted(variables['params'])}. {_REMEDY} for a part that it has."
    )
  flat = flax.traverse_util.flatten_dict(variables)
  places = {(collection, *path): tree for collection, tree in loaded.items()}
  replaced = {key: x for key, x in flat.items() if key[: len(path) + 1] in places}
  incoming = {
    (*place, *key): x
    for place, tree in places.items()
    for key, x in flax.traverse_util.flatten_dict(tree).items()
  }
  checkpoints.require_equal_shapes(
    flax.traverse_util.unflatten_dict(incoming),
    flax.traverse_util.unflatten_dict(replaced),
    f"{directory} holds {title}, which does not fit the model's "
    f"{'/'.join(path)} (see model.fields)",
  )
  return flax.traverse_util.unflatten_dict(flat | incoming)


def _find(part: Variables, tree: Variables) -> tuple[str, ...] | None:
  """Path of the module whose children have the names of the part's children."""
  if part.keys() == tree.keys():
    return ()
  children = (item for item in tree.items() if isinstance(item[1], Mapping))
  paths = ((name, _find(part, child)) for name, child in children)
  return next(((name, *path) for name, path in paths if path is not None), None)
