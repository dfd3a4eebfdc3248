"""A chain of layers in the making, into which what is affine at inference is folded exactly."""

import re
from collections.abc import Callable

import numpy as np

from ...errors import JaxbqError
from ..inputs import RawLayer
from .found import Found, of_chain

_Fold = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Chain:
    """Takes what a network does, first to last; an affine step goes into the layer beside it.

    Args:
        where: whose network it is, for messages.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.layers: list[RawLayer] = []
        self.between: list[str | None] = []
        self.notes: list[str] = []
        # What is done to the inputs of the next layer, in order.
        self._waiting: list[_Fold] = []

    @property
    def open(self) -> bool:
        """Whether no activation has followed the last layer yet."""
        return bool(self.layers) and self.between[-1] is None and not self._waiting

    def layer(self, weight: np.ndarray, bias: np.ndarray | None) -> None:
        """Go on by a layer, weight of shape (fan_in, fan_out)."""
        if weight.ndim != 2 or weight.size == 0:
            raise JaxbqError(f"{self.where}: weights of shape {weight.shape} are no layer")
        if self._waiting:
            own = weight.astype(np.float64)
            added = np.zeros(weight.shape[1]) if bias is None else bias.astype(np.float64)
            for fold in reversed(self._waiting):
                own, added = fold(own, added)
            self._waiting = []
            weight, bias = own.astype(weight.dtype), added.astype(weight.dtype)
        self.layers.append(RawLayer(weight, bias))
        self.between.append(None)

    def affine(
        self,
        scale: np.ndarray | float,
        offset: np.ndarray | float,
        what: str | None,
        *,
        cyclic: bool = False,
    ) -> None:
        """Go on by x ↦ scale·x + offset, numbers or one value a unit.

        Args:
            scale: the factor.
            offset: what is added.
            what: whose they are, for the note; None for a plain bias.
            cyclic: whether values are one a channel, channels last, for however many pixels.
        """
        own = np.asarray(scale, np.float64).reshape(-1)
        added = np.asarray(offset, np.float64).reshape(-1)
        name = what or "a bias"
        if not (np.isfinite(own).all() and np.isfinite(added).all()):
            raise JaxbqError(f"{self.where}: {name} holds values that are not finite")

        def spread(values: np.ndarray, units: int) -> np.ndarray:
            fits = values.size in (1, units) or (cyclic and values.size and not units % values.size)
            if not fits:
                raise JaxbqError(f"{self.where}: {name} of {values.size} values for {units} units")
            return np.resize(values, units)

        if self.open:
            weight, bias = self.layers[-1]
            units = weight.shape[1]
            before = 0.0 if bias is None else bias.astype(np.float64)
            new = spread(own, units) * before + spread(added, units)
            folded = weight.astype(np.float64) * spread(own, units)
            self.layers[-1] = RawLayer(folded.astype(weight.dtype), new.astype(weight.dtype))
        else:
            self._waiting.append(
                lambda w, b: (
                    spread(own, len(w))[:, None] * w,
                    b + spread(added, len(w)) @ w,
                )
            )
        if what:
            self.notes.append(f"{what} folded in")

    def projection(self, mean: np.ndarray, axes: np.ndarray, what: str) -> None:
        """Go on by x ↦ axes·(x − mean), before a layer."""

        def fold(weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            if len(axes) != len(weight):
                raise JaxbqError(f"{self.where}: {what} does not fit the layer after it")
            new = axes.T @ weight
            return new, bias - mean @ new

        self._waiting.append(fold)
        self.notes.append(f"{what} folded in")

    def reorder(self, order: np.ndarray, what: str) -> None:
        """Go on by x ↦ x[order], before the first layer."""

        def fold(weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            if len(order) != len(weight):
                raise JaxbqError(f"{self.where}: {what} does not fit the layer after it")
            new = np.empty_like(weight)
            new[order] = weight
            return new, bias

        self._waiting.append(fold)
        self.notes.append(f"{what} folded in")

    def normalisation(
        self,
        mean: np.ndarray,
        variance: np.ndarray,
        epsilon: float,
        scale: np.ndarray | None,
        offset: np.ndarray | None,
        what: str,
        *,
        cyclic: bool = False,
    ) -> None:
        """Go on by BatchNorm with its running statistics."""
        given = (mean, variance, 1.0 if scale is None else scale, 0.0 if offset is None else offset)
        held = [np.asarray(values, np.float64).reshape(-1) for values in given]
        if any(values.size not in (1, held[0].size) for values in held):
            raise JaxbqError(f"{self.where}: {what} holds values of different lengths")
        with np.errstate(all="ignore"):
            factor = held[2] / np.sqrt(held[1] + epsilon)
            added = held[3] - held[0] * factor
        self.affine(factor, added, what, cyclic=cyclic)

    def activation(self, name: str) -> None:
        """Go on by an activation, by any library's name."""
        plain = re.sub("log_?softmax", "softmax", name.lower())
        if plain in ("linear", "identity", "none"):
            return
        if not self.open:
            reason = "follows another step than a layer" if self.layers else "comes first"
            raise JaxbqError(f"{self.where}: activation {name} {reason}, which no MLP has")
        if plain != name.lower():
            self.notes.append("log-softmax read as softmax, whose logarithm it is")
        self.between[-1] = plain

    def close(self) -> None:
        """Go on by an activation that is not known."""
        self.between[-1] = "unknown"

    def finished(self) -> list[RawLayer]:
        """Return the layers.

        Raises:
            JaxbqError: there is none, or an affine step after the last activation.
        """
        if not self.layers:
            raise JaxbqError(f"{self.where}: has no fully connected layer")
        if self._waiting:
            last = self.notes[-1].removesuffix(" folded in")
            raise JaxbqError(
                f"{self.where}: {last} comes after the outputs' activation, and cannot be folded "
                "into a layer there"
            )
        return self.layers

    def found(self, what: str, class_names: tuple[str, ...] | None = None) -> Found:
        """Say what was found; see :meth:`finished`."""
        layers = self.finished()
        hidden, output = of_chain(self.between, self.where)
        return Found(what, layers, hidden, output, class_names, tuple(self.notes))
