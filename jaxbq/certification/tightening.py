"""Cuts: ends of hidden units' intervals that hold no image better than a cut-off."""

from typing import NamedTuple

import numpy as np

from .curved import Curve
from .maxima import shape_of, unit_maxima
from .verifier import Region, Weights

_PLACES = 40  # where an end may be cut off
_PRICES = np.geomspace(1e-3, 1.0, 10)


class Cut(NamedTuple):
    """An end of a unit's interval.

    Args:
        unit: its number.
        upper: whether the upper end goes, or the lower one.
        at: where.
        multipliers: λ by which the part that goes is bounded.
    """

    unit: int
    upper: bool
    at: float
    multipliers: np.ndarray


def furthest_cut(
    activation: str,
    v: float | np.ndarray,
    lam: np.ndarray,
    rest: np.ndarray,
    ends: tuple[float, float],
    cutoff: float,
    curve: Curve | None = None,
) -> tuple[float, int] | None:
    """Find the cut that removes most of an interval: where, and by which multiplier.

    Args:
        activation: of the unit.
        v: its weight.
        lam: multipliers to choose from.
        rest: the bound without the unit's own maximum, with each of them.
        ends: from where the interval may be cut, to its end.
        cutoff: what the bound of the part that goes must be below.
        curve: the quadratic, of this unit alone.
    """
    cuts = np.linspace(*ends, _PLACES, endpoint=False)[None, :]
    end = np.full_like(cuts, ends[1])
    low, high = np.minimum(cuts, end), np.maximum(cuts, end)
    shape = (len(lam), _PLACES)
    low, high, v, lam = (
        np.broadcast_to(part, shape).copy() for part in (low, high, v, lam[:, None])
    )
    maxima = unit_maxima if curve is None else curve.maxima
    good = rest[:, None] + maxima(activation, v, lam, low, high) < cutoff
    if not good.any():
        return None
    place = int(good.any(axis=0).argmax())
    return float(cuts[0, place]), int(good[:, place].argmax())


def priced_cuts(
    weights: Weights,
    region: Region,
    v: np.ndarray,
    intervals: tuple[np.ndarray, np.ndarray],
    multipliers: np.ndarray,
    ball: float,
    z: np.ndarray,
    constant: float,
    cutoff: float,
    curve: Curve | None = None,
) -> list[Cut]:
    """Find cuts without solving anything: one multiplier is changed, the others stay.

    They are estimates; whoever makes a cut has it proven.

    Args:
        weights: the network.
        region: the set.
        v: weights of the units in the objective.
        intervals: of the units.
        multipliers: λ.
        ball: τ; without a quadratic the best for each cut is taken.
        z: relaxed pre-activations; cuts are beyond.
        constant: of the objective.
        cutoff: bound of what may be cut off.
        curve: the quadratic.
    """
    low, high = intervals
    of_unit = unit_maxima if curve is None else curve.maxima
    maxima = of_unit(weights.activation, v, multipliers, low, high)
    plain = maxima.sum() + multipliers @ weights.bias + constant
    phi = shape_of(weights.activation).apply
    found = []
    for upper in (True, False):
        # An end is reached at the price of about this much.
        prices = _PRICES * (np.abs(v).max() + np.abs(multipliers).max()) * (-1 if upper else 1)
        c = weights.inner @ multipliers + prices[:, None, None] * weights.inner.T
        rest = plain - maxima + prices[:, None] * weights.bias + _support(region, c, ball, curve)
        lam = multipliers + prices[:, None]
        last = high if upper else low
        # Where not even the very end can go, nothing can.
        at_end = v * phi(last) - lam * last
        if curve is not None:
            at_end = at_end - curve.bend * (last - curve.centre) ** 2
        hopeful = (rest + at_end).min(axis=0) <= cutoff
        for unit in np.flatnonzero(hopeful & (high > low)):
            ends = (float(z[unit]), float(last[unit]))
            facts = (v[unit], lam[:, unit], rest[:, unit], ends, cutoff)
            bent = None if curve is None else curve.unit(int(unit))
            cut = furthest_cut(weights.activation, *facts, bent)
            if cut:
                changed = multipliers.copy()
                changed[unit] = lam[cut[1], unit]
                found.append(Cut(int(unit), upper, cut[0], changed))
    return found


def _support(region: Region, c: np.ndarray, ball: float, curve: Curve | None) -> np.ndarray:
    """Estimate max c·x over the set, for directions on the last axis."""
    if curve is not None:
        rows = c.reshape(-1, c.shape[-1])
        found = region.support(rows, np.zeros_like(rows), np.full(len(rows), ball), curve)
        return found.reshape(c.shape[:-1])
    middle, half = (region.low + region.high) / 2, (region.high - region.low) / 2
    box = c @ middle + np.abs(c) @ half
    if np.isinf(region.radius):
        return box
    return np.minimum(box, c @ region.centre + region.radius * np.linalg.norm(c, axis=-1))
