"""The site builds without a warning, its links lead somewhere, its notebook runs."""

import html.parser
import inspect
import os
import pathlib
import subprocess
import sys
import urllib.parse

import nbformat
import pytest
from nbclient import NotebookClient

import vosjax

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


class Page(html.parser.HTMLParser):
  """Links and anchors of a page."""

  def __init__(self, path):
    super().__init__()
    self.links, self.anchors = set(), set()
    self.feed(path.read_text())

  def handle_starttag(self, tag, attrs):
    attrs = dict(attrs)
    self.anchors.add(attrs.get("id"))
    self.links.add(attrs.get("href") or attrs.get("src"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
  """Folder of the built site, and its pages by path."""
  out = tmp_path_factory.mktemp("site")
  command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", DOCS, out]
  environment = os.environ | {"PYTHONPATH": str(ROOT)}
  done = subprocess.run(command, env=environment, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  return out, {path: Page(path) for path in sorted(out.rglob("*.html"))}


def test_local_links_lead_to_files_and_anchors(site):
  _, pages = site
  broken, checked = [], 0
  for path, page in pages.items():
    for link in filter(None, page.links):
      url = urllib.parse.urlsplit(link)
      if url.scheme or url.netloc:
        continue
      target = (path.parent / urllib.parse.unquote(url.path)).resolve()
      target = target if url.path else path
      checked += 1
      missing_anchor = (
        url.fragment and target in pages and url.fragment not in pages[target].anchors
      )
      if not target.exists() or missing_anchor:
        broken.append(f"{path.name}: {link}")
  assert checked > 100
  assert not broken


def test_every_public_name_is_in_the_api_reference(site):
  out, pages = site
  reference = {path: page for path, page in pages.items() if path.parent.name == "api"}
  anchors = set().union(*(page.anchors for page in reference.values()))
  names = {
    f"module-vosjax.{name}" if inspect.ismodule(value) else f"vosjax.{name}"
    for name in vosjax.__all__
    for value in [getattr(vosjax, name)]
  }
  for module in (vosjax.losses, vosjax.metrics, vosjax.models):
    public = [name for name in module.__all__ if callable(getattr(module, name))]
    names |= {f"{module.__name__}.{name}" for name in public}
  assert not names - anchors


def test_every_page_is_in_the_table_of_contents():
  text = "".join(path.read_text() for path in DOCS.rglob("index.md"))
  for page in DOCS.rglob("*.md"):
    assert page.stem == "index" or f"\n{page.stem}\n" in text, page


def test_the_notebook_runs_and_stores_its_outputs():
  notebook = nbformat.read(DOCS / "quickstart.ipynb", as_version=4)
  stored = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
  assert sum(bool(outputs) for outputs in stored) >= 5
  NotebookClient(
    notebook, timeout=600, resources={"metadata": {"path": str(ROOT)}}
  ).execute()
  last = notebook.cells[-2].outputs[0].text.splitlines()
  ours, copied = (float(line.partition(" J ")[2].split()[0]) for line in last)
  assert ours > copied
