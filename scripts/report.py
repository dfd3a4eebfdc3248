"""The same as `jaxbq report`: python scripts/report.py --help."""

import sys

from jaxbq.cli import main

if __name__ == "__main__":
    sys.exit(main(["report", *sys.argv[1:]]))
