"""Scores of returned images."""

from .correlation import correlation as correlation
from .judge import Judge as Judge
from .naturalness import Naturalness as Naturalness
from .naturalness import NaturalnessScale as NaturalnessScale
from .scores import Scores as Scores
from .scores import intended_classes as intended_classes
from .scores import read_as_asked as read_as_asked
from .scores import score as score
from .spread import Spread as Spread
from .spread import spread as spread
