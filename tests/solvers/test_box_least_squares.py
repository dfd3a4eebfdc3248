"""Tests of box_least_squares against scipy's lsq_linear."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import lsq_linear, nnls

from jaxbq.solvers import box_least_squares

# The module, which has the function's name.
solver = importlib.import_module("jaxbq.solvers.box_least_squares")


@pytest.fixture(autouse=True)
def _float64(x64):
    """Everything here is about float64, unless it says otherwise."""


SHAPES = {"under": (60, 12), "square": (20, 20), "over": (8, 30)}
ROWS = 3
solve = jax.jit(box_least_squares)


def make(shape, kind, seed=0, low=0.0, high=1.0):  # noqa: PLR0911
    rng = np.random.default_rng(seed)
    n, m = SHAPES[shape]
    weight = rng.normal(size=(n, m)) / np.sqrt(n)
    inside = rng.uniform(low, high, (ROWS, n))
    rank = max(2, min(n, m) // 3)
    low_rank = rng.normal(size=(n, rank)) @ rng.normal(size=(rank, m))
    far = rng.normal(size=(ROWS, m)) * 3
    match kind:
        case "reachable":
            return weight, inside @ weight
        case "vertex":
            return weight, np.where(inside > 0.5 * (low + high), high, low) @ weight
        case "edge":
            return weight, np.clip(rng.normal(0.5, 1, (ROWS, n)), low, high) @ weight
        case "far":
            return weight, far
        case "very far":
            return weight, far * 1e4
        case "rank reachable":
            return low_rank, inside @ low_rank
        case "rank far":
            return low_rank, far
        case "duplicates":
            half = weight[: n // 2]
            return np.concatenate([half, half]), far
        case "positive":
            return np.abs(weight), 1.5 * inside @ np.abs(weight)
        case "zero":
            return np.zeros((n, m)), far
    left, values, right = np.linalg.svd(weight, full_matrices=False)
    weight = (left * np.logspace(0, -8, len(values))) @ right
    return weight, inside @ weight if kind == "ill reachable" else far


KINDS = ["reachable", "vertex", "edge", "far", "very far", "rank reachable", "rank far"]
KINDS += ["duplicates", "positive", "zero", "ill reachable", "ill far"]


def oracle(weight, z, low, high, ridge=0.0, centre=0.5):
    n = weight.shape[0]
    matrix, rhs = weight.T, z
    if ridge:
        matrix = np.vstack([matrix, np.sqrt(ridge) * np.eye(n)])
        rhs = np.concatenate([z, np.full(n, np.sqrt(ridge) * centre)])
    return lsq_linear(matrix, rhs, (low, high), "bvls", tol=1e-14, max_iter=1000).x


def objective(a, weight, z):
    return np.sum((np.asarray(a, float) @ weight - z) ** 2, axis=-1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_objective_matches_scipy(shape, kind):
    weight, z = make(shape, kind)
    answer = solve(jnp.array(weight), jnp.array(z), 0.0, 1.0)
    best = np.array([oracle(weight, row, 0.0, 1.0) for row in z])
    excess = objective(answer.solution, weight, z) - objective(best, weight, z)
    assert np.all(excess <= 1e-9 * np.sum(z**2, axis=1))
    assert np.all(answer.converged)
    assert np.all((answer.solution >= 0) & (answer.solution <= 1))
    np.testing.assert_allclose(
        answer.residual_norm, np.sqrt(objective(answer.solution, weight, z)), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("kind", ["reachable", "vertex", "edge", "rank reachable"])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_can_be_reached_is_reached_to_rounding(shape, kind):
    """The ridge alone would leave 1e-10."""
    weight, z = make(shape, kind, 2)
    answer = solve(jnp.array(weight), jnp.array(z), 0.0, 1.0)
    assert np.all(answer.residual_norm <= 1e-13 * np.linalg.norm(z, axis=1))


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (-1e-3, 5.0), (10.0, 10.5), (-1e4, 1e4)])
def test_other_boxes(bounds):
    weight, z = make("under", "edge", 1, *bounds)
    answer = solve(jnp.array(weight), jnp.array(z), *bounds)
    best = np.array([oracle(weight, row, *bounds) for row in z])
    excess = objective(answer.solution, weight, z) - objective(best, weight, z)
    assert np.all(excess <= 1e-9 * np.sum(z**2, axis=1))
    assert np.all((answer.solution >= bounds[0]) & (answer.solution <= bounds[1]))


@pytest.mark.parametrize("bounds", [(0.0, np.inf), (-np.inf, 0.0), (-np.inf, np.inf)])
@pytest.mark.parametrize("kind", ["reachable", "far", "rank far", "positive"])
@pytest.mark.parametrize("shape", SHAPES)
def test_infinite_sides(shape, kind, bounds):
    weight, z = make(shape, kind)
    answer = solve(jnp.array(weight), jnp.array(z), *bounds)
    # not lsq_linear: its trf uses the rounding-level singular values, with entries of 1e15
    if np.isinf(bounds[0]) and np.isinf(bounds[1]):
        best = np.linalg.lstsq(weight.T, z.T, rcond=None)[0].T
    else:
        sign = 1 if bounds[0] == 0 else -1
        best = np.array([sign * nnls(sign * weight.T, row)[0] for row in z])
    excess = objective(answer.solution, weight, z) - objective(best, weight, z)
    assert np.all(excess <= 1e-9 * np.sum(z**2, axis=1))
    assert np.all((answer.solution >= bounds[0]) & (answer.solution <= bounds[1]))


@pytest.mark.parametrize("kind", ["reachable", "edge", "far", "rank reachable", "rank far", "zero"])
@pytest.mark.parametrize("shape", SHAPES)
def test_ties_go_to_the_centre(shape, kind):
    weight, z = make(shape, kind, 2)
    answer = solve(jnp.array(weight), jnp.array(z), 0.0, 1.0)
    ridge = 1e-10 * max(np.linalg.norm(weight, 2) ** 2, 1e-3)
    near = np.array([oracle(weight, row, 0.0, 1.0, ridge) for row in z])
    np.testing.assert_allclose(answer.solution, near, atol=1e-5)


@pytest.mark.device
def test_exact_ties():
    weight = jnp.ones((4, 1))  # all rows of W alike: the centre-nearest point has equal entries
    answer = solve(weight, jnp.array([[1.0], [2.0], [9.0], [-9.0]]), 0.0, 1.0)
    expected = np.array([0.25, 0.5, 1.0, 0.0])[:, None] * np.ones(4)
    np.testing.assert_allclose(answer.solution, expected, atol=1e-12)
    assert np.array_equal(answer.solution[2:], expected[2:])
    moved = solve(weight, jnp.array([[1.0]]), 0.0, 10.0, centre=jnp.float64(0.2))
    np.testing.assert_allclose(moved.solution, np.full((1, 4), 0.25), atol=1e-9)


@pytest.fixture(scope="module")
def interior_alone():
    """A program without the phases that polish what the first one finds."""
    with pytest.MonkeyPatch.context() as patch, jax.enable_x64(True):
        patch.setattr(solver, "_ACTIVE_SET_STEPS", 0)
        patch.setattr(solver, "_PROXIMAL_STEPS", 0)
        # Another function than that of `solve`, so that it is traced anew.
        alone = jax.jit(lambda *given: box_least_squares(*given))  # noqa: PLW0108
        weight, z = make("under", "far")
        return alone.lower(jnp.array(weight), jnp.array(z), 0.0, 1.0, 0.5).compile()


@pytest.mark.parametrize("centre", [0.02, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["reachable", "edge", "far", "rank far"])
def test_the_interior_phase_alone_is_right_from_any_centre(kind, centre, interior_alone):
    weight, z = make("under", kind, 3)
    answer = interior_alone(jnp.array(weight), jnp.array(z), 0.0, 1.0, centre)
    best = np.array([oracle(weight, row, 0.0, 1.0) for row in z])
    excess = objective(answer.solution, weight, z) - objective(best, weight, z)
    # The ridge's bias, 3e-11 of the scale, and the certificate that ends the phase.
    assert np.all(excess <= 1e-8 * np.sum(z**2, axis=1))
    # Every iteration is one of the interior phase, and needs a good start to be one of few.
    assert np.all(answer.iterations <= 24)
    # Ties go to the centre up to the certificate's share of the ridge: 0.003 is seen.
    ridge = 1e-10 * np.linalg.norm(weight, 2) ** 2
    near = np.array([oracle(weight, row, 0.0, 1.0, ridge, centre) for row in z])
    np.testing.assert_allclose(answer.solution, near, atol=0.02)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_row_leaves_the_others_alone(bad):
    weight, z = make("under", "far")
    spoiled = z.copy()
    spoiled[1, 3] = bad
    clean = solve(jnp.array(weight), jnp.array(z), 0.0, 1.0)
    answer = solve(jnp.array(weight), jnp.array(spoiled), 0.0, 1.0)
    keep = np.array([0, 2])
    for field, other in zip(answer, clean, strict=True):
        np.testing.assert_array_equal(field[keep], other[keep])
    assert not answer.converged[1]
    assert not np.isfinite(answer.residual_norm[1])
    np.testing.assert_array_equal(answer.solution[1], 0.5)


# The two branches of the code by shape: more unknowns than equations, and not.
@pytest.mark.parametrize("shape", ["under", "over"])
def test_jit_equals_eager(shape):
    weight, z = map(jnp.array, make(shape, "far"))
    eager, jitted = box_least_squares(weight, z, 0.0, 1.0), solve(weight, z, 0.0, 1.0)
    np.testing.assert_allclose(eager.solution, jitted.solution, atol=1e-7)
    np.testing.assert_allclose(eager.residual_norm, jitted.residual_norm, rtol=1e-12)


def test_rows_do_not_depend_on_the_batch():
    weight, z = map(jnp.array, make("under", "edge"))
    whole = solve(weight, z, 0.0, 1.0)
    single = solve(weight, z[1:2], 0.0, 1.0)
    np.testing.assert_allclose(whole.solution[1:2], single.solution, atol=1e-7)


@pytest.mark.parametrize("factor", [1e-150, 1e-20, 1e20, 1e150])
def test_scale_of_the_problem_does_not_matter(factor):
    weight, z = make("under", "edge")
    answer = solve(jnp.array(weight), jnp.array(z), 0.0, 1.0)
    scaled = solve(jnp.array(weight * factor), jnp.array(z * factor), 0.0, 1.0)
    np.testing.assert_allclose(scaled.solution, answer.solution, atol=1e-7)


@pytest.mark.device
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_float32(shape, kind):
    weight, z = (v.astype(np.float32) for v in make(shape, kind))
    answer = solve(jnp.array(weight), jnp.array(z), 0.0, 1.0)
    assert answer.solution.dtype == jnp.float32
    assert np.all((answer.solution >= 0) & (answer.solution <= 1))
    weight, z = weight.astype(float), z.astype(float)
    best = np.array([oracle(weight, row, 0.0, 1.0) for row in z])
    excess = objective(answer.solution, weight, z) - objective(best, weight, z)
    tolerance = 1e-4 if kind.startswith("ill") else 1e-5
    assert np.all(excess <= tolerance * np.sum(z**2, axis=1))
    assert np.all(answer.converged)
