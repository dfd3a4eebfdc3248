"""The verifier against fine grids, exact rational arithmetic and samples."""

from fractions import Fraction

import numpy as np
import pytest
from small_networks import ACTIVATIONS, weights_of

from jaxbq.certification.maxima import shape_of, unit_maxima
from jaxbq.certification.verifier import (
    Claim,
    Region,
    Tree,
    leaf_bounds,
    proven,
    reached,
    root_intervals,
    tree_intervals,
)
from jaxbq.errors import JaxbqError

LOGIT = Claim("logit", 0, -1, 0.0, 1.0, "", 0.0, np.zeros(0))


def check_maxima(activation: str, rng: np.random.Generator, cases: int, points: int) -> None:
    """No point of a fine grid is above the bound, and the best is as near as the grid is fine."""
    apply = shape_of(activation).apply
    v = rng.normal(size=cases) * 10.0 ** rng.integers(-2, 2, cases)
    lam = v * rng.uniform(-0.3, 1.3, cases)
    middle, half = rng.normal(size=cases) * 6, np.exp(rng.normal(size=cases) * 2)
    low, high = middle - half, middle + half
    bounds = unit_maxima(activation, v, lam, low, high)
    share = np.linspace(0, 1, points)
    for n in range(cases):
        z = low[n] + share * (high[n] - low[n])
        z[-1] = high[n]
        best = (v[n] * apply(z) - lam[n] * z).max()
        step = (high[n] - low[n]) / (points - 1)
        # Between two points v φ − λz rises by no more than half a step times its slope.
        coarse = step * (abs(v[n]) + abs(lam[n])) / 2
        assert best <= bounds[n] <= best + coarse + 1e-9


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_point_of_an_interval_is_above_its_bound(activation):
    check_maxima(activation, np.random.default_rng(3), 100, 10_001)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_point_of_a_million_is_above_its_bound(activation):
    check_maxima(activation, np.random.default_rng(4), 300, 1_000_001)


@pytest.mark.parametrize("activation", ["gelu", "silu", "gelu_tanh", "leaky_relu(2)", "elu(1.5)"])
def test_activations_without_a_bound_are_refused(activation):
    with pytest.raises(JaxbqError, match="certify takes sigmoid, tanh"):
        shape_of(activation)


def exact(number: float) -> Fraction:
    return Fraction(float(number))


def exact_logits(weights, image) -> list[Fraction]:
    """The logits of a ReLU network in rational arithmetic, without any rounding."""
    hidden = []
    for column, bias in zip(weights.inner.T, weights.bias, strict=True):
        z = sum((exact(w) * exact(x) for w, x in zip(column, image, strict=True)), exact(bias))
        hidden.append(max(z, Fraction(0)))
    return [
        sum((exact(v) * h for v, h in zip(column, hidden, strict=True)), exact(constant))
        for column, constant in zip(weights.outer.T, weights.constants, strict=True)
    ]


@pytest.mark.parametrize("objective", ["logit", "margin", "difference"])
def test_what_an_image_reaches_is_no_more_than_without_rounding(objective):
    rng = np.random.default_rng(5)
    for _ in range(20):
        weights = weights_of((7, 5, 4), rng, "relu")
        image = rng.uniform(size=7)
        claim = LOGIT._replace(objective=objective, other=2 if objective == "difference" else -1)
        own, *others = exact_logits(weights, image)
        truth = {"logit": own, "margin": own - max(others), "difference": own - others[1]}
        found = exact(reached(weights, claim, image))
        assert found <= truth[objective] <= found + Fraction(1, 10**10)


def test_a_bound_is_no_less_than_without_rounding():
    """For ReLU and a box every maximum is at an end or at 0, so the bound is a sum of rationals."""
    rng = np.random.default_rng(6)
    for _ in range(20):
        weights = weights_of((7, 5, 3), rng, "relu")
        region = Region.of(LOGIT, 7)
        low, high = root_intervals(weights, region)
        lam = rng.normal(size=5)
        bound = leaf_bounds(
            weights, LOGIT, region, (low[None], high[None]), lam[None], np.zeros(1), np.eye(3)[:1]
        )[0]
        truth = exact(weights.constants[0])
        for n in range(5):
            v, price = exact(weights.outer[n, 0]), exact(lam[n])
            ends = [exact(low[n]), exact(high[n])]
            ends += [Fraction(0)] * bool(low[n] < 0 < high[n])
            truth += max(v * max(z, Fraction(0)) - price * z for z in ends)
            truth += price * exact(weights.bias[n])
        for row in weights.inner:
            c = sum((exact(w) * exact(x) for w, x in zip(row, lam, strict=True)), Fraction(0))
            truth += max(c, Fraction(0))
        assert truth <= exact(bound) <= truth + Fraction(1, 10**10)


@pytest.mark.parametrize(("norm", "radius"), [("", 0.0), ("linf", 0.3), ("l2", 0.4)])
def test_sums_over_a_set_are_bounded_and_the_bound_is_met(norm, radius):
    rng = np.random.default_rng(7)
    centre = np.array([0.1, 0.8])
    claim = LOGIT._replace(norm=norm, radius=radius, centre=centre if norm else np.zeros(0))
    region = Region.of(claim, 2)
    across = np.stack(np.meshgrid(*2 * [np.linspace(0, 1, 801)]), -1).reshape(-1, 2)
    away = across - centre
    inside = {
        "": np.ones(len(across), bool),
        "linf": np.abs(away).max(1) <= radius,
        "l2": (away**2).sum(1) <= radius**2,
    }[norm]
    taus = np.geomspace(1e-3, 1e2, 400) if norm == "l2" else np.ones(1)
    for c in rng.normal(size=(10, 2)):
        rows = np.tile(c, (len(taus), 1))
        bounds = region.support(rows, np.zeros_like(rows), taus)
        best = (across[inside] @ c).max()
        assert best <= bounds.min() <= best + 0.01
        # An error of the direction counts for as much as any image makes of it.
        assert (region.support(rows, 0 * rows + 0.1, taus) >= bounds + 0.1).all()


def test_pre_activations_are_in_their_intervals():
    rng = np.random.default_rng(8)
    weights = weights_of((6, 9, 3), rng, "sigmoid")
    centre = rng.uniform(size=6)
    ball = LOGIT._replace(norm="l2", radius=0.5, centre=centre)
    directions = rng.normal(size=(20_000, 6))
    near = centre + 0.5 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    for claim, images in ((LOGIT, rng.integers(0, 2, (20_000, 6))), (ball, near.clip(0, 1))):
        low, high = root_intervals(weights, Region.of(claim, 6))
        z = images @ weights.inner + weights.bias
        assert (z >= low).all()
        assert (z <= high).all()
        assert (z.max(0) > high - 0.5 * (high - low)).all()


def small_tree(leaves: int, units: int, **changed: np.ndarray) -> Tree:
    shape = np.zeros((leaves, units))
    rivals = np.tile([0.0, 1.0, 0.0], (leaves, 1))
    unit = np.array([-1] if leaves == 1 else [0, -1, 1, -1, -1], np.int32)
    at = np.array([0.0] if leaves == 1 else [0.2, 0.0, -0.1, 0.0, 0.0])
    return Tree(unit, at, shape, np.zeros(leaves), rivals)._replace(**changed)


def test_leaves_cover_the_root():
    root = (np.full(3, -1.0), np.full(3, 1.0))
    low, high = tree_intervals(small_tree(3, 3), root)
    points = np.random.default_rng(9).uniform(-1, 1, (5000, 1, 3))
    inside = ((points >= low) & (points <= high)).all(2)
    assert inside.any(1).all()
    # Nothing is in two of them but borders.
    assert (inside.sum(1) == 1).all()
    # Nor does a split outside the interval lose any part of it.
    low, high = tree_intervals(small_tree(3, 3, at=np.array([5.0, 0, -9.0, 0, 0])), root)
    assert ((points >= low) & (points <= high)).all(2).any(1).all()


@pytest.mark.parametrize(
    "changed",
    [
        {"unit": np.array([0, -1, -1, -1, -1], np.int32)},
        {"unit": np.array([0, -1, 7, -1, -1], np.int32)},
        {"unit": np.array([0, -1, 1, -1, 0], np.int32)},
        {"ball": np.array([0.0, -1.0, 0.0])},
        {"rivals": np.full((3, 3), 0.5)},
        {"rivals": np.zeros((3, 3))},
        {"rivals": np.tile([0.0, 2.0, -1.0], (3, 1))},
        {"multipliers": np.full((3, 5), np.nan)},
        {"multipliers": np.full((3, 5), 1e200)},
        {"multipliers": np.zeros((3, 4))},
    ],
)
def test_what_would_be_no_bound_is_refused(changed):
    weights = weights_of((4, 5, 3), np.random.default_rng(10), "tanh")
    margin = LOGIT._replace(objective="margin")
    assert np.isfinite(proven(weights, margin, small_tree(3, 5)))
    with pytest.raises(JaxbqError, match="certificate"):
        proven(weights, margin, small_tree(3, 5, **changed))


def test_any_multipliers_bound_the_objective():
    rng = np.random.default_rng(11)
    for activation in ACTIVATIONS:
        weights = weights_of((4, 5, 3), rng, activation)
        images = rng.uniform(size=(4000, 4))
        hidden = shape_of(activation).apply(images @ weights.inner + weights.bias)
        best = (hidden @ weights.outer + weights.constants)[:, 0].max()
        for _ in range(5):
            tree = small_tree(3, 5, multipliers=rng.normal(size=(3, 5)))
            assert proven(weights, LOGIT, tree) >= best
