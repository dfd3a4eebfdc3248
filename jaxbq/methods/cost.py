"""What a call costs in floating-point operations."""

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr


def operations(traced: Any, rounds: float) -> float:
    """Count the floating-point operations of the matrix products and convolutions of a program.

    Everything else (activations, optimisers, decompositions) is left out. How often a `while`
    loop turns is not in a program: an outermost one is taken to turn ``rounds`` times, one within
    another loop once, so that the count is a lower estimate there. Of a choice (`cond`) every
    branch is counted, which makes it a higher one.

    Args:
        traced: what ``jax.jit(f).trace(…)`` returned.
        rounds: turns of the outermost `while` loops.
    """
    fixed, each = _per_round(traced.jaxpr.jaxpr)
    return fixed + each * rounds


# JAX hands out the same program at every call: walking through it takes longer than many a run.
@lru_cache(maxsize=128)
def _per_round(jaxpr: Jaxpr) -> tuple[float, float]:
    fixed = _count(jaxpr, 0.0)
    return fixed, _count(jaxpr, 1.0) - fixed


def _count(jaxpr: Jaxpr, rounds: float) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        own = _OPERATIONS.get(equation.primitive.name)
        if own:
            total += own(equation)
        turns, inner = 1.0, rounds
        if equation.primitive.name == "while":
            turns, inner = rounds, 1.0
        elif equation.primitive.name == "scan":
            turns = equation.params["length"]
        elif equation.primitive.name == "shard_map":
            turns = equation.params["mesh"].size  # its program is one device's share
        total += turns * sum(_count(part, inner) for part in _parts(equation.params.values()))
    return total


def _parts(values: Any) -> Iterator[Jaxpr]:
    """Find the programs within the parameters of an equation."""
    for value in values:
        if isinstance(value, ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, Jaxpr):
            yield value
        elif isinstance(value, tuple | list):
            yield from _parts(value)


def _product(equation: Any) -> float:
    left = equation.invars[0].aval.shape
    (contracted, _), _ = equation.params["dimension_numbers"]
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[n] for n in contracted)


def _convolution(equation: Any) -> float:
    kernel = equation.invars[1].aval.shape
    features = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(kernel) / max(features, 1)


_OPERATIONS: dict[str, Callable[[Any], float]] = {
    "dot_general": _product,
    "conv_general_dilated": _convolution,
}
