"""Batched numerical solvers, compiled; nothing here knows of networks or digits."""

from .box_least_squares import BoxLeastSquares as BoxLeastSquares
from .box_least_squares import box_least_squares as box_least_squares
