"""The same as `jaxbq run`: python scripts/run.py --help."""

import sys

from jaxbq.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
