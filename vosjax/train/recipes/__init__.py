"""The training recipe of each model, by the model's name."""

from ml_collections import ConfigDict

from vosjax.train.recipe import Recipe
from vosjax.train.recipes import agame, cosnet, ris, rsis, rvos

RECIPES: dict[str, Recipe] = {
  "agame": agame.RECIPE,
  "cosnet": cosnet.RECIPE,
  "ris": ris.RECIPE,
  "rsis": rsis.RECIPE,
  "rvos": rvos.RECIPE,
}


def recipe_of(config: ConfigDict) -> Recipe:
  """The configured model's recipe.

  Raises:
    ValueError: there is no such model; lists the known ones.
  """
  if config.model.name not in RECIPES:
    raise ValueError(
      f"model.name is {config.model.name!r}; recipes are known for {sorted(RECIPES)}."
    )
  return RECIPES[config.model.name]
