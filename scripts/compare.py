"""The same as `jaxbq compare`: python scripts/compare.py --help."""

import sys

from jaxbq.cli import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
