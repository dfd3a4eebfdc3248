import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest

from jaxbq.solvers import shared_jacobian
from jaxbq.solvers.gauss_newton import linearise
from jaxbq.solvers.shared_jacobian import approach


@pytest.fixture(autouse=True)
def _float64(x64):
    """Everything here is about float64."""


@pytest.fixture
def network(rng):
    """Three targets of a network of 30 pixels and 4 outputs, and their preimages' Jacobians."""
    model, params = problems.random_network((30, 9, 4), rng, scale=0.7)
    centres = jnp.asarray(rng.uniform(0.2, 0.8, (3, 30)))
    wanted = model.logits(params, centres)

    def residual(images):
        answers = model.logits(params, images.reshape(-1, 30)).reshape(*images.shape[:2], 4)
        return wanted[:, None] - answers

    _, jacobian = linearise(lambda x: residual(x[:, None])[:, 0], centres)
    return residual, centres, jacobian


def near(rng, centres, samples, reach):
    return jnp.clip(centres[:, None] + reach * rng.normal(size=(3, samples, 30)), 0, 1)


def norms(left):
    return np.linalg.norm(left, axis=-1)


def by_hand(residual, images, jacobian, goal):
    """Image after image in NumPy: the definition, solved by dense matrices."""
    result = np.array(images)
    for t, s in np.ndindex(*result.shape[:2]):

        def left_at(x, t=t, s=s):
            others = np.array(images)
            others[t, s] = x
            return np.asarray(residual(jnp.asarray(others)))[t, s]

        x, j = result[t, s], np.asarray(jacobian[t])
        damping = 50 * np.finfo(float).eps * (j * j).sum()
        free, left = (x > 0) & (x < 1), left_at(x)
        for _ in range(5):
            if norms(left) <= goal:
                break
            point, move = np.zeros(len(j)), np.zeros(len(x))
            for _ in range(2):
                gram = (j * free) @ j.T + damping * np.eye(len(j))
                point = point + np.linalg.solve(gram, left - j @ move - damping * point)
                whole = point @ j
                free = (whole > -x) & (whole < 1 - x)
                move = np.clip(whole, -x, 1 - x)
            further = np.clip(x + move, 0, 1)
            now = left_at(further)
            before = norms(left)
            if norms(now) < before:
                x, left = further, now
            if norms(now) >= before / 2:
                break
        result[t, s] = x
    return result


@pytest.mark.parametrize(
    ("reach", "goal"),
    [
        pytest.param(0.05, 1e-6, marks=pytest.mark.slow),
        pytest.param(0.5, 1e-6, marks=pytest.mark.slow),
        (0.5, 0.03),
    ],
)
def test_all_images_take_the_steps_that_each_would_take_alone(rng, network, reach, goal):
    residual, centres, jacobian = network
    images = near(rng, centres, 6, reach)
    ours = approach(residual, images, jacobian, 0.0, 1.0, goal=goal)
    np.testing.assert_allclose(ours, by_hand(residual, images, jacobian, goal), atol=1e-8)
    assert not np.allclose(ours, images)


def test_images_near_the_preimage_come_nearer_in_bounds(rng, network):
    residual, centres, jacobian = network
    images = near(rng, centres, 20, 0.1)
    ours = approach(residual, images, jacobian, 0.0, 1.0, goal=1e-9)
    assert np.median(norms(residual(ours)) / norms(residual(images))) < 1e-3
    assert ours.min() >= 0
    assert ours.max() <= 1


def test_images_that_are_there_stay_to_the_bit(rng, network):
    residual, centres, jacobian = network
    images = near(rng, centres, 6, 0.1)
    goal = float(np.median(norms(residual(images))))
    ours = approach(residual, images, jacobian, 0.0, 1.0, goal=goal)
    there = norms(residual(images)) <= goal
    np.testing.assert_array_equal(ours[there], images[there])
    assert (ours != images).any(axis=-1)[~there].all()


@pytest.mark.parametrize("kind", ["another's", "zero", "nan"])
def test_a_jacobian_that_does_not_fit_does_no_harm(rng, network, kind):
    residual, centres, jacobian = network
    images = near(rng, centres, 6, 0.1)
    wrong = {
        "another's": jnp.asarray(rng.normal(size=jacobian.shape)),
        "zero": jnp.zeros_like(jacobian),
        "nan": jnp.full_like(jacobian, jnp.nan),
    }[kind]
    ours = approach(residual, images, wrong, 0.0, 1.0, goal=1e-9)
    assert np.isfinite(ours).all()
    assert (norms(residual(ours)) <= norms(residual(images))).all()
    if kind != "another's":
        np.testing.assert_array_equal(ours, images)


def test_nothing_is_done_where_the_products_would_not_fit(rng, network, monkeypatch):
    residual, centres, jacobian = network
    images = near(rng, centres, 2, 0.1)
    monkeypatch.setattr(shared_jacobian, "_MOST", 16 * 30 - 1)
    ours = approach(residual, images, jacobian, 0.0, 1.0, goal=1e-9)
    np.testing.assert_array_equal(ours, images)


def test_targets_with_little_room_come_to_the_same(rng, network, monkeypatch):
    residual, centres, jacobian = network
    images = near(rng, centres, 4, 0.1)
    together = approach(residual, images, jacobian, 0.0, 1.0, goal=1e-9)
    monkeypatch.setattr(shared_jacobian, "_MOST", 16 * 30)
    apart = approach(residual, images, jacobian, 0.0, 1.0, goal=1e-9)
    np.testing.assert_allclose(apart, together, atol=1e-9)


def test_logits_that_count_up_to_a_constant(rng):
    """The Gram matrix then has no inverse but for the damping."""
    model, params = problems.random_network((30, 9, 4), rng, scale=0.7)
    centres = jnp.asarray(rng.uniform(0.2, 0.8, (3, 30)))
    wanted = model.logits(params, centres) + 5

    def residual(images):
        answers = model.logits(params, images.reshape(-1, 30)).reshape(*images.shape[:2], 4)
        left = wanted[:, None] - answers
        return left - left.mean(axis=-1, keepdims=True)

    _, jacobian = linearise(lambda x: residual(x[:, None])[:, 0], centres)
    images = near(rng, centres, 20, 0.1)
    ours = jax.jit(lambda x: approach(residual, x, jacobian, 0.0, 1.0, goal=1e-9))(images)
    assert np.median(norms(residual(ours)) / norms(residual(images))) < 1e-3
