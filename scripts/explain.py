"""The same as `jaxbq explain`: python scripts/explain.py --help."""

import sys

from jaxbq.cli import main

if __name__ == "__main__":
    sys.exit(main(["explain", *sys.argv[1:]]))
