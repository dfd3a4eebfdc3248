"""When an ascent is done with an image."""

from typing import Annotated

from annotated_types import Ge, Le

from ..options import options


@options
class StopRule:
    """Per image: stop at the target, or when the objective no longer improves.

    Args:
        tolerance: an objective that aims at the target vector has reached it when no output
            differs from it by more than this; 0 for never.
        patience: stop after so many steps without an improvement; 0 for never.
        improvement: a smaller gain of the objective does not count as one.
    """

    tolerance: Annotated[float, Ge(0)] = 1e-3
    patience: Annotated[int, Ge(0), Le(10**7)] = 0
    improvement: Annotated[float, Ge(0)] = 1e-6
