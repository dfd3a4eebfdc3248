"""Against SciPy's bounded least squares, and by the first-order conditions of the box."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares

from jaxbq.solvers import projected_gauss_newton as gauss_newton

pytestmark = pytest.mark.usefixtures("x64")

OUTPUTS, VARIABLES = 3, 12
BOX = (-0.4, 0.5)


def outputs(u, weight):
    return jnp.tanh(u @ weight) @ jnp.asarray([[2.0, -1, 0.5], [0.3, 1, -2], [1, 1, 1]])


def rough(u):
    """A prior that ties neighbours; its Hessian is not diagonal."""
    return 0.5 * jnp.square(jnp.diff(u)).sum() + 0.05 * jnp.square(u).sum()


def solve(weight, wanted, prior, steps=40, box=BOX):
    """Minimise ½‖outputs − wanted‖² + prior · rough(u), row by row."""

    def residuals(u):
        return outputs(u, weight) - wanted

    def costs(u):
        return 0.5 * jnp.square(residuals(u)).sum(axis=1) + prior * jax.vmap(rough)(u)

    def product(u):
        slopes = jax.vmap(jax.grad(lambda u: prior * rough(u)))
        return lambda v: jax.jvp(slopes, (u,), (v,))[1]

    def step(carry, _):
        u, state = carry
        now, gradient = costs(u), jax.grad(lambda u: costs(u).sum())(u)
        jacobian = jax.vmap(jax.jacobian(lambda u: outputs(u, weight)))(u)
        root = jnp.broadcast_to(jnp.eye(OUTPUTS), (len(u), OUTPUTS, OUTPUTS))
        given = root, product(u) if prior else None
        carry = gauss_newton.step(costs, u, now, gradient, jacobian, *given, state, *box)
        return carry, now

    start = jnp.zeros((len(wanted), VARIABLES))
    begin = start, gauss_newton.init(start)
    (u, _), seen = jax.jit(lambda: jax.lax.scan(step, begin, length=steps))()
    slope = jax.grad(lambda u: costs(u).sum())(u)
    return np.asarray(u), np.asarray(jnp.clip(u - slope, *box) - u), np.asarray(seen)


@pytest.fixture
def problem(rng):
    weight = jnp.asarray(rng.normal(size=(VARIABLES, OUTPUTS)))
    return weight, jnp.asarray(rng.normal(size=(4, OUTPUTS)) * 1.5)


@pytest.mark.parametrize("prior", [0.0, 0.3])
def test_it_ends_where_scipy_does(problem, prior):
    weight, wanted = problem
    u, measure, seen = solve(weight, wanted, prior)
    assert np.abs(measure).max() < 1e-6
    assert u.min() >= BOX[0]
    assert u.max() <= BOX[1]
    assert (np.diff(seen, axis=0) <= 0).all()
    matrix = np.diff(np.eye(VARIABLES), axis=0)
    for row, own in zip(u, np.asarray(wanted), strict=True):

        def residuals(v, own=own):
            ties = np.sqrt(prior) * np.concatenate([matrix @ v, np.sqrt(0.1) * v])
            return np.concatenate([np.asarray(outputs(v, weight)) - own, ties])

        found = least_squares(residuals, np.zeros(VARIABLES), bounds=BOX, xtol=1e-12, ftol=1e-14)
        cost = 0.5 * np.square(residuals(row)).sum()
        assert cost <= found.cost + 1e-7


def test_few_steps_suffice_where_the_target_is_within_reach(problem):
    """And the first of them are of least norm: they stay in the span of the Jacobian's rows."""
    weight, _ = problem
    wanted = outputs(jnp.full((2, VARIABLES), 0.05), weight)
    u, _, seen = solve(weight, wanted, 0.0, steps=8)
    assert seen[-1].max() < 1e-12
    outside = u - u @ np.asarray(weight) @ np.linalg.pinv(np.asarray(weight))
    assert np.abs(outside).max() < 1e-9


def test_rows_do_not_touch_each_other(problem):
    weight, wanted = problem
    together, *_ = solve(weight, wanted, 0.3, steps=10)
    alone, *_ = solve(weight, wanted[1:2], 0.3, steps=10)
    np.testing.assert_allclose(together[1], alone[0], atol=1e-8)


def test_a_stationary_row_stays_and_is_stuck(problem):
    weight, _ = problem
    at = outputs(jnp.zeros((4, VARIABLES)), weight)
    u, measure, _ = solve(weight, at, 0.0, steps=2)
    np.testing.assert_array_equal(u, 0)
    assert not measure.any()


def test_a_root_has_its_curvature_less_the_negative_part(rng):
    vectors = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    values = np.array([2.0, 0.5, -1.0])
    root = np.asarray(gauss_newton.root_of(jnp.asarray(vectors * values @ vectors.T)))
    np.testing.assert_allclose(root.T @ root, vectors * [2, 0.5, 0] @ vectors.T, atol=1e-12)
