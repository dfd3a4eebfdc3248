"""The same as `jaxbq trace`: python scripts/trace.py --help."""

import sys

from jaxbq.cli import main

if __name__ == "__main__":
    sys.exit(main(["trace", *sys.argv[1:]]))
