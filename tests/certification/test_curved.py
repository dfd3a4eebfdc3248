"""Quadratics: their maxima against grids, the matrix inequality against eigenvalues."""

import numpy as np
import pytest
from small_networks import ACTIVATIONS, largest_on_grid, network_of, weights_of

from jaxbq import JaxbqError, certify
from jaxbq.certification.curved import Curve
from jaxbq.certification.maxima import shape_of
from jaxbq.certification.verifier import (
    Claim,
    Region,
    Tree,
    leaf_bounds,
    proven,
    root_intervals,
)

LOGIT = Claim("logit", 0, -1, 0.0, 1.0, "", 0.0, np.zeros(0))


def curve_of(weights, rng: np.random.Generator, size: float = 1.0) -> Curve:
    pixels, units = weights.inner.shape
    bend, spread = size * rng.uniform(0, 1, units), rng.uniform(0.1, 1, pixels)
    return Curve.of((weights.inner, weights.bias), bend, spread, rng.uniform(0, 1, pixels))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_point_of_an_interval_is_above_its_bound(activation):
    rng, cases = np.random.default_rng(30), 60
    v, lam = rng.normal(size=cases) * 3, rng.normal(size=cases)
    bend = np.where(rng.random(cases) < 0.2, 0.0, rng.uniform(0, 0.5, cases))
    centre = rng.normal(size=cases)
    middle, half = rng.normal(size=cases) * 3, np.exp(rng.normal(size=cases))
    low, high = middle - half, middle + half
    none = np.zeros(cases)
    bounds = Curve(bend, none, none, centre, none).maxima(activation, v, lam, low, high)
    z = low + np.linspace(0, 1, 20_001)[:, None] * (high - low)
    best = (v * shape_of(activation).apply(z) - lam * z - bend * (z - centre) ** 2).max(0)
    assert (best <= bounds + 1e-12 * (1 + np.abs(best))).all()
    assert (bounds <= best + 2e-3 * (np.abs(v) + np.abs(lam))).all()


def test_the_matrix_inequality_holds():
    rng = np.random.default_rng(31)
    for size in (1e-3, 1.0, 1e3):
        weights = weights_of((7, 5, 3), rng, "sigmoid")
        curve = curve_of(weights, rng, size)
        matrix = np.diag(curve.spread) - (weights.inner * curve.bend) @ weights.inner.T
        least = np.linalg.eigvalsh(matrix)[0]
        assert least >= -1e-12 * np.abs(matrix).max()
    # One that holds already is left as it is.
    again = Curve.of((weights.inner, weights.bias), curve.bend, 2 * curve.spread, curve.point)
    assert (again.spread == 2 * curve.spread).all()


@pytest.mark.parametrize(("norm", "radius"), [("", 0.0), ("linf", 0.3), ("l2", 0.4)])
def test_any_quadratic_bounds_the_objective(norm, radius):
    rng = np.random.default_rng(32)
    for activation in ACTIVATIONS:
        weights = weights_of((2, 5, 3), rng, activation)
        centre = rng.uniform(0, 1, 2) if norm else np.zeros(0)
        claim = LOGIT._replace(norm=norm, radius=radius, centre=centre)
        region, best = Region.of(claim, 2), largest_on_grid(weights, claim, 101)
        low, high = root_intervals(weights, region)
        for _ in range(5):
            duals = (rng.normal(size=(1, 5)), rng.uniform(0, 3, 1), np.eye(3)[1:2])
            box = (low[None], high[None])
            curve = curve_of(weights, rng, 0.3)
            assert leaf_bounds(weights, claim, region, box, *duals, curve)[0] >= best


def test_a_maximum_holds_wherever_the_middle_of_the_quadratic_may_be(rng):
    """That is a product of weights and a point, with the rounding error of one."""
    bend, error, none = np.array([0.7]), np.array([0.05]), np.zeros(0)
    z = np.linspace(-1, 2, 3001)
    for _ in range(20):
        v, lam, centre = rng.normal(size=3)
        curve = Curve(bend, none, none, np.array([centre]), error)
        ends = (np.array([-1.0]), np.array([2.0]))
        bound = curve.maxima("tanh", np.array([v]), np.array([lam]), *ends)[0]
        for middle in (centre - 0.05, centre, centre + 0.05):
            assert bound >= (v * np.tanh(z) - lam * z - 0.7 * (z - middle) ** 2).max()


@pytest.mark.parametrize("near", [{}, {"around": np.full(20, 0.5), "radius": 1.0, "norm": "l2"}])
def test_the_quadratic_bound_is_not_above_the_envelope(x64, near):
    """And where units are many it is below, by an interior point from the envelope's solution."""
    rng = np.random.default_rng(33)
    weights = weights_of((20, 12, 3), rng, "sigmoid")
    gaps = []
    for target in range(3):
        plain = certify(*network_of(weights), target, nodes=1, **near)
        bent = certify(*network_of(weights), target, nodes=2, gap=1e-6, seconds=1000, **near)
        assert bent.proven <= plain.proven + 1e-9
        gaps.append((plain.proven - bent.proven) / max(plain.proven - bent.found, 1e-9))
    assert max(gaps) > 0.1


@pytest.mark.parametrize(
    "changed",
    [
        {"spread": np.zeros((1, 4))},
        {"spread": np.full((1, 4), -1.0)},
        {"bend": np.full((1, 5), -1.0)},
        {"bend": np.full((1, 5), np.nan)},
        {"point": np.zeros((1, 3))},
        {"curve": np.array([1], np.int32)},
        {"curve": np.array([-2], np.int32)},
        {"curve": np.zeros(0, np.int32)},
    ],
)
def test_what_would_be_no_quadratic_is_refused(changed):
    weights = weights_of((4, 5, 3), np.random.default_rng(34), "tanh")
    none, one = np.zeros(1), np.array([-1], np.int32)
    tree = Tree(one, none, np.zeros((1, 5)), none, np.eye(3)[1:2], np.zeros(1, np.int32))
    tree = tree._replace(bend=np.ones((1, 5)), spread=np.ones((1, 4)), point=np.zeros((1, 4)))
    assert np.isfinite(proven(weights, LOGIT, tree))
    with pytest.raises(JaxbqError, match="certificate"):
        proven(weights, LOGIT, tree._replace(**changed))
