import jax
import jax.numpy as jnp
import numpy as np
import problems
import pytest
from scipy.special import expit

from jaxbq.solvers import shared_jacobian
from jaxbq.solvers.gauss_newton import linearise
from jaxbq.solvers.shared_jacobian import approach


@pytest.fixture(autouse=True)
def _float64(x64):
    """Everything here is about float64."""


class Network:
    """Three targets of a network of 30 pixels and 4 outputs, and their preimages' Jacobians."""

    def __init__(self, rng):
        self.model, self.params = problems.random_network((30, 9, 4), rng, scale=0.7)
        self.centres = rng.uniform(0.2, 0.8, (3, 30))
        self.wanted = jax.jit(self.model.logits)(self.params, self.centres)

        def residual(centres):
            return self.traced(centres[:, None])[:, 0]

        self.jacobian = jax.jit(lambda x: linearise(residual, x)[1])(self.centres)

    def traced(self, images):
        answers = self.model.logits(self.params, images.reshape(-1, 30))
        return self.wanted[:, None] - answers.reshape(*images.shape[:2], 4)

    def residual(self, images):
        """The same in NumPy."""
        (w1, b1, _), (w2, b2, _) = (map(np.asarray, layer) for layer in self.params)
        answers = expit(np.asarray(images) @ w1 + b1) @ w2 + b2
        return np.asarray(self.wanted)[:, None] - answers

    def compiled(self):
        """What is tested, as a program of its own."""

        def ours(images, jacobian, goal):
            return approach(self.traced, images, jacobian, 0.0, 1.0, goal=goal)

        program = jax.jit(ours)
        return lambda *given: np.asarray(program(*given))


@pytest.fixture(scope="module")
def network():
    with jax.enable_x64(True):
        return Network(np.random.default_rng(7))


@pytest.fixture(scope="module")
def ours(network):
    """Compiled once: every test has as many images."""
    return network.compiled()


def near(rng, network, reach, samples=6):
    return np.clip(network.centres[:, None] + reach * rng.normal(size=(3, samples, 30)), 0, 1)


def norms(left):
    return np.linalg.norm(left, axis=-1)


def by_hand(residual, images, jacobian, goal):
    """Image after image in NumPy: the definition, solved by dense matrices."""
    result = np.array(images)
    for t, s in np.ndindex(*result.shape[:2]):

        def left_at(x, t=t, s=s):
            others = np.array(images)
            others[t, s] = x
            return residual(others)[t, s]

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


@pytest.mark.device
@pytest.mark.parametrize(("reach", "goal"), [(0.05, 1e-6), (0.5, 1e-6), (0.5, 0.03)])
def test_all_images_take_the_steps_that_each_would_take_alone(rng, network, ours, reach, goal):
    images = near(rng, network, reach)
    found = ours(images, network.jacobian, goal)
    expected = by_hand(network.residual, images, network.jacobian, goal)
    np.testing.assert_allclose(found, expected, atol=1e-8)
    assert not np.allclose(found, images)


def test_images_near_the_preimage_come_nearer_in_bounds(rng, network, ours):
    images = near(rng, network, 0.1)
    found = ours(images, network.jacobian, 1e-9)
    before, now = (norms(network.residual(each)) for each in (images, found))
    assert np.median(now / before) < 1e-3
    assert found.min() >= 0
    assert found.max() <= 1


def test_images_that_are_there_stay_to_the_bit(rng, network, ours):
    images = near(rng, network, 0.1)
    before = norms(network.residual(images))
    goal = float(np.median(before))
    found = ours(images, network.jacobian, goal)
    np.testing.assert_array_equal(found[before <= goal], images[before <= goal])
    assert (found != images).any(axis=-1)[before > goal].all()


@pytest.mark.parametrize("kind", ["another's", "zero", "nan"])
def test_a_jacobian_that_does_not_fit_does_no_harm(rng, network, ours, kind):
    images = near(rng, network, 0.1)
    shape = network.jacobian.shape
    wrong = {
        "another's": rng.normal(size=shape),
        "zero": np.zeros(shape),
        "nan": np.full(shape, np.nan),
    }[kind]
    found = ours(images, wrong, 1e-9)
    assert np.isfinite(found).all()
    before, now = (norms(network.residual(each)) for each in (images, found))
    # Up to rounding: theirs is another program.
    assert (now <= before * (1 + 1e-12)).all()
    if kind != "another's":
        np.testing.assert_array_equal(found, images)


def test_nothing_is_done_where_the_products_would_not_fit(rng, network, monkeypatch):
    images = near(rng, network, 0.1)
    monkeypatch.setattr(shared_jacobian, "_MOST", 16 * 30 - 1)
    np.testing.assert_array_equal(network.compiled()(images, network.jacobian, 1e-9), images)


def test_targets_with_little_room_come_to_the_same(rng, network, ours, monkeypatch):
    images = near(rng, network, 0.1)
    together = ours(images, network.jacobian, 1e-9)
    monkeypatch.setattr(shared_jacobian, "_MOST", 16 * 30)
    apart = network.compiled()(images, network.jacobian, 1e-9)
    np.testing.assert_allclose(apart, together, atol=1e-9)


def test_logits_that_count_up_to_a_constant(rng, network):
    """The Gram matrix then has no inverse but for the damping."""

    def centred(left):
        return left - left.mean(axis=-1, keepdims=True)

    def residual(images):
        return centred(network.traced(images) + 5)

    @jax.jit
    def found_for(images):
        _, jacobian = linearise(lambda x: residual(x[:, None])[:, 0], jnp.asarray(network.centres))
        return approach(residual, images, jacobian, 0.0, 1.0, goal=1e-9)

    images = near(rng, network, 0.1)
    found = np.asarray(found_for(images))
    before, now = (norms(centred(network.residual(each))) for each in (images, found))
    assert np.median(now / before) < 1e-3


@pytest.mark.parametrize(("too_large", "left"), [(2.5, 0.6), (1.25, 0.2**5)])
def test_an_image_goes_on_as_long_as_a_step_halves_what_is_left(rng, too_large, left):
    """A linear network, and a Jacobian too large by a factor k: a step leaves 1 - 1/k of |r|."""
    matrix = rng.normal(size=(8, 3))
    images = 0.5 + 0.01 * rng.normal(size=(1, 2, 8))
    wanted = (np.full(8, 0.5) @ matrix)[None, None]
    jacobian = too_large * jnp.asarray(matrix.T)[None]
    found = approach(lambda x: wanted - x @ matrix, images, jacobian, 0.0, 1.0, goal=1e-9)
    before, now = (norms(wanted - each @ matrix) for each in (images, found))
    np.testing.assert_allclose(now / before, left, rtol=1e-6)
