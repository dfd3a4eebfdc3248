"""Tests of the exact preimage."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError
from scipy.optimize import least_squares

from jaxbq.solvers import gauss_newton as gn


@pytest.fixture(autouse=True)
def _float64(x64):
    """Everything here is about float64, unless it says otherwise."""


@pytest.fixture(autouse=True)
def _promotion():
    """The networks of these tests are written as a user would write them."""
    with jax.numpy_rank_promotion("allow"):
        yield


def small(seed, sizes=(30, 12, 10, 9, 4), act=jnp.tanh, dtype=jnp.float64):
    r = np.random.default_rng(seed)
    layers = [
        (jnp.asarray(r.normal(size=(a, b)) / np.sqrt(a), dtype), jnp.asarray(r.normal(size=b) / 5))
        for a, b in itertools.pairwise(sizes)
    ]

    def logits(x):
        for w, b in layers[:-1]:
            x = act(x @ w + b)
        return x @ layers[-1][0] + layers[-1][1]

    return logits


def images(seed, rows=12, pixels=30):
    return jnp.asarray(np.random.default_rng(seed).uniform(size=(rows, pixels)))


@pytest.fixture
def mnist(standard, mnist_10k):
    """Make the trained network's logits, ten real digits for each of ten codes, and the codes."""

    def make(dtype):
        (w1, b1), (w2, b2) = (
            (jnp.asarray(layer.weight, dtype), jnp.asarray(layer.bias, dtype))
            for layer in standard[1]
        )
        digits = mnist_10k.reference.starts
        starts = jnp.repeat(jnp.asarray(digits, dtype), 10, axis=0)
        code = jnp.where(jnp.eye(10) > 0, 0.99, 0.01)
        wanted = jnp.tile(jnp.log(code / (1 - code)), (10, 1)).astype(dtype)
        return lambda x: jax.nn.sigmoid(x @ w1 + b1) @ w2 + b2, starts, wanted

    return make


def centred(r):
    return r - r.mean(-1, keepdims=True)


@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float64, 1e-8), (jnp.float32, 1e-4)])
@pytest.mark.parametrize("start", ["digits", "grey", "uniform", "black"])
def test_all_hundred_codes_are_reached_inside_the_range(mnist, dtype, tolerance, start):
    logits, x0, wanted = mnist(dtype)
    uniform = jnp.asarray(np.random.default_rng(1).uniform(size=x0.shape), dtype)
    fixed = {"digits": x0, "uniform": uniform, "grey": x0 * 0 + 0.5, "black": x0 * 0}
    x0 = fixed[start]
    out = gn.solve(logits, x0, wanted, 0.0, 1.0, tolerance=tolerance)
    assert (out.reason == gn.REACHED).all()
    assert out.images.dtype == dtype
    assert out.images.min() >= 0
    assert out.images.max() <= 1
    # Another batch shape rounds otherwise: hence the slack of a few units in the last place.
    slack = 100 * float(jnp.finfo(dtype).eps)
    assert jnp.linalg.norm(wanted - logits(out.images), axis=1).max() <= tolerance + slack
    assert np.median(out.iterations) <= (8 if start == "digits" else 12)
    if start == "digits":
        assert out.iterations.max() <= 20


@pytest.mark.parametrize("act", [jnp.tanh, jax.nn.sigmoid])
@pytest.mark.parametrize("softmax", [False, True])
def test_three_hidden_layers_reach_what_some_image_gives(act, softmax):
    logits = small(3, act=act)
    shift = 7.0 if softmax else 0.0  # softmax: the same outputs with every logit moved
    out = gn.solve(
        logits, images(1), logits(images(2)) + shift, 0.0, 1.0, tolerance=1e-10,
        project=centred if softmax else None,
    )  # fmt: skip
    assert (out.reason == gn.REACHED).all()
    gap = logits(images(2)) - logits(out.images)
    np.testing.assert_allclose(centred(gap) if softmax else gap, 0, atol=1e-9)


@pytest.mark.parametrize("project", [None, pytest.param(centred, marks=pytest.mark.slow)])
def test_unreachable_targets_end_stationary_where_scipy_finds_nothing_less(project):
    logits, x0 = small(5), images(3, 8)
    wanted = jnp.asarray(np.random.default_rng(0).normal(size=(8, 4)) * 5)
    out = gn.solve(logits, x0, wanted, 0.0, 1.0, tolerance=1e-8, project=project)
    assert (out.reason == gn.STATIONARY).all()
    for x, z, norm in zip(out.images, wanted, out.residual, strict=True):
        r = jax.jit(lambda x, z=z: (project or (lambda q: q))(z - logits(x[None]))[0])
        best = least_squares(
            r, np.clip(x, 1e-9, 1 - 1e-9), jax.jit(jax.jacrev(r)), bounds=(0, 1),
            xtol=1e-15, ftol=1e-15, gtol=1e-12, max_nfev=200,
        )  # fmt: skip
        assert norm <= np.sqrt(2 * best.cost) * (1 + 1e-8)
        assert norm == pytest.approx(float(jnp.linalg.norm(r(x))), rel=1e-12)


def test_unreachable_codes_of_the_trained_network_satisfy_first_order_conditions(mnist):
    logits, x0, wanted = mnist(jnp.float64)
    x0, wanted = x0[::9], 10 * wanted[::9]
    # How many it takes hangs on the network's last digits: 51 to 342 in nine networks.
    out = gn.solve(logits, x0, wanted, 0.0, 1.0, tolerance=1e-8, max_iterations=1000)
    assert (out.reason == gn.STATIONARY).all()
    r, pull = jax.vjp(logits, out.images)
    descent = pull(wanted - r)[0]
    moved = jnp.clip(out.images + descent * 1e-3, 0, 1) - out.images
    scale = jnp.linalg.norm(descent, axis=1) * 1e-3
    assert (jnp.linalg.norm(moved, axis=1) <= 1e-5 * scale).all()


def test_linear_network_gets_the_bounded_least_norm_step():
    matrix = jnp.asarray(np.random.default_rng(2).normal(size=(30, 4)))
    x0 = images(4, 5)
    wanted = images(5, 5) @ matrix
    out = gn.solve(lambda x: x @ matrix, x0, wanted, 0.0, 1.0, tolerance=1e-11)
    assert (out.reason == gn.REACHED).all()
    # Least squares with a small weight on the distance is the least-norm solution in the limit.
    for x, z, y in zip(x0, wanted, out.images, strict=True):
        a = np.vstack([np.asarray(matrix).T * 1e4, np.eye(30)])
        b = np.concatenate([np.asarray(z) * 1e4, np.asarray(x)])
        best = least_squares(lambda v, a=a, b=b: a @ v - b, np.full(30, 0.5), bounds=(0, 1),
                             xtol=1e-15, ftol=1e-15, gtol=1e-12)  # fmt: skip
        assert jnp.linalg.norm(y - x) <= 1.05 * np.linalg.norm(best.x - np.asarray(x))


def test_a_row_that_is_not_finite_disturbs_no_other():
    logits, x0 = small(6), images(6)
    wanted = logits(images(7))
    spoilt = wanted.at[2, 1].set(jnp.nan).at[5, 0].set(jnp.inf)
    bad_start = x0.at[8, 3].set(jnp.nan)
    clean = gn.solve(logits, x0, wanted, 0.0, 1.0, tolerance=1e-9, lanes=4)
    out = gn.solve(logits, bad_start, spoilt, 0.0, 1.0, tolerance=1e-9, lanes=4)
    rows = np.array([2, 5, 8])
    assert (out.reason[rows] == gn.DIVERGED).all()
    others = np.delete(np.arange(12), rows)
    assert (out.reason[others] == gn.REACHED).all()
    np.testing.assert_allclose(out.images[others], clean.images[others], atol=1e-7)


@pytest.mark.slow
def test_jit_and_singles_agree_with_the_eager_batch():
    logits, x0 = small(7), images(8)
    wanted = logits(images(9))
    eager = gn.solve(logits, x0, wanted, 0.0, 1.0, tolerance=1e-9, damping=1e-9)
    jitted = jax.jit(lambda x, z, t, d: gn.solve(logits, x, z, 0.0, 1.0, tolerance=t, damping=d))(
        x0, wanted, 1e-9, 1e-9
    )
    np.testing.assert_allclose(eager.images, jitted.images, atol=1e-9)
    np.testing.assert_array_equal(eager.iterations, jitted.iterations)
    for i in (0, 5, 11):
        one = gn.solve(logits, x0[i : i + 1], wanted[i : i + 1], 0.0, 1.0, tolerance=1e-9,
                       damping=1e-9)  # fmt: skip
        np.testing.assert_allclose(one.images[0], eager.images[i], atol=1e-8)
        assert one.iterations[0] == eager.iterations[i]


@pytest.mark.slow
def test_degenerate_networks_end_without_nan():
    constant = gn.solve(lambda x: x @ jnp.zeros((30, 4)), images(1), jnp.ones((12, 4)), 0.0, 1.0,
                        tolerance=1e-8)  # fmt: skip
    assert (constant.reason == gn.STATIONARY).all()
    np.testing.assert_allclose(constant.residual, 2)
    twice = small(2)  # two equal outputs: J J^T singular
    double = lambda x: jnp.concatenate([twice(x), twice(x)], 1)  # noqa: E731
    out = gn.solve(double, images(1), double(images(2)), 0.0, 1.0, tolerance=1e-9)
    assert (out.reason == gn.REACHED).all()
    point = gn.solve(twice, images(1), twice(images(2)), 0.5, 0.5, tolerance=1e-9)
    assert (point.images == 0.5).all()
    assert (point.reason == gn.STATIONARY).all()


def test_bounds_per_pixel_and_pixels_that_come_free_again():
    logits = small(8)
    low, high = jnp.linspace(-0.2, 0.3, 30), jnp.linspace(0.5, 0.9, 30)
    inside = low + (high - low) * images(2)
    corner = jnp.broadcast_to(low, inside.shape)  # every pixel starts on its bound
    out = gn.solve(logits, corner, logits(inside), low, high, tolerance=1e-10)
    assert (out.reason == gn.REACHED).all()
    assert (out.images >= low).all()
    assert (out.images <= high).all()


def test_the_limit_ends_a_row_and_the_residual_never_grows():
    logits, x0 = small(9), images(1)
    wanted = logits(images(2)) + 3
    before = jnp.linalg.norm(wanted - logits(x0), axis=1)
    for most in (0, 1, 2, 4):
        out = gn.solve(logits, x0, wanted, 0.0, 1.0, tolerance=1e-12, max_iterations=most)
        assert (out.iterations <= most).all()
        assert (out.residual <= before + 1e-14).all()
        assert most or (out.reason == gn.MAX_ITERATIONS).all()
        before = out.residual


@pytest.mark.parametrize(
    ("x0", "wanted", "message"),
    [
        (np.ones((2, 30), int), np.ones((2, 4)), "floating|Float"),
        (np.ones((2, 30)), np.ones((2, 5)), "disagree|wanted"),
        (np.ones(30), np.ones((1, 4)), "disagree|x0"),
    ],
)
def test_inputs_that_do_not_belong_together_are_refused(x0, wanted, message):
    # While tests run, annotations are checked before the function's own checks.
    with pytest.raises((TypeError, ValueError, TypeCheckError), match=message):
        gn.solve(small(1), jnp.asarray(x0), jnp.asarray(wanted), 0.0, 1.0, tolerance=1e-8)
