"""What is found and proven, against brute force on tiny networks."""

import numpy as np
import pytest
from small_networks import (
    ACTIVATIONS,
    largest_of_relu,
    largest_on_grid,
    network_of,
    values,
    weights_of,
)

from jaxbq import JaxbqError, certify
from jaxbq.certification.certify import Claim
from jaxbq.certification.verifier import contains
from jaxbq.data import ImageSpace
from jaxbq.network.mlp import MLP

SIZES = (2, 5, 3)  # one shape for all cases, so that few programs are compiled


@pytest.fixture(autouse=True)
def _in_float64(x64):
    """Weights of tests stay what they are."""


def check(rng: np.random.Generator, activation: str, objective: str, norm: str, nodes: int) -> bool:
    """Hold one random case to a grid; tell whether the gap was closed."""
    weights = weights_of(SIZES, rng, activation)
    model, params = network_of(weights)
    low, high = (0.0, 1.0) if rng.random() < 0.5 else (-1.0, 0.5)
    centre = rng.uniform(low, high, 2) if norm else np.zeros(0)
    target, other = rng.permutation(3)[:2]
    other = other if objective == "difference" else -1
    claim = Claim(objective, int(target), int(other), low, high, norm, 0.4 * bool(norm), centre)
    found = certify(
        model,
        params,
        claim.target,
        space=ImageSpace((1, 2), low, high),
        objective=objective,
        other=int(other) if objective == "difference" else None,
        around=centre if norm else None,
        radius=0.4 if norm else None,
        norm=norm or "linf",
        gap=1e-3,
        nodes=nodes,
        seconds=1000,
        seed=int(rng.integers(100)),
    )
    best = largest_on_grid(weights, claim, 301)
    assert best <= found.proven
    assert found.found <= found.proven
    assert found.found == pytest.approx(values(weights, claim, found.image[None])[0], abs=1e-9)
    away = np.abs(found.image - centre) if norm else np.zeros(1)
    size = away.max() if norm != "l2" else np.sqrt((away**2).sum())
    assert size <= 0.4
    assert low <= found.image.min() <= found.image.max() <= high
    closed = found.gap <= 1e-3
    if closed:
        # The grid misses the best picture by at most half a step.
        assert found.found >= best - 1e-3 * abs(found.proven)
    return closed


def test_bounds_of_tiny_networks_hold_and_close():
    rng = np.random.default_rng(1)
    assert all(check(rng, "sigmoid", "logit", "", 2000) for _ in range(6))


@pytest.mark.parametrize(("objective", "norm"), [("margin", "linf"), ("difference", "l2")])
def test_bounds_of_other_objectives_and_sets_hold(objective, norm):
    rng = np.random.default_rng(2)
    assert sum(check(rng, "sigmoid", objective, norm, 400) for _ in range(4)) >= 2


def test_a_search_that_is_stopped_anywhere_is_true():
    rng = np.random.default_rng(3)
    for _ in range(10):
        check(rng, "sigmoid", "logit", "", int(rng.integers(1, 60)))


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_searches_of_every_activation_are_true(activation):
    """Over sixty for each of nine activations: stopped at random numbers of nodes."""
    rng = np.random.default_rng(4)
    closed = []
    for _ in range(7):
        for objective in ("logit", "margin", "difference"):
            for norm in ("", "linf", "l2"):
                nodes = int(np.exp(rng.uniform(0, 6)))
                closed.append(check(rng, activation, objective, norm, nodes))
    assert sum(closed) >= 10


def hold_to_milp(sizes: tuple[int, int, int], cases: int) -> None:
    rng = np.random.default_rng(5)
    for _ in range(cases):
        weights = weights_of(sizes, rng, "relu")
        found = certify(*network_of(weights), 1, gap=1e-3, nodes=3000, seconds=1000)
        truth = largest_of_relu(weights, 1)
        # HiGHS is exact to its tolerance.
        slack = 1e-6 * (1 + abs(truth))
        assert found.found - slack <= truth <= found.proven + slack
        assert found.gap <= 1e-3


def test_relu_agrees_with_an_exact_program():
    hold_to_milp((6, 5, 2), 2)


@pytest.mark.slow
def test_larger_relu_networks_agree_with_an_exact_program():
    hold_to_milp((12, 14, 3), 20)


def test_the_relaxed_bound_is_the_least_that_multipliers_prove():
    """No perturbed multipliers prove more than those of the interior point, to its tolerance."""
    from jaxbq.certification.verifier import proven

    rng = np.random.default_rng(6)
    weights = weights_of((20, 12, 3), rng, "sigmoid")
    found = certify(*network_of(weights), 0, nodes=1)
    assert found.leaves == 1
    least = found.proven
    for size in (1e-3, 1e-2, 0.1, 1.0):
        for _ in range(50):
            changed = found.tree.multipliers + size * rng.normal(size=(1, 12))
            bound = proven(weights, found.claim, found.tree._replace(multipliers=changed))
            assert bound > least - 2e-3 * abs(least)


@pytest.mark.filterwarnings("error")
def test_networks_that_answer_nothing_are_bounded():
    weights = weights_of(SIZES, np.random.default_rng(9), "sigmoid")
    dead = weights._replace(outer=0 * weights.outer, constants=np.zeros(3))
    assert "exceeds 0.000000001;" in certify(*network_of(dead), 0).sentence
    deaf = weights._replace(inner=0 * weights.inner)
    found = certify(*network_of(deaf), 0)
    assert found.proven - found.found < 1e-6
    huge = weights._replace(constants=np.full(3, 1e307))
    with pytest.raises(JaxbqError, match="too large"):
        certify(*network_of(huge), 0, nodes=1)


@pytest.mark.parametrize(("norm", "radius"), [("l2", 1e-16), ("mahalanobis", 1e-6)])
def test_pictures_are_in_balls_as_small_as_roundings(norm, radius):
    rng = np.random.default_rng(8)
    weights = weights_of(SIZES, rng, "sigmoid")
    images, centre = rng.random((50, 2)), np.array([0.7, 0.3])
    ball = {"around": centre, "radius": radius, "norm": norm, "images": images}
    found = certify(*network_of(weights), 0, nodes=3, **ball)
    assert contains(found.claim, found.image)
    assert found.found <= found.proven <= found.found + 1e-4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"objective": "entropy"}, "use logit, margin, difference"),
        ({"objective": "difference"}, "another class"),
        ({"other": 1}, "another class"),
        ({"objective": "difference", "other": 0}, "another class"),
        ({"objective": "difference", "other": 3}, "out of range"),
        ({"radius": 0.1}, "name one"),
        ({"around": np.zeros(2)}, "radius above 0"),
        ({"around": np.zeros(2), "radius": 1e-200}, "radius above 0"),
        ({"around": np.zeros(2), "radius": 0.1, "norm": "l1"}, "use linf, l2, mahalanobis"),
        ({"norm": "l2"}, "say around which image"),
        ({"around": np.zeros(3), "radius": 0.1}, "takes 2"),
        ({"around": np.full(2, 1.5), "radius": 0.1}, "pixel range"),
        ({"around": np.full(2, np.nan), "radius": 0.1}, "pixel range"),
        ({"nodes": 0}, "at least 1"),
        ({"gap": float("nan")}, "at least 0"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options, said):
    weights = weights_of(SIZES, np.random.default_rng(7), "sigmoid")
    with pytest.raises(JaxbqError, match=said):
        certify(*network_of(weights), 0, **options)


def test_networks_without_a_bound_are_refused(key):
    linear, single = MLP((4, 2)), MLP((4, 3, 1))
    for model, said in ((linear, "has none"), (single, "has one")):
        with pytest.raises(JaxbqError, match=said):
            certify(model, model.init(key), 0)
