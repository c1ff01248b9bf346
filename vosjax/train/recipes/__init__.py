"""Each model's recipe, by the model's name."""

from vosjax.train.recipe import Recipe
from vosjax.train.recipes import agame, cosnet, ris, rsis, rvos

RECIPES: dict[str, Recipe] = {
    "agame": agame.RECIPE,
    "cosnet": cosnet.RECIPE,
    "ris": ris.RECIPE,
    "rsis": rsis.RECIPE,
    "rvos": rvos.RECIPE,
}
