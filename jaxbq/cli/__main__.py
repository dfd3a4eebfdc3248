"""``python -m jaxbq.cli``."""

import sys

from . import main

sys.exit(main())
