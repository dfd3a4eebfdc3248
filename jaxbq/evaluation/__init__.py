"""Scores of returned images."""

from .scores import Scores as Scores
from .scores import correlation as correlation
from .scores import score as score
