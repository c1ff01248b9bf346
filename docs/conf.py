"""Sphinx configuration: `python -m sphinx docs build/docs` builds the site."""

import re

import vosjax

project = "vosjax"
author = "The vosjax authors"
release = vosjax.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
default_role = "code"  # docstrings mark names with single backticks

myst_heading_anchors = 3
nb_execution_mode = "off"  # outputs are stored; a test executes the notebook
nb_merge_streams = True

autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88
napoleon_attr_annotations = False  # signatures show them
napoleon_custom_sections = [("Attributes", "params_style")]
napoleon_use_rtype = False

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_title = "vosjax"
html_show_copyright = False
html_show_sphinx = False


def plain_text(app, what, name, obj, options, lines):
  """Escapes what docstrings, which are plain text, do not mean as markup."""
  text = "\n".join(lines)
  text = re.sub(r"(`[^`]*`)|([*|])", lambda m: m[1] or rf"\{m[2]}", text)
  lines[:] = re.sub(r"(?m)^Example:$", "Example::\n", text).splitlines()


def skip_aliases(app, what, name, obj, skip, options):
  """Leaves out fields of named tuples, which their class explains."""
  return skip or str(getattr(obj, "__doc__", "")).startswith("Alias for field")


def short_annotations(app, what, name, obj, options, signature, returns):
  """Writes "JAX or NumPy array of this shape" once, as the code does."""

  def shorten(text):
    either = r"([\w.~]+\[)[\w.~]*\bArray(, '[^']*'\]) \| \1[\w.~]*ndarray\2"
    text = re.sub(either, r"\1AnyArray\2", text)
    return text.replace("jaxlib._jax.Array", "Array")

  return signature and shorten(signature), returns and shorten(returns)


def setup(app):
  app.connect("autodoc-process-signature", short_annotations)
  app.connect("autodoc-skip-member", skip_aliases)
  app.connect("autodoc-process-docstring", plain_text, priority=100)  # before napoleon
