"""The same as `jaxbq invert`: python scripts/invert.py --help."""

import sys

from jaxbq.cli import main

if __name__ == "__main__":
    sys.exit(main(["invert", *sys.argv[1:]]))
