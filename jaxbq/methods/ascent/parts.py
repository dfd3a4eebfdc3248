"""What parameterisations, regularisers and operators have in common: what they need of the data."""

import abc
from typing import Any, ClassVar

from ...data import Reference
from ...data.grids import grid_of


class Part(abc.ABC):
    """A choice of an ascent that is prepared once per network."""

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
