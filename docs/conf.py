"""Sphinx configuration: `python -m sphinx docs build/docs` builds the site."""

import importlib.metadata
import re

project = "vosjax"
author = "The vosjax authors"
release = importlib.metadata.version("vosjax")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
default_role = "code"  # docstrings mark names with single backticks

myst_heading_anchors = 3
nb_execution_mode = "off"  # outputs are stored; a test executes the notebook

autodoc_member_order = "bysource"
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = "vosjax"
html_show_copyright = False
html_show_sphinx = False


def plain_text(app, what, name, obj, options, lines):
  """Escapes what docstrings, which are plain text, do not mean as markup."""
  text = "\n".join(lines)
  text = re.sub(r"(`[^`]*`)|([*|])", lambda m: m[1] or rf"\{m[2]}", text)
  lines[:] = re.sub(r"(?m)^Example:$", "Example::\n", text).splitlines()


def setup(app):
  app.connect("autodoc-process-docstring", plain_text, priority=100)  # before napoleon
