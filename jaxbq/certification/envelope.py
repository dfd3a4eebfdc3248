"""Multipliers of the envelope bound, by an interior point, batched.

The relaxed problem is: maximise Σ env(zᵢ) over images x in the set and z in the units' intervals,
with z = xW + b and env the concave envelope of v φ. With a quadratic given, env is that of
v φ − q (z − z̄)², and the envelope of Σ μ (x − y)², which is linear, is added. Its multipliers of
z = xW + b are the bound's λ, that of the ball is its τ. A step of the primal-dual method
(Mehrotra's predictor and corrector) takes one Cholesky of units × units.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..network.activations import activation
from .verifier import Region, Weights

_HALVINGS, _INNER = 44, 34
_SHARPENING = 0.4  # of what is left of a kink's rounding, a step
_ROOT = 1e-30  # keeps a square root's argument positive
_MOST_STEPS = 40
_BACK = 0.995  # of the way to the nearest bound
S_SHAPED = ("sigmoid", "tanh")
# Where φ'' is largest; else at 0.
_MOST_BENT = {"sigmoid": -1.3169578969248166, "tanh": -0.6584789484624083}
_KINKED = ("relu", "leaky_relu")


class Problem(NamedTuple):
    """The first layer and the set of images.

    Args:
        inner: W, shape (pixels, units).
        bias: b, shape (units,).
        low: lower ends of the pixels.
        high: upper ends.
        centre: of the ball.
        radius: of the L2 ball; 0 where there is none.
        bend: q of a quadratic that is given; 0 without one.
        about: its z̄.
        lean: slopes of the envelope of its Σ μ (x − y)².
    """

    inner: Float[Array, "pixels units"]
    bias: Float[Array, " units"]
    low: Float[Array, " pixels"]
    high: Float[Array, " pixels"]
    centre: Float[Array, " pixels"]
    radius: Float[Array, ""]
    bend: Float[Array, " units"]
    about: Float[Array, " units"]
    lean: Float[Array, " pixels"]

    @classmethod
    def of(cls, weights: Weights, region: Region) -> "Problem":
        """Take the first layer of a network and a set, without a quadratic."""
        radius = region.radius if np.isfinite(region.radius) else 0.0
        parts = (weights.inner, weights.bias, region.low, region.high, region.centre, radius)
        none = (np.zeros_like(weights.bias), np.zeros_like(weights.bias), np.zeros_like(region.low))
        return cls(*map(jnp.asarray, (*parts, *none)))


class Relaxed(NamedTuple):
    """Where an interior point ends.

    Args:
        multipliers: λ of the units.
        ball: τ of the ball; 0 without one.
        image: that solves the relaxed problem, nearly.
        z: its pre-activations, within the intervals.
        error: envelope − v φ at z, of each unit.
        activations: those that the envelopes stand for.
    """

    multipliers: Float[Array, "*batch units"]
    ball: Float[Array, "*batch"]
    image: Float[Array, "*batch pixels"]
    z: Float[Array, "*batch units"]
    error: Float[Array, "*batch units"]
    activations: Float[Array, "*batch units"]


class _Envelopes(NamedTuple):
    """Envelopes of ψ(y) = k φ(y) − q (y − ȳ)², y = ±z: ψ, but a chord between two points."""

    sign: Array
    k: Array
    q: Array
    about: Array
    first: Array
    last: Array
    chord: Array
    base: Array
    start: Array  # slope from one end to the other


def bends_only_at_zero(name: str) -> bool:
    """Whether an activation is straight on both sides of 0."""
    return name.partition("(")[0] in _KINKED


def has_envelope(name: str) -> bool:
    """Whether φ is S-shaped or convex, as :func:`solve` needs it."""
    kind, _, number = name.removesuffix(")").partition("(")
    steep = kind in ("leaky_relu", "elu") and float(number or 0) > 1
    return not steep and kind not in ("gelu", "gelu_tanh", "silu")


def _apply(name: str, y: Array, blur: Array) -> Array:
    if bends_only_at_zero(name):
        leak = activation(name).apply(-jnp.ones(()))
        return y - (1 + leak) * (y - jnp.sqrt(y**2 + 4 * blur**2 + _ROOT)) / 2
    return activation(name).apply(y)


def _slopes(name: str, y: Array, blur: Array) -> tuple[Array, Array]:
    """φ' and φ''."""

    def first(at: Array) -> Array:
        return jax.jvp(lambda w: _apply(name, w, blur), (at,), (jnp.ones_like(at),))[1]

    return jax.jvp(first, (y,), (jnp.ones_like(y),))


def _curves(name: str, e: _Envelopes, y: Array, blur: Array) -> tuple[Array, Array, Array]:
    """ψ, ψ' and ψ''."""
    first, second = _slopes(name, y, blur)
    away, value = y - e.about, _apply(name, y, blur)
    return e.k * value - e.q * away**2, e.k * first - 2 * e.q * away, e.k * second - 2 * e.q


def _halved(rises: Callable[[Array], Array], left: Array, right: Array, times: int) -> Array:
    def halve(_: Any, span: tuple[Array, Array]) -> tuple[Array, Array]:
        y = (span[0] + span[1]) / 2
        on = rises(y)
        return jnp.where(on, y, span[0]), jnp.where(on, span[1], y)

    return jax.lax.fori_loop(0, times, halve, (left, right))[1]


def _envelopes(name: str, v: Array, q: Array, about: Array, low: Array, high: Array) -> _Envelopes:
    """Find the chords: ψ is concave, convex around one place, and concave again."""
    none, kind = jnp.zeros(()), name.partition("(")[0]
    sign = jnp.where(v < 0, -1.0, 1.0) if kind in S_SHAPED else jnp.ones_like(v)
    low, high = jnp.where(sign > 0, low, -high), jnp.where(sign > 0, high, -low)
    e = _Envelopes(sign, v * sign, q, sign * about, *5 * [low])

    def value(y: Array) -> Array:
        return _curves(name, e, y, none)[0]

    def concave(y: Array) -> Array:
        return (_curves(name, e, y, none)[2] < 0) | (e.k < 0)

    def convex(y: Array) -> Array:
        # Far out φ'' is rounded to 0: then a straight line, which is either.
        return (_curves(name, e, y, none)[2] > 0) & (e.k > 0)

    place = jnp.clip(_MOST_BENT.get(kind, 0.0), low, high)
    left_end = _halved(concave, low, place, _HALVINGS)
    right_end = _halved(convex, place, high, _HALVINGS)

    def tops(slope: Array) -> tuple[Array, Array]:
        def rises(y: Array) -> Array:
            return _curves(name, e, y, none)[1] > slope

        ends = (low, left_end), (right_end, high)
        first, last = (_halved(rises, *each, _INNER) for each in ends)
        return jnp.where(left_end > low, first, low), jnp.where(right_end < high, last, high)

    def later(slope: Array) -> Array:
        first, last = tops(slope)
        return value(last) - slope * last > value(first) - slope * first

    far = jnp.maximum(jnp.abs(low - e.about), jnp.abs(high - e.about))
    steep = 1.01 * jnp.abs(e.k) + 2 * q * far
    first, last = tops(_halved(later, -steep, steep, _HALVINGS))
    between, base = last - first, value(first)
    chord = (value(last) - base) / jnp.where(between > 1e-9, between, jnp.inf)
    last = jnp.where(between > 1e-9, last, first)
    start = (value(high) - value(low)) / jnp.maximum(high - low, 1e-9)
    return e._replace(first=first, last=last, chord=chord, base=base, start=start)


def _slope(name: str, e: _Envelopes, y: Array, blur: Array) -> tuple[Array, Array]:
    """First and second derivative of the envelopes."""
    _, first, second = _curves(name, e, y, blur)
    on_chord = (y > e.first) & (y < e.last)
    return jnp.where(on_chord, e.chord, first), jnp.where(on_chord, 0.0, jnp.minimum(second, 0.0))


def _value(name: str, e: _Envelopes, y: Array, blur: Array) -> Array:
    on_chord = (y > e.first) & (y < e.last)
    return jnp.where(on_chord, e.base + e.chord * (y - e.first), _curves(name, e, y, blur)[0])


class _State(NamedTuple):
    """Pixels and pre-activations in one row, their multipliers, and those of the bounds."""

    at: Array
    lam: Array
    low_force: Array
    high_force: Array
    slack: Array  # of the ball
    tau: Array
    blur: Array  # of kinks, in shares of the units' intervals


class _Fixed(NamedTuple):
    """What stays: the first layer, the bounds of pixels and units, and the envelopes."""

    problem: Problem
    low: Array
    high: Array
    envelopes: _Envelopes


def solve(
    name: str,
    problem: Problem,
    v: Float[Array, "batch units"],
    low: Float[Array, "batch units"],
    high: Float[Array, "batch units"],
    tolerance: Float[Array, ""],
) -> Relaxed:
    """Find multipliers of the envelope bound, one problem a row.

    Args:
        name: of the hidden activation.
        problem: the first layer and the set.
        v: weights of the units.
        low: lower ends of their intervals.
        high: upper ends.
        tolerance: of the sum of all complementarities, relative to the objective's range.
    """

    def one(v: Array, low: Array, high: Array) -> Relaxed:
        return _solve(name, problem, v, low, high, tolerance)

    return jax.vmap(one)(v, low, high)


def _solve(
    name: str, problem: Problem, v: Array, low: Array, high: Array, tolerance: Array
) -> Relaxed:
    pixels, units = problem.inner.shape
    phi = activation(name).apply
    scale = jnp.abs(v * (phi(high) - phi(low))).sum() + 1e-12
    high = jnp.maximum(high, low + 1e-9)
    # A kink is rounded off, ever less, but where it is outside the interval.
    kinks = jnp.where((low < 0) & (high > 0), 0.1 * (high - low), 0.0)
    problem = problem._replace(lean=problem.lean / scale)
    envelopes = _envelopes(name, v / scale, problem.bend / scale, problem.about, low, high)
    fixed = _Fixed(
        problem,
        jnp.concatenate([problem.low, low]),
        jnp.concatenate([problem.high, high]),
        envelopes,
    )
    count = 2 * (pixels + units)
    half = (fixed.high - fixed.low) / 2
    force = 1 / (count * half)
    chords = envelopes.sign * envelopes.start
    slack = jnp.where(problem.radius > 0, problem.radius**2 / 2, 1.0)
    begun = 1.0 if bends_only_at_zero(name) else 0.0
    start = _State(
        fixed.low + half, chords, force, force, slack, 1 / (count * slack), jnp.asarray(begun)
    )

    def goes_on(carry: tuple[Array, _State]) -> Array:
        worst = jnp.maximum(_gap(fixed, carry[1]) * count, carry[1].blur)
        return (carry[0] < _MOST_STEPS) & (worst > tolerance)

    def step(carry: tuple[Array, _State]) -> tuple[Array, _State]:
        steps, before = carry
        after = _newton(name, fixed, before, kinks * before.blur)
        after = after._replace(blur=_SHARPENING * before.blur)
        # At the end of what float64 can tell, the matrix is none that a Cholesky takes.
        fine = jnp.all(jnp.array([jnp.isfinite(part).all() for part in after]))
        kept = jax.tree.map(lambda new, old: jnp.where(fine, new, old), after, before)
        return jnp.where(fine, steps + 1, _MOST_STEPS), kept

    _, end = jax.lax.while_loop(goes_on, step, (jnp.zeros((), int), start))
    x = end.at[:pixels]
    z = jnp.clip(x @ problem.inner + problem.bias, low, high)
    # Mirrored, v φ(z) is k φ(y) and a constant.
    y = envelopes.sign * z
    error = _value(name, envelopes, y, end.blur * kinks)
    error -= _curves(name, envelopes, y, jnp.zeros(()))[0]
    error = jnp.maximum(error, 0.0) * scale
    activations = phi(z) + error / jnp.where(v == 0, 1.0, v)
    tau = jnp.where(problem.radius > 0, end.tau, 0.0)
    return Relaxed(end.lam * scale, tau * scale, x, z, error, activations)


def _gap(fixed: _Fixed, state: _State) -> Array:
    """Mean complementarity."""
    products = state.low_force * (state.at - fixed.low) + state.high_force * (fixed.high - state.at)
    ball = jnp.where(fixed.problem.radius > 0, state.slack * state.tau, 0.0)
    return (products.sum() + ball) / (2 * len(state.at))


def _newton(name: str, fixed: _Fixed, state: _State, blur: Array) -> _State:
    """Make one step: predictor, corrector, and as far as the bounds allow."""
    problem, envelopes = fixed.problem, fixed.envelopes
    w, pixels, ball = problem.inner, len(problem.low), problem.radius > 0
    x, z = state.at[:pixels], state.at[pixels:]
    above, below = state.at - fixed.low, fixed.high - state.at
    tau = jnp.where(ball, state.tau, 0.0)
    away = jnp.where(ball, x - problem.centre, 0.0)
    slope, bend = _slope(name, envelopes, envelopes.sign * z, blur)
    force = jnp.concatenate(
        [w @ state.lam + problem.lean - tau * away, envelopes.sign * slope - state.lam]
    )
    curvature = jnp.concatenate([jnp.full(pixels, tau), -bend])
    curvature += state.low_force / above + state.high_force / below
    ease, ease_z = 1 / curvature[:pixels], 1 / curvature[pixels:]
    apart = z - x @ w - problem.bias
    excess = (problem.radius**2 - (away**2).sum()) / 2 - state.slack
    matrix = w.T @ (ease[:, None] * w) + jnp.diag(ease_z)
    # The ball's row; that of the identity where there is none.
    cross = -(w.T @ (away * ease))
    corner = jnp.where(ball, (away**2 * ease).sum() + state.slack / state.tau, 1.0)
    full = jnp.block([[matrix, cross[:, None]], [cross[None], corner[None, None]]])
    factor = jax.scipy.linalg.cho_factor(full + 1e-14 * jnp.diag(jnp.diag(full)))

    def towards(low_aim: Array, high_aim: Array, ball_aim: Array) -> _State:
        """Return the step after which the complementarities are the aims, to first order."""
        r = force + low_aim / above - high_aim / below
        rest = ball_aim / state.tau - state.slack - excess + away @ (r[:pixels] * ease)
        right = apart + r[pixels:] * ease_z - (r[:pixels] * ease) @ w
        found = jax.scipy.linalg.cho_solve(factor, jnp.append(right, jnp.where(ball, rest, 0.0)))
        d_lam, d_tau = found[:-1], found[-1]
        d = (r + jnp.concatenate([w @ d_lam - away * d_tau, -d_lam])) / curvature
        return _State(
            d,
            d_lam,
            (low_aim - state.low_force * d) / above - state.low_force,
            (high_aim + state.high_force * d) / below - state.high_force,
            jnp.where(ball, (ball_aim - state.slack * d_tau) / state.tau - state.slack, 0.0),
            d_tau,
            jnp.zeros(()),
        )

    def moved(step: _State, share: Array) -> _State:
        return jax.tree.map(lambda a, d: a + share * d, state, step)

    def reach(step: _State) -> Array:
        """How far a step can go, at most 1."""
        pairs = [
            (above, step.at),
            (below, -step.at),
            (state.low_force, step.low_force),
            (state.high_force, step.high_force),
            (state.slack[None], step.slack[None]),
            (state.tau[None], step.tau[None]),
        ]
        ways = [
            jnp.min(jnp.where(d < 0, -a / jnp.where(d < 0, d, -1.0), jnp.inf)) for a, d in pairs
        ]
        return jnp.minimum(1.0, _BACK * jnp.min(jnp.array(ways)))

    nothing = jnp.zeros_like(state.at)
    guess = towards(nothing, nothing, jnp.zeros(()))
    mean = _gap(fixed, state)
    aim = mean * jnp.clip(_gap(fixed, moved(guess, reach(guess))) / mean, 0.0, 1.0) ** 3
    step = towards(
        aim - guess.at * guess.low_force,
        aim + guess.at * guess.high_force,
        aim - guess.slack * guess.tau,
    )
    return moved(step, reach(step))
