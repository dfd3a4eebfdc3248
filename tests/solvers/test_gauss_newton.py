"""Tests of the exact preimage."""

import itertools
from functools import partial

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


def small(seed, sizes=(30, 12, 10, 9, 4)):
    """Layers of a network, as pairs of weight and bias."""
    r = np.random.default_rng(seed)
    return tuple(
        (jnp.asarray(r.normal(size=(a, b)) / np.sqrt(a)), jnp.asarray(r.normal(size=b) / 5))
        for a, b in itertools.pairwise(sizes)
    )


def network(act, layers, x):
    for w, b in layers[:-1]:
        x = act(x @ w + b)
    return x @ layers[-1][0] + layers[-1][1]


def doubled(layers, x):
    """Every output twice: J J^T is singular."""
    return jnp.concatenate([tanh(layers, x)] * 2, axis=1)


# What networks are made of, each of these once: one program for each serves all tests.
tanh, sigmoid = (partial(network, act) for act in (jnp.tanh, jax.nn.sigmoid))
answer = jax.jit(lambda apply, layers, x: apply(layers, x), static_argnums=0)


@partial(jax.jit, static_argnums=(0, 7, 8))
def _solve(apply, layers, x0, wanted, low, high, more, project, lanes):
    return gn.solve(
        partial(apply, layers), x0, wanted, low, high, project=project, lanes=lanes, **more
    )


def solve(
    layers, x0, wanted, tolerance, apply=tanh, box=(0.0, 1.0), project=None, lanes=None, **more
):
    more = {"tolerance": tolerance, "max_iterations": 300, "damping": 0.0} | more
    low, high = map(jnp.asarray, box)
    return _solve(apply, layers, x0, wanted, low, high, more, project, lanes)


def images(seed, rows=12, pixels=30):
    return jnp.asarray(np.random.default_rng(seed).uniform(size=(rows, pixels)))


@pytest.fixture
def mnist(standard, mnist_10k):
    """Make the trained network's layers, ten real digits for each of ten codes, and the codes."""

    def make(dtype):
        layers = tuple(
            (jnp.asarray(layer.weight, dtype), jnp.asarray(layer.bias, dtype))
            for layer in standard[1]
        )
        starts = np.repeat(np.asarray(mnist_10k.reference.starts, dtype), 10, axis=0)
        code = np.where(np.eye(10) > 0, 0.99, 0.01)
        wanted = np.tile(np.log(code / (1 - code)), (10, 1)).astype(dtype)
        return layers, jnp.asarray(starts), jnp.asarray(wanted)

    return make


def centred(r):
    return r - r.mean(-1, keepdims=True)


@pytest.mark.device
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-8), (np.float32, 1e-4)])
@pytest.mark.parametrize("start", ["digits", "grey", "uniform", "black"])
def test_all_hundred_codes_are_reached_inside_the_range(mnist, dtype, tolerance, start):
    layers, x0, wanted = mnist(dtype)
    uniform = jnp.asarray(np.random.default_rng(1).uniform(size=x0.shape), dtype)
    fixed = {"digits": x0, "uniform": uniform, "grey": x0 * 0 + 0.5, "black": x0 * 0}
    x0 = fixed[start]
    out = solve(layers, x0, wanted, tolerance, sigmoid)
    assert (out.reason == gn.REACHED).all()
    assert out.images.dtype == dtype
    assert out.images.min() >= 0
    assert out.images.max() <= 1
    # Another batch shape rounds otherwise: hence the slack of a few units in the last place.
    slack = 100 * float(jnp.finfo(dtype).eps)
    left = np.asarray(wanted - answer(sigmoid, layers, out.images))
    assert np.linalg.norm(left, axis=1).max() <= tolerance + slack
    assert np.median(out.iterations) <= (8 if start == "digits" else 12)
    if start == "digits":
        assert out.iterations.max() <= 20


@pytest.mark.device
@pytest.mark.parametrize("apply", [tanh, sigmoid], ids=["tanh", "sigmoid"])
@pytest.mark.parametrize("softmax", [False, True])
def test_three_hidden_layers_reach_what_some_image_gives(apply, softmax):
    layers = small(3)
    shift = 7.0 if softmax else 0.0  # softmax: the same outputs with every logit moved
    given = answer(apply, layers, images(2))
    out = solve(
        layers, images(1), given + shift, 1e-10, apply, project=centred if softmax else None
    )
    assert (out.reason == gn.REACHED).all()
    gap = np.asarray(given - answer(apply, layers, out.images))
    np.testing.assert_allclose(centred(gap) if softmax else gap, 0, atol=1e-9)


@pytest.mark.parametrize("project", [None, pytest.param(centred, marks=pytest.mark.slow)])
def test_unreachable_targets_end_stationary_where_scipy_finds_nothing_less(project):
    layers, x0 = small(5), images(3)
    wanted = jnp.asarray(np.random.default_rng(0).normal(size=(12, 4)) * 5)
    out = solve(layers, x0, wanted, 1e-8, project=project)
    assert (out.reason == gn.STATIONARY).all()

    @jax.jit
    def residual(x, z):
        r = z - tanh(layers, x[None])
        return (r if project is None else project(r))[0]

    slope = jax.jit(jax.jacrev(residual))
    for x, z, norm in list(zip(out.images, wanted, out.residual, strict=True))[:8]:
        best = least_squares(
            residual, np.clip(x, 1e-9, 1 - 1e-9), slope, bounds=(0, 1), args=(z,),
            xtol=1e-15, ftol=1e-15, gtol=1e-12, max_nfev=200,
        )  # fmt: skip
        assert norm <= np.sqrt(2 * best.cost) * (1 + 1e-8)
        assert norm == pytest.approx(float(np.linalg.norm(residual(x, z))), rel=1e-12)


def test_unreachable_codes_of_the_trained_network_satisfy_first_order_conditions(mnist):
    layers, x0, wanted = mnist(np.float64)
    x0, wanted = x0[::9], 10 * wanted[::9]
    # How many it takes depends on the network's last digits: 51 to 342 in nine networks.
    out = solve(layers, x0, wanted, 1e-8, sigmoid, max_iterations=1000)
    assert (out.reason == gn.STATIONARY).all()

    @jax.jit
    def downhill(x):
        r, pull = jax.vjp(partial(sigmoid, layers), x)
        return pull(wanted - r)[0]

    descent = np.asarray(downhill(out.images))
    moved = np.clip(out.images + descent * 1e-3, 0, 1) - out.images
    scale = np.linalg.norm(descent, axis=1) * 1e-3
    assert (np.linalg.norm(moved, axis=1) <= 1e-5 * scale).all()


def test_linear_network_gets_the_bounded_least_norm_step():
    matrix = np.random.default_rng(2).normal(size=(30, 4))
    x0, zero = images(4), jnp.zeros(4)
    wanted = images(5) @ matrix
    out = solve(((jnp.asarray(matrix), zero),), x0, wanted, 1e-11)
    assert (out.reason == gn.REACHED).all()
    # Least squares with a small weight on the distance is the least-norm solution in the limit.
    for x, z, y in list(zip(x0, wanted, out.images, strict=True))[:5]:
        a = np.vstack([matrix.T * 1e4, np.eye(30)])
        b = np.concatenate([np.asarray(z) * 1e4, np.asarray(x)])
        best = least_squares(lambda v, a=a, b=b: a @ v - b, np.full(30, 0.5), bounds=(0, 1),
                             xtol=1e-15, ftol=1e-15, gtol=1e-12)  # fmt: skip
        assert np.linalg.norm(y - x) <= 1.05 * np.linalg.norm(best.x - np.asarray(x))


def test_a_row_that_is_not_finite_disturbs_no_other():
    layers, x0 = small(6), images(6)
    wanted = answer(tanh, layers, images(7))
    spoilt = wanted.at[2, 1].set(jnp.nan).at[5, 0].set(jnp.inf)
    bad_start = x0.at[8, 3].set(jnp.nan)
    clean = solve(layers, x0, wanted, 1e-9, lanes=4)
    out = solve(layers, bad_start, spoilt, 1e-9, lanes=4)
    rows = np.array([2, 5, 8])
    assert (out.reason[rows] == gn.DIVERGED).all()
    others = np.delete(np.arange(12), rows)
    assert (out.reason[others] == gn.REACHED).all()
    np.testing.assert_allclose(out.images[others], clean.images[others], atol=1e-7)


@pytest.mark.slow
def test_jit_and_singles_agree_with_the_eager_batch():
    layers, x0 = small(7), images(8)
    wanted = answer(tanh, layers, images(9))
    jitted = solve(layers, x0, wanted, 1e-9, damping=1e-9)
    eager = gn.solve(partial(tanh, layers), x0, wanted, 0.0, 1.0, tolerance=1e-9, damping=1e-9)
    np.testing.assert_allclose(eager.images, jitted.images, atol=1e-9)
    np.testing.assert_array_equal(eager.iterations, jitted.iterations)
    for i in (0, 5, 11):
        one = solve(layers, x0[i : i + 1], wanted[i : i + 1], 1e-9, damping=1e-9)
        np.testing.assert_allclose(one.images[0], eager.images[i], atol=1e-8)
        assert one.iterations[0] == eager.iterations[i]


@pytest.mark.slow
def test_degenerate_networks_end_without_nan():
    nothing = ((jnp.zeros((30, 4)), jnp.zeros(4)),)
    constant = solve(nothing, images(1), jnp.ones((12, 4)), 1e-8)
    assert (constant.reason == gn.STATIONARY).all()
    np.testing.assert_allclose(constant.residual, 2)
    twice = small(2)
    out = solve(twice, images(1), doubled(twice, images(2)), 1e-9, doubled)
    assert (out.reason == gn.REACHED).all()
    point = solve(twice, images(1), answer(tanh, twice, images(2)), 1e-9, box=(0.5, 0.5))
    assert (point.images == 0.5).all()
    assert (point.reason == gn.STATIONARY).all()


def test_bounds_per_pixel_and_pixels_that_come_free_again():
    layers = small(8)
    low, high = jnp.linspace(-0.2, 0.3, 30), jnp.linspace(0.5, 0.9, 30)
    inside = low + (high - low) * images(2)
    corner = jnp.broadcast_to(low, inside.shape)  # every pixel starts on its bound
    out = solve(layers, corner, answer(tanh, layers, inside), 1e-10, box=(low, high))
    assert (out.reason == gn.REACHED).all()
    assert (out.images >= low).all()
    assert (out.images <= high).all()


def test_the_limit_ends_a_row_and_the_residual_never_grows():
    layers, x0 = small(9), images(1)
    wanted = answer(tanh, layers, images(2)) + 3
    before = np.linalg.norm(wanted - answer(tanh, layers, x0), axis=1)
    for most in (0, 1, 2, 4):
        out = solve(layers, x0, wanted, 1e-12, max_iterations=most)
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
        gn.solve(
            partial(tanh, small(1)), jnp.asarray(x0), jnp.asarray(wanted), 0.0, 1.0, tolerance=1e-8
        )


@pytest.mark.parametrize(("falls", "length"), [((1.5, 0.0), 1.0), ((0.5, 0.75), 0.5)])
def test_a_step_is_taken_that_delivers_its_share_of_the_promised_fall(falls, length):
    """Along it |r|²/2 falls from 1 by so many ten-thousandths; the slope promises all of it."""
    whole, half = falls

    def residual(x):
        return jnp.sqrt(2 - 2e-4 * jnp.where(x > 0.75, whole, half))

    one = jnp.ones(1)
    rules = gn._Rules(jnp.zeros(1), one, 0.0, 0.0, 9)
    path = gn._Path(one[None], one[None], one)
    value, go = jnp.full((1, 1), jnp.sqrt(2.0)), jnp.ones(1, bool)
    found = gn._search(residual, jnp.zeros((1, 1)), path, value, rules, go)
    assert [float(found[0][0, 0]), float(found[2][0]), bool(found[3][0])] == [length, length, True]


def test_a_step_cut_short_lowers_the_model_no_less_than_the_projected_gradient(monkeypatch):
    """|r|² - |r - Jd|² - m|d|², of far targets in narrow boxes, with one round in place of four."""
    monkeypatch.setattr(gn, "_ROUNDS", 1)
    r = np.random.default_rng(3)
    rows, outputs, pixels = 400, 3, 8
    jacobian = r.normal(size=(rows, outputs, pixels)) * r.lognormal(0, 2, (rows, outputs, 1))
    residual = r.normal(size=(rows, outputs)) * 3
    below, above = -r.uniform(size=(2, rows, pixels)) * [[[1]], [[-1]]]
    trace = np.square(jacobian).sum(axis=(1, 2))
    damping, size = 1e-6 * trace, (1 + 1e-6) * trace
    local = gn._Local(*map(jnp.asarray, (jacobian, residual, below, above, damping)))
    first = gn._dual_at(local, local.residual / size[:, None])
    goal, go = jnp.full(rows, 1e-9), jnp.ones(rows, bool)
    found, _, unsolved = gn._bounded_step(local, first, jnp.asarray(size), goal, go)

    def gain(step):
        left = residual - np.einsum("bop,bp->bo", jacobian, step)
        squares = (np.square(each).sum(axis=1) for each in (residual, left))
        before, now = squares
        return before - now - damping * np.square(step).sum(axis=1)

    ours, theirs = gain(np.asarray(found.step)), gain(np.asarray(first.step))
    assert (ours >= theirs - 1e-9 * np.square(residual).sum(axis=1)).all()
    # Both happen: rows whose round did less than the gradient's step, and rows whose did more.
    assert 0 < np.mean(ours > theirs * (1 + 1e-9)) < 1
    assert unsolved.any()
