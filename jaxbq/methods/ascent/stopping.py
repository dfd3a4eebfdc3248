"""When an ascent is done with an image."""

from typing import Annotated

from annotated_types import Ge, Gt, Le

from ...options import options


@options
class StopRule:
    """Per image: stop at the target, at a stationary point, or when nothing more is gained.

    Args:
        tolerance: an objective that aims at the target vector has reached it when no output
            differs from it by more than this; 0 for never. By default 1e-3 when the target is all
            that counts, and never under regularisers, whose best image lies elsewhere.
        gradient: stationary when no entry of the projected gradient ‖Π(u + ∇) − u‖∞ is larger,
            the first-order optimality condition of the box; by default never.
        patience: stalled after so many steps without an improvement; 0 for never.
        improvement: a smaller gain over ``patience`` steps does not count as one.
    """

    tolerance: Annotated[float, Ge(0)] | None = None
    gradient: Annotated[float, Gt(0)] | None = None
    patience: Annotated[int, Ge(0), Le(10**7)] = 0
    improvement: Annotated[float, Ge(0)] = 1e-6
