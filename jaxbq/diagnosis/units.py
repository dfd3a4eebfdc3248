"""The arithmetic of one unit, forward and backward: what its sum is made of."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..data import Reference
from ..errors import JaxbqError
from ..methods import Method
from ..methods.analytic import Analytic, places
from ..network.mlp import MLP, Params
from .trace import Trace


@dataclass(frozen=True, eq=False)
class Terms:
    """A sum Σ valueᵢ · weightᵢ + bias, and what becomes of it.

    Args:
        values: of the units that it comes from, in their order, shape (n,).
        weights: of each.
        bias: what is added; going back, what the biases of the layer above come to.
        total: the sum.
        result: of it: the activation, or going back what the policy makes of it.
    """

    values: Float[np.ndarray, " n"]
    weights: Float[np.ndarray, " n"]
    bias: float
    total: float
    result: float

    @property
    def terms(self) -> Float[np.ndarray, " n"]:
        """The products."""
        return self.values * self.weights

    def largest(self, number: int) -> list[int]:
        """List the units whose terms are the largest in size, the largest first."""
        return np.argsort(-np.abs(self.terms), kind="stable")[:number].tolist()


def forward_terms(trace: Trace, params: Params, layer: int, unit: int) -> Terms | None:
    """Take the pre-activation of a unit apart; None for a pixel, which comes from nowhere.

    Args:
        trace: any.
        params: the network's parameters.
        layer: from 1; 0 for the image.
        unit: from 0.

    Raises:
        JaxbqError: there is no such layer or unit.
    """
    check_unit(trace, layer, unit)
    if layer == 0:
        return None
    weight, bias, *_ = params[layer - 1]
    own = trace.layers[layer - 1]
    return Terms(
        np.asarray(trace.units(layer - 1).given, np.float64),
        np.asarray(weight[:, unit], np.float64),
        0.0 if bias is None else float(bias[unit]),
        float(own.answered_z[unit]),
        float(own.answered[unit]),
    )


def backward_terms(
    trace: Trace, method: Method, model: MLP, params: Params, layer: int, unit: int
) -> Terms | None:
    """Take apart what the way back found for a unit, from the pre-activations asked above it.

    Args:
        trace: of this method.
        method: whose way back it is.
        model: the network.
        params: its parameters.
        layer: from 1; 0 for the image.
        unit: from 0.

    Returns:
        The terms; None for outputs, which are asked by the target, and for methods that do not go
        back layer by layer.

    Raises:
        JaxbqError: there is no such layer or unit.
    """
    check_unit(trace, layer, unit)
    units = trace.units(layer)
    if units.found is None or units.asked is None or not isinstance(method, Analytic):
        return None
    state = method.prepare(model, params, Reference(trace.space), jax.random.key(0))
    (at,) = (place for place in places(model, params) if place.number == layer)
    z = trace.layers[layer].asked_z
    assert z is not None
    # Whatever inverse of W it is, `solve` is affine in z: rows of the identity show its matrix.
    probes = jnp.concatenate([jnp.zeros((1, len(z))), jnp.eye(len(z))]).astype(z.dtype)
    bias, *rows = np.asarray(method.solve(at, state, probes)[:, unit], np.float64)
    return Terms(
        np.asarray(z, np.float64),
        np.array(rows) - bias,
        float(bias),
        float(units.found[unit]),
        float(units.asked[unit]),
    )


def check_unit(trace: Trace, layer: int, unit: int = 0) -> None:
    """Check that there is such a layer, 0 for the image, and such a unit.

    Raises:
        JaxbqError: there is none.
    """
    last = len(trace.layers)
    if not 0 <= layer <= last:
        raise JaxbqError(f"--layer {layer}: use 0 for the image, or 1 to {last}, the outputs")
    number = len(trace.units(layer).given)
    if not 0 <= unit < number:
        raise JaxbqError(f"--unit {unit}: layer {layer} has units 0 to {number - 1}")
