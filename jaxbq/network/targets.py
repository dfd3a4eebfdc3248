"""Targets: what a back-query asks the network to answer."""

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from jaxtyping import Float

from ..errors import JaxbqError
from ..options import options
from .activations import activation

_SUM_TOLERANCE = 1e-6  # float32 rounding of ten numbers that sum to one, with room


Class = Annotated[int, Ge(0), Le(4096)]


@options
class Mixture:
    """A target between two classes: share · code of the first + (1 − share) · code of the second.

    Args:
        classes: their indices.
        share: of the first.
    """

    classes: tuple[Class, Class]
    share: Annotated[float, Ge(0), Le(1)] = 0.5


@options
class Codes:
    """How a class is written as a target vector, and which targets are asked for.

    ``on`` for the class, ``off`` for the rest. Beside classes there can be targets that belong to
    none; when there are and no class is named, they are all that is asked for.

    Args:
        on: wanted output of the class.
        off: wanted output of every other class; by default 0.01; of a tanh output −on, near its
            other end; of a softmax output, which sums to one, the same share of 1 − on for each.
        classes: indices of the classes to ask for; empty for all, if nothing else is asked for.
        mixtures: targets between two classes.
        boundaries: pairs of classes; the target is half of each, where the network cannot decide.
        none: ask for "none of them": every output ``off``, of a softmax all alike.
        vectors: target vectors as they are, soft ones for instance.
    """

    on: float = 0.99
    off: float | None = None
    classes: tuple[Class, ...] = ()
    mixtures: tuple[Mixture, ...] = ()
    boundaries: tuple[tuple[Class, Class], ...] = ()
    none: bool = False
    vectors: tuple[tuple[float, ...], ...] = ()

    def matrix(self, number: int, output: str = "sigmoid") -> Float[np.ndarray, "classes outputs"]:
        """Write the codes of all classes, one a row, shape (number, number), in float64."""
        codes = np.full((number, number), self._off(number, output))
        np.fill_diagonal(codes, self.on)
        return codes

    def targets(self, number: int, output: str = "sigmoid") -> Float[np.ndarray, "targets outputs"]:
        """Write all that is asked for: classes, mixtures, boundaries, none, vectors.

        Args:
            number: of outputs.
            output: name of the output activation.

        Raises:
            JaxbqError: a class out of range, or a vector of another length.
        """
        codes = self.matrix(number, output)
        mixtures = [*self.mixtures, *(Mixture(classes=pair) for pair in self.boundaries)]
        rows = [] if self._only_others else [codes[k] for k in choose(self.classes, number)]
        for mixture in mixtures:
            one, two = choose(mixture.classes, number)
            rows.append(mixture.share * codes[one] + (1 - mixture.share) * codes[two])
        if self.none:
            even = 1 / number if activation(output).normalises else self._off(number, output)
            rows.append(np.full(number, even))
        for vector in self.vectors:
            if len(vector) != number:
                raise JaxbqError(
                    f"targets.vectors: {len(vector)} values, but the network has {number} outputs"
                )
            rows.append(np.array(vector))
        return np.stack(rows)

    @property
    def _only_others(self) -> bool:
        others = self.mixtures or self.boundaries or self.none or self.vectors
        return bool(others) and not self.classes

    def _off(self, number: int, output: str) -> float:
        if self.off is not None:
            return self.off
        if output == "tanh":
            return -self.on
        return (1 - self.on) / max(number - 1, 1) if activation(output).normalises else 0.01


# An entry of a target is named when it is at least this far up from the smallest to the largest.
_NAMED = 0.25


def name_target(target: Float[np.ndarray, " outputs"], class_names: Sequence[str]) -> str:
    """Say in a word what a target asks for: "3", "3+8" for both, "none" where all are alike."""
    span = target.max() - target.min()
    if is_classless(target):
        return "none"
    share = (target - target.min()) / span
    order = np.argsort(-share, kind="stable")
    return "+".join(class_names[k] for k in order if share[k] >= _NAMED)


def class_of(target: Float[np.ndarray, " outputs"]) -> int | None:
    """Return the class that a target asks for, its one large entry; None for a mixture or none."""
    low, high = target.min(), target.max()
    large, small = np.isclose(target, high), np.isclose(target, low)
    if is_classless(target) or large.sum() != 1 or not (large | small).all():
        return None
    return int(target.argmax())


def is_classless(target: Float[np.ndarray, " outputs"]) -> bool:
    """Whether a target, all of its entries alike, asks for no class."""
    return len(target) > 1 and bool(np.ptp(target) < _SUM_TOLERANCE)


def choose(classes: Sequence[int], number: int) -> tuple[int, ...]:
    """Check class indices against the number of classes; all of them when none is given.

    Raises:
        JaxbqError: a class out of range.
    """
    for label in classes:
        if not 0 <= label < number:
            raise JaxbqError(f"class {label} is out of range; the network has 0 to {number - 1}")
    return tuple(classes) or tuple(range(number))


def check_targets(
    targets: Float[np.ndarray, "targets outputs"],
    output: str,
    outputs: int | None,
    *,
    closed: bool = False,
) -> None:
    """Check that a network with this output activation can give these targets.

    Args:
        targets: wanted outputs, one target a row.
        output: name of the output activation.
        outputs: number of outputs; None when it is not known.
        closed: allow the ends of the image too, for methods that only approach the target.

    Raises:
        JaxbqError: wrong length, not finite, or outside the open image of the activation: a
            sigmoid never answers exactly 0 or 1, whose logits would be infinite.
    """
    if outputs is not None and targets.shape[1] != outputs:
        raise JaxbqError(
            f"a target has {targets.shape[1]} values, but the network has {outputs} outputs"
        )
    if not np.isfinite(targets).all():
        raise JaxbqError("a target holds a value that is not a finite number")
    phi = activation(output)
    # ReLU alone does answer its lower end.
    low_inside = targets >= phi.low if closed or phi.name == "relu" else targets > phi.low
    high_inside = targets <= phi.high if closed else targets < phi.high
    outside = targets[~(low_inside & high_inside)]
    if outside.size:
        why = "" if closed else ": its pre-activation would be infinite"
        raise JaxbqError(
            f"target value {outside[0]:g} is outside {_interval(phi.low, phi.high, closed)}, "
            f"the image of {phi.name}{why}; stay inside, like 0.99 and 0.01"
        )
    if phi.normalises:
        sums = targets.sum(axis=1)
        worst = sums[np.abs(sums - 1).argmax()]
        if not math.isclose(worst, 1, abs_tol=_SUM_TOLERANCE):
            raise JaxbqError(
                f"a target sums to {worst:g}, but softmax outputs sum to 1; divide it by its sum"
            )


def _interval(low: float, high: float, closed: bool) -> str:
    ends = ["−∞" if low == -math.inf else f"{low:g}", "∞" if high == math.inf else f"{high:g}"]
    return f"[{ends[0]}, {ends[1]}]" if closed else f"({ends[0]}, {ends[1]})"
