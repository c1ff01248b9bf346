"""Training that starts from the weights of a backbone."""

from collections.abc import Mapping

import flax.core
import flax.traverse_util

from vosjax import checkpoints
from vosjax.types import Variables

_GIVE = (
  f"Give what `vosjax convert {'|'.join(checkpoints.BACKBONES)} FILE.pth --out DIR` "
  "wrote"
)


def load_backbone(directory: checkpoints.Path, variables: Variables) -> dict:
  """Puts a converted backbone into a model's variables, where it has such a part.

  Args:
    directory: a checkpoint of one of `checkpoints.BACKBONES`.
    variables: of a model; they are not changed.

  Returns:
    The variables with the backbone's parameters and batch statistics replaced.

  Raises:
    ValueError: the checkpoint is of no backbone, the model has no such part, or their
      variables differ, in depth or width; the paths are named.
  """
  source, loaded = checkpoints.load(directory)
  title = checkpoints.title(directory)
  if type(source) not in checkpoints.BACKBONES.values():
    raise ValueError(f"{directory} holds {title}, which is no backbone. {_GIVE}.")
  path = _find(loaded["params"], variables["params"])
  if path is None:
    raise ValueError(
      f"{directory} holds {title}, but no part of the model is one: its parameters "
      f"are {sorted(variables['params'])}. {_GIVE} for a part that it has."
    )
  flat = flax.traverse_util.flatten_dict(flax.core.unfreeze(variables))
  places = {(collection, *path): tree for collection, tree in loaded.items()}
  own = {key: x for key, x in flat.items() if key[: len(path) + 1] in places}
  incoming = {
    (*place, *key): x
    for place, tree in places.items()
    for key, x in flax.traverse_util.flatten_dict(tree).items()
  }
  checkpoints.require_equal_shapes(
    *map(flax.traverse_util.unflatten_dict, (incoming, own)),
    f"{directory} holds {title}, which does not fit the model's "
    f"{'/'.join(path)} (model.fields say what that is)",
  )
  return flax.traverse_util.unflatten_dict(flat | incoming)


def _find(part: Variables, tree: Variables) -> tuple[str, ...] | None:
  """Path of the module of a model that has the children of a part."""
  if part.keys() == tree.keys():
    return ()
  children = (item for item in tree.items() if isinstance(item[1], Mapping))
  paths = ((name, _find(part, child)) for name, child in children)
  return next(((name, *path) for name, path in paths if path is not None), None)
