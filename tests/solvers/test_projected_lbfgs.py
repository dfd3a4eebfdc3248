"""Against SciPy's L-BFGS-B, and by the first-order conditions of the box."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from jaxbq.solvers import projected_lbfgs

pytestmark = pytest.mark.usefixtures("x64")


def rosenbrock(u, b):
    return jnp.sum(100 * (u[1:] - u[:-1] ** 2) ** 2 + (1 - u[:-1]) ** 2) + 0.01 * b @ u


def bowl(u, b):
    n = len(u)
    matrix = jnp.eye(n) * 0.02 + jnp.cos(jnp.outer(jnp.arange(n), jnp.arange(n))) / n
    return 0.5 * jnp.sum((matrix @ u) ** 2) - b @ u / 10


@partial(jax.jit, static_argnums=(0, 4, 5))
def _solve(cost, b, low, high, steps, memory):
    def costs(u):
        return jax.vmap(cost)(u, b)

    gradients = jax.vmap(jax.grad(cost))

    def step(carry, _):
        u, state = carry
        now = costs(u)
        u, state = projected_lbfgs.step(costs, u, now, gradients(u, b), state, low, high, memory)
        return (u, state), now

    begin = jnp.zeros_like(b), projected_lbfgs.init(jnp.zeros_like(b), memory)
    (u, _), seen = jax.lax.scan(step, begin, length=steps)
    measure = jnp.abs(jnp.clip(u - gradients(u, b), low, high) - u).max(axis=1)
    return u, measure, jnp.concatenate([seen, costs(u)[None]])


def solve(cost, b, low, high, steps, memory=10):
    return [np.asarray(found) for found in _solve(cost, b, low, high, steps, memory)]


@pytest.mark.device
@pytest.mark.parametrize("cost", [rosenbrock, bowl])
@pytest.mark.parametrize("box", [(-0.3, 0.8), (-np.inf, np.inf)])
def test_it_ends_where_scipy_does(cost, box, rng):
    b = rng.normal(size=(3, 12)) * 3
    u, measure, seen = solve(cost, jnp.asarray(b), *box, 300)
    assert measure.max() < 1e-5
    assert u.min() >= box[0]
    assert u.max() <= box[1]
    assert (np.diff(seen, axis=0) <= 0).all()
    both = jax.jit(jax.value_and_grad(cost))
    for row, own in zip(u, b, strict=True):
        scipys = minimize(
            lambda v, own=own: both(v, own),
            np.zeros(12),
            jac=True,
            method="L-BFGS-B",
            bounds=[box] * 12,
            options={"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-8},
        )
        assert both(row, own)[0] <= scipys.fun + 1e-8


def test_curvature_pays(rng):
    """Within forty steps it is far nearer to the end than one remembered pair leads."""
    b = jnp.asarray(rng.normal(size=(2, 12)) * 3)
    least = np.asarray(_solve(rosenbrock, b, -5.0, 5.0, 300, 10)[2][-1])
    ours, one = (solve(rosenbrock, b, -5.0, 5.0, 40, memory)[2][-1] - least for memory in (10, 1))
    assert (ours < 0.5 * one).all()


def test_a_stationary_row_stays_and_is_stuck():
    u, measure, _ = solve(lambda u, b: -b @ u, jnp.ones((1, 4)), 0.0, 1.0, 3)
    np.testing.assert_array_equal(u, 1)
    assert measure.max() == 0


def test_rows_do_not_touch_each_other(rng):
    b = jnp.asarray(rng.normal(size=(3, 12)) * 3)
    together, *_ = solve(rosenbrock, b, -0.3, 0.8, 30)
    alone, *_ = solve(rosenbrock, b[1:2], -0.3, 0.8, 30)
    np.testing.assert_allclose(together[1], alone[0], atol=1e-6)
