"""Each model's recipe, by the model's name."""

from vosjax.train.recipe import Recipe
from vosjax.train.recipes import agame, ris, rsis, rvos

RECIPES: dict[str, Recipe] = {
    "agame": agame.RECIPE,
    "ris": ris.RECIPE,
    "rsis": rsis.RECIPE,
    "rvos": rvos.RECIPE,
}
