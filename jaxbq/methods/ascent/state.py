"""What an ascent is made of: its scene, the rows under way, and what is kept of those done."""

from typing import Any, NamedTuple

from jaxtyping import Array, Float, Int

from ...data.grids import Grid
from .constraints import Range


class Scene(NamedTuple):
    """What depends on the network and the training images alone.

    Args:
        params: the network's, made ready for input gradients.
        starts: images that restarts begin from, shape (m, pixels); relaxed ones are one an output.
        span: the ends of the pixel range.
        parameterisation: its state.
        regularisers: their states.
        operators: their states.
        grid: rows and columns of pixels, for transforms; None without any.
        first: number of the first restart.
    """

    params: Any
    starts: Float[Array, "m pixels"]
    span: Range
    parameterisation: Any
    regularisers: tuple[Any, ...]
    operators: tuple[Any, ...]
    grid: Grid | None
    first: Int[Array, ""] | int = 0


class Lanes(NamedTuple):
    """Rows under way.

    Those that are done go on moving while the others do, but nothing of them is recorded any more:
    the best image is kept apart from the moving one.
    """

    row: Int[Array, " lanes"]
    wanted: Float[Array, "lanes outputs"]
    u: Array
    optimiser: Any
    start: Float[Array, "lanes pixels"]
    best: Float[Array, "lanes pixels"]
    best_value: Float[Array, " lanes"]
    value: Float[Array, " lanes"]
    curve: Float[Array, "lanes points"]
    path: Float[Array, "lanes moments pixels"]
    reason: Int[Array, " lanes"]
    taken: Int[Array, " lanes"]
    mark: Float[Array, " lanes"]
    waited: Int[Array, " lanes"]


class Record(NamedTuple):
    """What is kept of every row."""

    best: Float[Array, "rows pixels"]
    best_value: Float[Array, " rows"]
    value: Float[Array, " rows"]
    curve: Float[Array, "rows points"]
    path: Float[Array, "rows moments pixels"]
    reason: Int[Array, " rows"]
    taken: Int[Array, " rows"]


class Climb(NamedTuple):
    """An ascent under way.

    Args:
        lanes: the rows that are worked on.
        record: the rows that are done; None where every row has a lane of its own.
        following: the first row that still waits.
        turns: of the loop so far.
        key: random key of starts and transforms.
    """

    lanes: Lanes
    record: Record | None
    following: Int[Array, ""]
    turns: Int[Array, ""]
    key: Array
