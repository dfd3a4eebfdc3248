"""What an ascent moves and what it climbs: objectives, starts, stop rules."""

from .objectives import Logit as Logit
from .objectives import LogProb as LogProb
from .objectives import Objective as Objective
from .objectives import Target as Target
from .starts import StartName as StartName
from .starts import spread_starts as spread_starts
from .starts import start_image as start_image
from .stopping import StopRule as StopRule
