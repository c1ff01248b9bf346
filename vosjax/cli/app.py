"""`vosjax app`: serves a page on this machine and opens it in the browser."""

import argparse
import contextlib
import hashlib
import html
import importlib.util
import ipaddress
import os
import pathlib
import socket
import sys
import webbrowser
from collections.abc import Iterator, Sequence

import jax

from vosjax import files, weights
from vosjax.cli import program_cache
from vosjax.cli.segment import DEFAULT_MODEL, load_segmenter

EXAMPLE = """
examples:
  vosjax app holiday.mp4
  vosjax app ~/videos --projects ~/projects
  vosjax app --checkpoint runs/mine/model

Paint an object in any frame, let it be followed, correct it where it is wrong, and
export the masks. The page is served on this machine alone, and only the videos and
folders that are named here can be opened (the current folder if none is named); other
videos can be dropped on the page. The address that is printed holds a secret token.

Everything is saved at once in a folder for each video below --projects, as plain files.
"""

DEFAULT_PORT = 8765
_PORTS_TRIED = 20
DEFAULT_PROJECTS = "vosjax-projects"
_REDIRECT = "open.html"  # in the folder of the projects
_GIGABYTE = 10**9


def configure(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments of `vosjax app`."""
  parser.epilog = EXAMPLE
  path = pathlib.Path
  parser.add_argument(
    "video",
    type=path,
    nargs="*",
    metavar="VIDEO_OR_FOLDER",
    help="a video to open at once, or folders whose videos can be opened",
  )
  parser.add_argument(
    "--projects",
    type=path,
    default=path(DEFAULT_PROJECTS),
    metavar="DIR",
    help=f"folder of the projects (default: {DEFAULT_PROJECTS})",
  )
  parser.add_argument(
    "--checkpoint",
    type=path,
    metavar="DIR",
    help="a model that follows objects (default: the weights that come with vosjax)",
  )
  parser.add_argument(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    help="where to listen; others than this machine's own need --token (default: "
    "127.0.0.1)",
  )
  parser.add_argument(
    "--port",
    type=int,
    metavar="N",
    help=f"port (default: the first free one from {DEFAULT_PORT} on)",
  )
  parser.add_argument(
    "--token", metavar="TEXT", help="secret in the address (default: a new one)"
  )
  parser.add_argument(
    "--upload-limit",
    type=float,
    default=4.0,
    metavar="GB",
    help="largest video that can be dropped on the page (default: 4)",
  )
  parser.add_argument(
    "--allow-damaged",
    action="store_true",
    help="check every video when it is opened, and leave damaged frames out",
  )
  parser.add_argument(
    "--no-browser", action="store_true", help="only print the address"
  )


def run(args: argparse.Namespace) -> None:
  """Serves the page until it is interrupted.

  Raises:
    ValueError: an argument is unusable, a library is missing, or another server has
      the projects.
    OSError: the port is taken, or a folder cannot be written.
  """
  _check_arguments(args)
  for path in args.video:
    if not path.exists():
      raise ValueError(f"{path}: no such video file or folder.")
  _check_names([args.projects, *(args.video or [pathlib.Path.cwd()])])
  # Another server would delete the uploads of this one and overwrite its results.
  argument = f"--projects {args.projects}"
  with (
    files.claimed(args.projects, argument),
    _listen(args.host, args.port) as listener,
  ):
    _serve(args, listener)


def _serve(args: argparse.Namespace, listener: socket.socket) -> None:
  """Loads the model and serves the page on a socket."""
  checkpoint = args.checkpoint or weights.locate(weights.DEFAULTS[DEFAULT_MODEL])
  program_cache.enable()
  segmenter, name = load_segmenter(checkpoint, None)
  if not segmenter.one_shot:
    raise ValueError(
      f"--checkpoint {checkpoint}: holds {name}, which finds objects by itself. The "
      "page follows painted objects: give a checkpoint of agame, or leave it out."
    )
  from vosjax.app import serving  # needs the extra

  about = {
    "model": checkpoint.stem if args.checkpoint is None else str(checkpoint),
    "device": jax.devices()[0].device_kind,
  }
  settings = serving.Settings(
    roots=args.video or [pathlib.Path.cwd()],
    projects=args.projects,
    segmenter=segmenter,
    model=_digest(checkpoint),
    about=about,
    token=args.token,
    public=not _is_loopback(args.host),
    upload_limit=round(args.upload_limit * _GIGABYTE),
    allow_damaged=args.allow_damaged,
  )
  with contextlib.ExitStack() as stack:

    def announce(address: str) -> None:
      print(f"Open {address}\nStop with Ctrl-C.", flush=True)
      if not args.no_browser:
        webbrowser.open(stack.enter_context(_redirect(args.projects, address)))

    serving.serve(listener, settings, announce)


def _check_arguments(args: argparse.Namespace) -> None:
  missing = [
    name
    for name in ("starlette", "uvicorn", "websockets", "cv2", "av")
    if importlib.util.find_spec(name) is None
  ]
  if missing:
    raise ValueError(
      f'the page needs {", ".join(missing)}. Run `pip install "vosjax[app]"`.'
    )
  if not _is_loopback(args.host):
    if args.token is None:
      raise ValueError(
        f"--host {args.host} lets other machines reach the page: choose a secret and "
        "give --token, or leave --host out and forward the port with ssh."
      )
    print(
      f"warning: everybody who can reach {args.host} and knows the token can open and "
      "change the projects; the connection is not encrypted.",
      file=sys.stderr,
    )
  if args.token is not None and len(args.token) < 8:
    raise ValueError("--token is shorter than 8 characters; choose a longer one.")
  if args.token is not None and not (args.token.isascii() and args.token.isprintable()):
    raise ValueError(
      f"--token is {args.token!r}; use only ASCII letters, digits and signs, which "
      "every browser sends alike."
    )
  if args.upload_limit <= 0:
    raise ValueError(f"--upload-limit is {args.upload_limit}; expected more than 0.")


def _check_names(paths: Sequence[pathlib.Path]) -> None:
  """Requires names that the page can show."""
  from vosjax.app import videos  # needs the extra

  for path in paths:
    videos.require_unicode(path.resolve())


def _is_loopback(host: str) -> bool:
  try:
    return ipaddress.ip_address(host).is_loopback
  except ValueError:
    return host == "localhost"


def _listen(host: str, port: int | None) -> socket.socket:
  """A socket that listens on the port, or on the first free one.

  It listens at once: ports that are only bound can be had twice.

  Raises:
    ValueError: the address is not this machine's, or the port is taken.
  """
  family = socket.AF_INET6 if ":" in host else socket.AF_INET
  first = DEFAULT_PORT if port is None else port
  wanted = range(first, first + (_PORTS_TRIED if port is None else 1))
  for number in wanted:
    listener = socket.socket(family)
    if os.name == "posix":  # elsewhere, it lets another process take the port over
      listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
      listener.bind((host, number))
      listener.listen(128)
      return listener
    except (OSError, OverflowError) as error:
      listener.close()
      reason = error
  raise ValueError(
    f"--host {host}, port {wanted[0]}: cannot be used ({reason}). Give another --port."
  )


def _digest(checkpoint: pathlib.Path) -> str:
  """Identifies weights: results of others are not mixed with theirs."""
  digest = hashlib.sha1()
  inside = sorted(checkpoint.rglob("*")) if checkpoint.is_dir() else [checkpoint]
  for file in inside:
    if file.is_file():
      digest.update(file.relative_to(checkpoint.parent).as_posix().encode())
      digest.update(file.read_bytes())
  return digest.hexdigest()


@contextlib.contextmanager
def _redirect(folder: pathlib.Path, address: str) -> Iterator[str]:
  """Yields the address of a file that leads a browser to the page.

  Everybody on this machine can read the arguments of the browser's process, but not
  this file, and the address holds the token.
  """
  path = folder.resolve() / _REDIRECT
  path.unlink(missing_ok=True)  # of a server that was killed
  descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
  try:
    with open(descriptor, "w", encoding="utf-8") as file:
      target = html.escape(address)
      file.write(f'<meta http-equiv="refresh" content="0; url={target}">\n')
    yield path.as_uri()
  finally:
    path.unlink(missing_ok=True)
