"""Do what a config says, as `jaxbq run` does, from a checkout that is not installed.

python scripts/run.py configs/quickstart.toml
python scripts/run.py --help
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from jaxbq.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
