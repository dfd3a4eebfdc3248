"""What an ascent is made of: its parts, its scene, rows under way, what is kept of those done."""

import abc
from typing import Any, ClassVar, NamedTuple

from jaxtyping import Array, Float, Int

from ...data import Reference
from ...data.grids import Grid, grid_of
from .constraints import Range


class Part(abc.ABC):
    """A choice of an ascent that is prepared once per network: what it needs of the data."""

    kind: str
    family: ClassVar[str]
    """What a message calls it."""
    needs_grid: ClassVar[bool] = False
    """Whether it works on rows and columns of pixels alone."""
    needs_images: ClassVar[bool] = False
    """Whether it is made from training images."""

    def check(self, reference: Reference) -> None:
        """Refuse to work without what it needs.

        Raises:
            JaxbqError: images have no grid, there are no training images, or it cannot give such
                images.
        """
        what = f"{self.family} {self.kind!r}"
        if self.needs_grid:
            grid_of(reference.space, what)
        if self.needs_images:
            reference.need_images(what)

    def prepare(self, reference: Reference, dtype: Any) -> Any:
        """Compute the arrays that it needs, as ``state``: by default none, or the grid."""
        return grid_of(reference.space, self.kind) if self.needs_grid else ()


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
