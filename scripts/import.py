"""The same as `jaxbq import`: python scripts/import.py --help."""

import sys

from jaxbq.cli import main

if __name__ == "__main__":
    sys.exit(main(["import", *sys.argv[1:]]))
