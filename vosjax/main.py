"""`python -m vosjax.main ...` is `vosjax train ...`."""

import sys

from vosjax import __main__ as command_line

if __name__ == "__main__":
  sys.exit(command_line.main(["train", *sys.argv[1:]]))
