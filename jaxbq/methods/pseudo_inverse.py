"""Pseudo-inverse back-query: the least-squares inverse of every layer, then a policy."""

import math
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Lt
from jaxtyping import Array, Float

from ..data import Reference
from ..errors import JaxbqError
from ..network.activations import Activation
from ..network.mlp import Network
from ..options import options
from ..runtime.devices import map_rows
from ..solvers import BoxLeastSquares, box_least_squares
from .analytic import Analytic, Place, Settled, check_analytic, product, settled, without_bias
from .ascent import Range, range_of
from .transpose import check_hidden_range, rescale

Policy = Literal["none", "clip", "rescale", "box"]


class PseudoInverseState(NamedTuple):
    """W⁺ of every layer, shape (fan_out, fan_in), and the pixel range."""

    inverses: tuple[Float[Array, "fan_out fan_in"], ...]
    ends: Range


@options
class PseudoInverse(Analytic):
    """Pseudo-inverse back-query: a = (φ⁻¹(a′) − b) W⁺, layer by layer.

    The solution of least norm where a layer has fewer outputs than inputs, the least-squares one
    where it has more. What comes out need lie neither in the domain of the next φ⁻¹ nor in the
    pixel range; a policy brings it there:

    * ``none``: leave it; for pixels, and for hidden activations whose inverse is total;
    * ``clip``: cut it off, for hidden layers ``margin`` inside the ends of the image of φ;
    * ``rescale``: stretch each vector by its own extremes, as the book does;
    * ``box``: solve the layer again, min ‖a W + b − z‖² over the interval that ``clip`` cuts to,
      ties towards its centre.

    Source: A. Ben-Israel and T. Greville, *Generalized Inverses*, 2003.

    Args:
        hidden_policy: for hidden activations.
        pixel_policy: for the image.
        margin: distance of hidden activations from finite ends of the image of φ, where φ⁻¹ is
            infinite; for ``clip`` and ``box``.
        hidden_range: interval that ``rescale`` maps hidden activations to.
        rcond: singular values below this share of the largest count as zero; by default
            machine epsilon, of the type that W is held in, times its larger side.
        ridge: λ of the ridge solution, with singular values s/(s² + λ) in place of 1/s.
        label: what tables and figures call it; by default its kind and options.
    """

    kind: Literal["pseudo_inverse"] = "pseudo_inverse"
    hidden_policy: Policy = "box"
    pixel_policy: Policy = "box"
    margin: Annotated[float, Ge(0), Lt(0.5)] = 0.01
    hidden_range: tuple[float, float] = (0.01, 0.99)
    rcond: Annotated[float, Ge(0), Lt(1)] | None = None
    ridge: Annotated[float, Ge(0)] = 0.0
    label: str = ""

    @property
    def spreads(self) -> bool:
        """Rows of the box; all else are a few products."""
        return "box" in (self.hidden_policy, self.pixel_policy)

    def check(self, model: Network, reference: Reference, targets: np.ndarray) -> None:
        """Refuse networks that cannot be run back and policies that leave a domain."""
        mlp = check_analytic("pseudo_inverse", model, targets)
        for phi in mlp.activations[:-1]:
            total = math.isinf(phi.low) and math.isinf(phi.high)
            if self.hidden_policy == "none" and not total:
                raise JaxbqError(
                    f"hidden_policy 'none' needs an activation whose inverse takes every value, "
                    f"and {phi.name}'s takes ({phi.low:g}, {phi.high:g}) alone; use 'clip' or 'box'"
                )
            if self.hidden_policy in ("clip", "box") and not total and self.margin == 0:
                raise JaxbqError(f"margin must be above 0: {phi.name}'s inverse is infinite there")
        unused = self.pixel_policy == "box" and (len(mlp.sizes) == 2 or self.hidden_policy == "box")
        if unused and (self.ridge > 0 or self.rcond is not None):
            raise JaxbqError(
                "ridge and rcond have no effect where the box is solved, which uses W itself; "
                "choose another pixel_policy or hidden_policy"
            )
        if self.hidden_policy == "rescale":
            check_hidden_range(self.hidden_range, mlp)

    def prepare(self, model: Network, params: Any, reference: Reference, key: Array) -> Any:
        """Take the singular value decomposition of every layer, in float64."""
        dtype = params[0].weight.dtype
        inverses = (pseudo_inverse(layer.weight, self.rcond, self.ridge) for layer in params)
        held = tuple(jnp.asarray(inverse, dtype) for inverse in inverses)
        return PseudoInverseState(held, range_of(reference, dtype))

    def solve(self, at: Place, state: PseudoInverseState, z: Array) -> Array:
        """Multiply by W⁺."""
        return product(without_bias(at.layer, z), state.inverses[at.number])

    def settle(self, at: Place, state: PseudoInverseState, z: Array, raw: Array) -> Settled:
        """Apply the policy of hidden layers or pixels."""
        policy = self.pixel_policy if at.below is None else self.hidden_policy
        low, high = self._interval(at.below, state)
        match policy:
            case "none":
                return settled(raw)
            case "clip":
                return settled(jnp.clip(raw, low, high))
            case "box":
                box = at.layer.weight, low, high
                found = map_rows(_solve_box, box, without_bias(at.layer, z))
                return settled(found.solution, optimality=found.optimality)
            case "rescale":
                if at.below is not None:
                    low, high = (jnp.asarray(end, raw.dtype) for end in self.hidden_range)
                return settled(*rescale(raw, low, high))

    def _interval(self, phi: Activation | None, state: PseudoInverseState) -> Range:
        if phi is None:
            return state.ends
        dtype = state.ends[0].dtype
        low, high = jnp.asarray(phi.low, dtype), jnp.asarray(phi.high, dtype)
        # Where the margin is below rounding, at least the next number: the end itself has no φ⁻¹.
        inner = low + self.margin, high - self.margin
        low = jnp.where(inner[0] > low, inner[0], jnp.nextafter(low, high))
        high = jnp.where(inner[1] < high, inner[1], jnp.nextafter(high, low))
        return (
            jnp.where(math.isinf(phi.low), -math.inf, low).astype(dtype),
            jnp.where(math.isinf(phi.high), math.inf, high).astype(dtype),
        )


def pseudo_inverse(
    weight: Float[Array, "fan_in fan_out"] | Float[np.ndarray, "fan_in fan_out"],
    rcond: float | None = None,
    ridge: float = 0.0,
) -> Float[np.ndarray, "fan_out fan_in"]:
    """Compute W⁺ by singular values in float64: truncated below ``rcond``, or damped by ``ridge``.

    Without ridge it satisfies the four Moore–Penrose conditions. A zero matrix has a zero inverse.
    """
    u, s, vt = decomposed(weight)
    kept = s > threshold(weight, s, rcond)
    inverse = np.where(kept, s / np.where(kept, s**2 + ridge, 1), 0)
    return (vt.T * inverse) @ u.T


def decomposed(weight: Array | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decompose W = U diag(s) Vᵀ in float64; of the last few matrices it is known."""
    held = np.asarray(weight, np.float64)
    return _decomposed(held.tobytes(), held.shape)


# Several methods, and what measures layers, ask for those of one network.
@lru_cache(maxsize=8)
def _decomposed(
    content: bytes, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    u, s, vt = np.linalg.svd(np.frombuffer(content).reshape(shape), full_matrices=False)
    for part in (u, s, vt):
        part.flags.writeable = False
    return u, s, vt


def threshold(weight: Array | np.ndarray, s: np.ndarray, rcond: float | None) -> float:
    """Return the singular value at or below which a direction counts as lost.

    By default the rounding of the weights' own type: a singular matrix held in float32 has
    singular values of that size where it has none.
    """
    share = max(weight.shape) * np.finfo(weight.dtype).eps if rcond is None else rcond
    return float(share * s.max(initial=0.0))


def _solve_box(box: tuple[Array, Array, Array], z: Array) -> BoxLeastSquares:
    weight, low, high = box
    return box_least_squares(weight, z, low, high)
