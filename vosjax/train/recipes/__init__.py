"""Each model's recipe, by the model's name."""

from vosjax.train.recipe import Recipe
from vosjax.train.recipes import agame

RECIPES: dict[str, Recipe] = {"agame": agame.RECIPE}
