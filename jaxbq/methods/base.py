"""The interface of every inversion method.

A method is an options class with two phases. `prepare` does once per network what depends on the
network alone; `invert` is pure and compiled, over a batch of targets. A method never scores itself:
the driver re-queries the images that it returns.
"""

import abc
import enum
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..data import Reference
from ..errors import JaxbqError
from ..network.mlp import MLP, Network
from ..network.targets import check_targets

ALL_STEPS = 2**31 - 1
FEW_IMAGES = 20
"""So many are computed in less time than it takes to optimise the program that does it."""

Targets = Float[Array, "n outputs"]
"""Wanted outputs, one target a row."""


class Reason(enum.IntEnum):
    """Why a method was done with an image."""

    RUNNING = -1
    """Not done yet; never in a result."""
    COMPUTED = 0
    """A closed form, nothing to iterate."""
    REACHED = 1
    """The target, within tolerance."""
    STATIONARY = 2
    """A stationary point of the objective in the box: the projected gradient vanishes."""
    MAX_ITERATIONS = 3
    """The allowed number of iterations."""
    DIVERGED = 4
    """Numbers overflowed; the image is the best one before that."""
    CONSTANT = 5
    """A vector with all values equal had to be rescaled; the image is meaningless."""
    STALLED = 6
    """No further gain; of products rounded to TF32, none that float32 confirms."""
    FLAT = 7
    """The objective has no gradient where the image starts, so there is no way up: of a unit that
    no image near the start excites, say. The image is the start."""


class Inversion(NamedTuple):
    """What a method returns; all per image, never batch means.

    Args:
        images: in the pixel range; the samples of a target best first, by the method's own
            criterion.
        reasons: a :class:`Reason` for every image.
        iterations: how many each image took.
        diagnostics: further numbers by name, each of shape (targets, samples, …).
    """

    images: Float[Array, "targets samples pixels"]
    reasons: Int[Array, "targets samples"]
    iterations: Int[Array, "targets samples"]
    diagnostics: dict[str, Array]

    @classmethod
    def computed(cls, images: Array, **diagnostics: Array) -> "Inversion":
        """Put together what was computed at once."""
        done = jnp.full(images.shape[:2], int(Reason.COMPUTED), jnp.int32)
        return cls(images, done, jnp.zeros_like(done), diagnostics)


def check_asked(model: Network, targets: np.ndarray, *, closed: bool = False) -> None:
    """Check targets against any network, of which an MLP says how many outputs it has."""
    outputs = model.sizes[-1] if isinstance(model, MLP) else None
    check_targets(targets, model.output, outputs, closed=closed)


class NeedsMLPError(JaxbqError):
    """The method goes through layers or differentiates twice, which this network does not allow."""


class Method(abc.ABC):
    """A way from targets to images; subclasses are `options` classes with a field ``kind``."""

    @property
    def spreads(self) -> bool:
        """Whether it has work for several devices, and shares it out when there are."""
        return False

    @property
    def independent_samples(self) -> int:
        """How many samples of a target are found each by itself; 1 where none can be left out."""
        return 1

    def part(self, samples: range) -> "Method":
        """Return the options that find these of the independent samples alone.

        They need a state that knows which they are, see :meth:`skip`.
        """
        return self

    def skip(self, state: Any, samples: int) -> Any:
        """Let a prepared state begin after so many samples of every target."""
        return state

    def rank(self, reasons: Any, diagnostics: Mapping[str, Any]) -> Any:
        """Return the numbers by which the samples of a target are ordered, the least first.

        Args:
            reasons: of images, shape (targets, samples).
            diagnostics: as :class:`Inversion` has them.
        """
        return reasons * 0

    def confirmed(self, reasons: np.ndarray, outputs: np.ndarray, targets: np.ndarray) -> Any:
        """Correct the reasons of images found with rounded products by the network's answers.

        Args:
            reasons: of images, shape (targets, samples).
            outputs: the network's answers to them in full precision, (targets, samples, outputs).
            targets: wanted outputs, shape (targets, outputs).
        """
        return reasons

    @abc.abstractmethod
    def check(self, model: Network, reference: Reference, targets: np.ndarray) -> None:
        """Refuse, before anything is traced, what this method cannot do.

        Args:
            model: the network.
            reference: the image space, and training images if there are any.
            targets: wanted outputs, shape (targets, outputs).

        Raises:
            JaxbqError: one line that says what to do.
        """

    def plan(self, targets: int, pixels: int) -> "Method":
        """Choose, from the numbers of targets and pixels, what decides speed and no result."""
        return self

    def is_brief(self, targets: int) -> bool:
        """Tell whether ``invert`` computes for less time than its optimisation would take."""
        return targets <= FEW_IMAGES

    @property
    def standard(self) -> tuple[str, Any]:
        """A name, and the options that it stands for; a table says only what differs."""
        label = getattr(self, "label", "")
        if label:
            return label, self
        return self.kind, type(self)()  # type: ignore[attr-defined]

    @property
    def prepared(self) -> Hashable:
        """What ``prepare`` depends on: methods that agree in it can share a state."""
        return self

    @abc.abstractmethod
    def prepare(self, model: Network, params: Any, reference: Reference, key: Array) -> Any:
        """Compute, once per network, what does not depend on the targets.

        Args:
            model: the network.
            params: its parameters.
            reference: the image space, and training images if there are any.
            key: random key.

        Returns:
            A pytree of arrays, given to ``invert`` as ``state``.
        """

    @abc.abstractmethod
    def invert(
        self, model: Network, params: Any, state: Any, targets: Targets, key: Array
    ) -> Inversion:
        """Find images for a batch of targets. Pure, traceable; no target affects another.

        Args:
            model: the network.
            params: its parameters.
            state: what ``prepare`` returned.
            targets: wanted outputs, one target a row.
            key: random key.

        Returns:
            The images and what is to be known of each.
        """


class Iterative(Method):
    """A method that goes in steps, so that a driver can run it in chunks and show progress.

    With a leading axis on every number of the options, the targets are asked at every point of a
    sweep: the images of an ``Inversion`` are then those of points × targets.
    """

    steps: int

    def is_brief(self, targets: int) -> bool:
        """Say no: hundreds of steps are worth it."""
        return False

    @abc.abstractmethod
    def begin(self, model: Network, params: Any, state: Any, targets: Targets, key: Array) -> Any:
        """Make the pytree that goes from step to step."""

    @abc.abstractmethod
    def advance(
        self, model: Network, params: Any, state: Any, targets: Array, carry: Any, number: Any
    ) -> Any:
        """Go on for so many steps, or until every image is done."""

    @abc.abstractmethod
    def progress(
        self, model: Network, state: Any, targets: Array, carry: Any
    ) -> tuple[Bool[Array, ""], Float[Array, ""]]:
        """Tell whether any image is not done, and the share of the work that is."""

    @abc.abstractmethod
    def finish(
        self, model: Network, params: Any, state: Any, targets: Array, carry: Any
    ) -> Inversion:
        """Turn the last carry into a result."""

    def invert(
        self, model: Network, params: Any, state: Any, targets: Targets, key: Array
    ) -> Inversion:
        """Take all steps in one program; final."""
        carry = self.begin(model, params, state, targets, key)
        carry = self.advance(model, params, state, targets, carry, ALL_STEPS)
        return self.finish(model, params, state, targets, carry)
