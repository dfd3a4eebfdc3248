"""Against SciPy's L-BFGS-B, and by the first-order conditions of the box."""

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


def solve(cost, b, low, high, steps, memory=10):
    costs = jax.jit(lambda u: jax.vmap(cost)(u, b))
    gradients = jax.jit(jax.vmap(jax.grad(cost)))

    @jax.jit
    def step(u, state):
        return projected_lbfgs.step(costs, u, costs(u), gradients(u, b), state, low, high, memory)

    u = jnp.zeros_like(b)
    state, seen = projected_lbfgs.init(u, memory), [costs(u)]
    for _ in range(steps):
        u, state = step(u, state)
        seen.append(costs(u))
    measure = jnp.abs(jnp.clip(u - gradients(u, b), low, high) - u).max(axis=1)
    return np.asarray(u), np.asarray(measure), np.stack(seen)


@pytest.mark.parametrize("cost", [rosenbrock, bowl])
@pytest.mark.parametrize("box", [(-0.3, 0.8), (-np.inf, np.inf)])
def test_it_ends_where_scipy_does(cost, box, rng):
    b = rng.normal(size=(3, 12)) * 3
    u, measure, seen = solve(cost, jnp.asarray(b), *box, 300)
    assert measure.max() < 1e-5
    assert u.min() >= box[0]
    assert u.max() <= box[1]
    assert (np.diff(seen, axis=0) <= 0).all()
    for row, own in zip(u, b, strict=True):
        scipys = minimize(
            lambda v, own=own: float(cost(jnp.asarray(v), jnp.asarray(own))),
            np.zeros(12),
            jac=lambda v, own=own: np.asarray(jax.grad(cost)(jnp.asarray(v), jnp.asarray(own))),
            method="L-BFGS-B",
            bounds=[box] * 12,
            options={"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-8},
        )
        assert float(cost(jnp.asarray(row), jnp.asarray(own))) <= scipys.fun + 1e-8


def test_curvature_pays(rng):
    """Within forty steps it is where the plain gradient with the same search is not."""
    b = jnp.asarray(rng.normal(size=(2, 12)))
    ours = solve(bowl, b, -5.0, 5.0, 40)[2][-1]
    one = solve(bowl, b, -5.0, 5.0, 40, memory=1)[2][-1]
    assert (ours <= one + 1e-9).all()
    assert (ours < one - 1e-9).any() or np.allclose(ours, one, atol=1e-9)


def test_a_stationary_row_stays_and_is_stuck():
    u, measure, _ = solve(lambda u, b: -b @ u, jnp.ones((1, 4)), 0.0, 1.0, 3)
    np.testing.assert_array_equal(u, 1)
    assert measure.max() == 0


def test_rows_do_not_touch_each_other(rng):
    b = jnp.asarray(rng.normal(size=(3, 12)) * 3)
    together = solve(rosenbrock, b, -0.3, 0.8, 30)[0]
    alone = solve(rosenbrock, b[1:2], -0.3, 0.8, 30)[0]
    np.testing.assert_allclose(together[1], alone[0], atol=1e-6)
