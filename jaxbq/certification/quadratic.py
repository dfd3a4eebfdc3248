"""Multipliers of the quadratic bound, by an interior point.

With q ≥ 0 of each unit, a centre y and μ of each pixel such that W diag(q) Wᵀ ⪯ diag(μ), the sum
Σ qᵢ (zᵢ − z̄ᵢ)² is at most Σ μⱼ (xⱼ − yⱼ)². So it may be taken from the units, whose maxima shrink,
and given to the pixels, many of which are so far from changing sides that it costs nothing there.
The least bound is a convex problem in λ, q, μ, τ and y. Each maximum gets a barrier with a
temperature: that of a unit one for every point of a grid, that of a pixel one for its first two
moments; −log det(diag(μ) − W diag(q) Wᵀ) keeps the inequality. Steps are Newton's, in pixels and
units scaled to [−1, 1]; the temperature falls.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float

from ..network.activations import activation
from ..runtime import interrupts
from ..runtime.compiled import Compiled
from .envelope import Problem

_POINTS = 33  # of a unit's interval, dense where a maximum is near
_FINE = 513  # of which they are chosen
_NEAR = 2.0  # pre-activations around 0 within which these are dense
_HALVINGS = 60
_BACKTRACKS = 10
_FIRST, _AGAIN, _LAST = 3e-6, 1e-6, 5e-7  # temperatures, in shares of the objective's range
_COOLING, _CENTRED = 0.3, 100.0
_PATIENCE, _AGAIN_PATIENCE = 4, 2  # steps without progress before the temperature falls
_CALMER = 0.8
_MOST_STEPS = 60
_FIRM = 1e-3  # what is added to S, in shares of μ, where y is moved
_BEGUN = 1e-2  # what the first quadratic gives to the pixels


class Duals(NamedTuple):
    """What the quadratic bound is made of.

    Args:
        multipliers: λ of the units.
        bend: q of the units.
        spread: μ of the pixels.
        ball: τ of the ball, which adds τ/2 (r² − ‖x − m‖²); 0 without one.
        point: y.
    """

    multipliers: Float[np.ndarray, " units"]
    bend: Float[np.ndarray, " units"]
    spread: Float[np.ndarray, " pixels"]
    ball: float
    point: Float[np.ndarray, " pixels"]


class _Scaled(NamedTuple):
    """A problem in which pixels and units are in [−1, 1]."""

    w: Array
    b: Array
    points: Array  # of each unit
    grid: Array  # v φ there
    weight: Array  # squared half-widths of the pixels
    middle: Array  # of the ball
    square: Array  # of its radius; 0 without one
    pixels: Array  # half-widths
    units: Array
    size: Array  # range of the objective
    origin: Array  # middles of the pixels


class _At(NamedTuple):
    """λ, q, μ, τ/2 and y of a scaled problem."""

    lam: Array
    q: Array
    mu: Array
    ball: Array
    y: Array


class _Pixels(NamedTuple):
    """A maximum over a pixel's first two moments t and s, and its second derivatives."""

    value: Array
    t: Array
    s: Array
    tt: Array
    ts: Array
    ss: Array


def improve(
    name: str,
    problem: Problem,
    v: Float[np.ndarray, " units"],
    intervals: tuple[np.ndarray, np.ndarray],
    start: Duals,
    late: Callable[[], bool],
    grain: float,
) -> tuple[Duals, Float[np.ndarray, " pixels"]]:
    """Find multipliers of the quadratic bound.

    Args:
        name: of the hidden activation.
        problem: the first layer and the set.
        v: weights of the units.
        intervals: of the units, lower and upper ends.
        start: where to begin; with q = 0, the envelope's multipliers and picture.
        late: whether to stop.
        grain: by how much a step must improve the bound to count.

    Returns:
        Multipliers, which no rounding has been taken from yet, and the relaxed picture.
    """
    scaled = _SCALE.quick(name, problem, v, *intervals)
    first = not start.bend.any()
    at = _enter(scaled, start)
    heat, patience = (_FIRST, _PATIENCE) if first else (_AGAIN, _AGAIN_PATIENCE)
    best = (np.inf, at, at.y)
    share, stale, calm = np.asarray(1.0), 0, np.inf
    for _ in range(_MOST_STEPS):
        interrupts.check()
        if late():
            break
        at, share, seen, decrement, bound = _STEP.thorough(scaled, at, np.asarray(heat), share)
        if not share > 0:
            break
        moves = bound < best[0] - grain / scaled.size or decrement < _CALMER * calm
        stale, calm = 0 if moves else stale + 1, min(calm, decrement)
        if bound < best[0]:
            best = (bound, at, seen)
        if stale >= patience or decrement < _CENTRED * heat:
            stale, calm = 0, np.inf
            if heat <= _LAST:
                break
            heat *= _COOLING
    _, at, picture = best
    r, h, size = (np.asarray(part) for part in (scaled.units, scaled.pixels, scaled.size))
    lam, q, mu, ball, y = (np.asarray(part) for part in at)
    tau = 2 * float(ball * size) if scaled.square > 0 else 0.0
    point = np.asarray(scaled.origin) + y * h
    found = Duals(lam * size / r, q * size / r**2, mu * size / h**2, tau, point)
    return found, np.asarray(scaled.origin) + np.asarray(picture) * h


def _enter(scaled: _Scaled, start: Duals) -> _At:
    """Scale multipliers, and go inside of what they must be."""
    r, h, size, w = (
        np.asarray(part) for part in (scaled.units, scaled.pixels, scaled.size, scaled.w)
    )
    y, ball = (start.point - np.asarray(scaled.origin)) / h, start.ball / 2 / size
    if start.bend.any():
        q, mu = start.bend * r**2 / size, start.spread * h**2 / size
        at = (start.multipliers * r / size, q, mu * (1 + 1e-10), max(ball, 1e-9), y)
    else:
        rows = np.abs(w @ w.T).sum(1)
        share = _BEGUN / (rows.sum() or 1.0)
        q, mu = np.full(len(r), share), 1.5 * share * rows
        at = (start.multipliers * r / size, q, mu, max(ball, 1e-9), y)
    return _At(*map(jnp.asarray, at))


def _scale(name: str, problem: Problem, v: Array, low: Array, high: Array) -> _Scaled:
    h, origin = (problem.high - problem.low) / 2, (problem.high + problem.low) / 2
    r, middle = jnp.maximum((high - low) / 2, 1e-9), (high + low) / 2
    first, last = (jnp.arcsinh(end / _NEAR)[:, None] for end in (low, high))
    z = _NEAR * jnp.sinh(first + (last - first) * jnp.linspace(0.0, 1.0, _FINE)[None])
    z = jnp.clip(z, low[:, None], high[:, None])
    z = z.at[:, 0].set(low).at[:, -1].set(high)
    grid = v[:, None] * activation(name).apply(z)
    size = (grid.max(1) - grid.min(1)).sum() + 1e-300
    return _Scaled(
        h[:, None] * problem.inner / r[None],
        (origin @ problem.inner + problem.bias - middle) / r,
        (z - middle[:, None]) / r[:, None],
        grid / size,
        h**2,
        (problem.centre - origin) / h,
        problem.radius**2,
        h,
        r,
        size,
        origin,
    )


def _pixels(a: Array, k: Array, heat: Array) -> _Pixels:
    """Maximise a t + k s + heat (log(s − t²) + log(1 − s))."""
    most = jnp.where(k < 0, heat / jnp.maximum(-k, 1e-300), 1.0)

    def halve(_: Any, span: tuple[Array, Array]) -> tuple[Array, Array]:
        u = jnp.sqrt(span[0] * span[1])
        short = (a * u / (2 * heat)) ** 2 + u + u * heat / (k * u + heat) < 1
        return jnp.where(short, u, span[0]), jnp.where(short, span[1], u)

    ends = jnp.full_like(a, 1e-18), jnp.minimum(most, 1.0)
    u = jax.lax.fori_loop(0, _HALVINGS, halve, ends)[0]
    t, w = a * u / (2 * heat), u * heat / (k * u + heat)
    tt, ts, ss = 2 / u + 4 * t**2 / u**2, -2 * t / u**2, 1 / u**2 + 1 / w**2
    det = heat * (2 / u**3 + (2 / u + 4 * t**2 / u**2) / w**2)
    value = a * t + k * (1 - w) + heat * (jnp.log(u) + jnp.log(w))
    return _Pixels(value, t, 1 - w, ss / det, -ts / det, tt / det)


def _sides(scaled: _Scaled, at: _At, heat: Array) -> tuple[_Pixels, Array]:
    """Return the pixels' part, and what does not depend on them."""
    y, mu, tau, c = at.y, at.mu, at.ball * scaled.weight, scaled.w @ at.lam
    a = c - 2 * mu * y + 2 * tau * scaled.middle
    rest = -c * y + mu * y**2 - tau * scaled.middle**2
    return _pixels(a, mu - tau, heat), rest.sum() + at.ball * scaled.square


def _heights(scaled: _Scaled, at: _At) -> tuple[Array, Array]:
    """Return the units' functions at the points, and these from their centres."""
    away = scaled.points - (at.y @ scaled.w + scaled.b)[:, None]
    return scaled.grid - at.lam[:, None] * away - at.q[:, None] * away**2, away


def _units(scaled: _Scaled, at: _At, heat: Array) -> tuple[Array, Array, Array]:
    """Return the units' part, weights of the points, and the points from the centres."""
    values, away = _heights(scaled, at)
    below = (values.max(axis=1, keepdims=True) - values) / heat

    def halve(_: Any, span: tuple[Array, Array]) -> tuple[Array, Array]:
        p = (span[0] + span[1]) / 2
        short = (1 / (p + below)).sum(1, keepdims=True) > 1
        return jnp.where(short, p, span[0]), jnp.where(short, span[1], p)

    one = jnp.ones((len(values), 1))
    p = jax.lax.fori_loop(0, _HALVINGS, halve, (one, one * values.shape[1]))[0]
    weights = 1 / (p + below)
    total = (values.max(axis=1) + heat * (p[:, 0] + jnp.log(weights / heat).sum(1))).sum()
    return total, weights, away


def _chosen(scaled: _Scaled, at: _At, heat: Array) -> _Scaled:
    """Choose points of the units' intervals: a few everywhere, most where maxima are near."""
    values, _ = _heights(scaled, at)
    near = 1 / (1 + (values.max(axis=1, keepdims=True) - values) / (8 * heat))
    cells = jnp.maximum(near[:, 1:], near[:, :-1])
    cells = cells / cells.sum(1, keepdims=True) + 0.5 / (_FINE - 1)
    shares = jnp.arange(1, _POINTS - 1) / (_POINTS - 1)
    places = jax.vmap(lambda row: jnp.searchsorted(row, shares))(jnp.cumsum(cells, axis=1) / 1.5)
    ends = jnp.zeros((len(places), 1), int)
    places = jnp.concatenate([ends, places + 1, ends + _FINE - 1], axis=1)
    points, grid = (jnp.take_along_axis(part, places, 1) for part in (scaled.points, scaled.grid))
    return scaled._replace(points=points, grid=grid)


def _core(scaled: _Scaled, q: Array, mu: Array) -> Array:
    """Return what is positive definite where diag(μ) − W diag(q) Wᵀ is."""
    return jnp.diag(1 / q) - scaled.w.T @ (scaled.w / mu[:, None])


def _value(scaled: _Scaled, at: _At, heat: Array) -> Array:
    pixels, rest = _sides(scaled, at, heat)
    # log det(diag(μ) − W diag(q) Wᵀ), and log q.
    factor = jnp.linalg.cholesky(_core(scaled, at.q, at.mu))
    logs = 2 * jnp.log(jnp.diag(factor)).sum() + jnp.log(at.mu).sum() + 2 * jnp.log(at.q).sum()
    logs += jnp.where(scaled.square > 0, jnp.log(at.ball), 0.0)
    return _units(scaled, at, heat)[0] + pixels.value.sum() + rest - heat * logs


def _step(
    scaled: _Scaled, at: _At, heat: Array, last: Array
) -> tuple[_At, Array, Array, Array, Array]:
    """Make a Newton step; also returns its length, the picture, the decrement and the bound."""
    fine, scaled = scaled, _chosen(scaled, at, heat)
    direction, e, picture, decrement = _direction(scaled, at, heat)
    before, ball, w = _value(scaled, at, heat), scaled.square > 0, scaled.w

    def moved(share: Array) -> _At:
        lam, q, mu, tau = (a + share * d for a, d in zip(at, direction, strict=False))
        # Where the tilted quadratic touches now, y − S⁻¹ e / 2, but near the picture where S is
        # so small that this says nothing.
        firm = (1 + _FIRM) * mu
        core = cho_factor(_core(scaled, q, firm), lower=True)
        lean = share * (_FIRM * mu * (picture - at.y) - e / 2) / firm
        shift = lean + (w / firm[:, None]) @ cho_solve(core, w.T @ lean)
        return _At(lam + 2 * q * (shift @ w), q, mu, tau, at.y + shift)

    def goes_on(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[1] < _BACKTRACKS) & ~carry[2]

    def halve(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        share = carry[0] / 2
        tried = moved(share)
        inside = (tried.q > 0).all() & (tried.mu > 0).all() & ((tried.ball > 0) | ~ball)
        good = _value(scaled, tried, heat) <= before - 1e-2 * share * decrement
        return share, carry[1] + 1, inside & good

    start = (jnp.minimum(8 * last, 2.0), jnp.zeros((), int), jnp.zeros((), bool))
    share, _, good = jax.lax.while_loop(goes_on, halve, start)
    after = jax.tree.map(lambda new, old: jnp.where(good, new, old), moved(share), at)
    return after, jnp.where(good, share, 0.0), picture, decrement, _bound(fine, after)


def _bound(scaled: _Scaled, at: _At) -> Array:
    """Estimate the bound itself."""
    tau = at.ball * scaled.weight
    a = scaled.w @ at.lam - 2 * at.mu * at.y + 2 * tau * scaled.middle
    k = at.mu - tau
    top = jnp.clip(a / jnp.where(k < 0, -2 * k, 1.0), -1.0, 1.0)
    sides = jnp.where(k < 0, a * top + k * top**2, jnp.abs(a) + k)
    rest = -(scaled.w @ at.lam) * at.y + at.mu * at.y**2 - tau * scaled.middle**2
    units = _heights(scaled, at)[0].max(axis=1)
    return units.sum() + (sides + rest).sum() + at.ball * scaled.square


def _direction(
    scaled: _Scaled, at: _At, heat: Array
) -> tuple[tuple[Array, ...], Array, Array, Array]:
    """Return Newton's direction of λ, q, μ, τ and of the tilt e, the picture and the decrement."""
    w, y, n, p = scaled.w, at.y, len(at.q), len(at.mu)
    ball, m = scaled.square > 0, scaled.middle
    rho = jnp.where(ball, scaled.weight, 0.0)
    part, _ = _sides(scaled, at, heat)
    _, weights, away = _units(scaled, at, heat)
    squares = weights**2 / (weights**2).sum(1, keepdims=True)
    bent = away**2 - (squares * away**2).sum(1, keepdims=True)
    flat = away - (squares * away).sum(1, keepdims=True)
    ll, lq, qq = ((weights**2 * f).sum(1) / heat for f in (flat**2, flat * bent, bent**2))
    core, v = cho_factor(_core(scaled, at.q, at.mu), lower=True), w / at.mu[:, None]
    inverse = jnp.diag(1 / at.mu) + v @ cho_solve(core, v.T)
    pw = inverse @ w
    wpw = w.T @ pw
    # A tilt e of the quadratic moves y, and costs eᵀ S⁻¹ e / 4. With it eliminated, the pixels'
    # second derivatives D by their slopes become r = (D⁻¹ + 2 S)⁻¹.
    thin = 1 / (1 / part.tt + 2 * at.mu)
    tw = thin[:, None] * w
    lean = cho_factor(jnp.diag(0.5 / at.q) - w.T @ tw, lower=True)
    r = jnp.diag(thin) + tw @ cho_solve(lean, tw.T)
    rw, turn = r @ w, part.ts / part.tt
    g, gb, own = turn - 2 * y, rho * (2 * m - turn), part.ss - part.ts * turn
    off, rb = part.t - y, r @ gb
    slopes = jnp.concatenate(
        [
            w.T @ off - (weights * away).sum(1),
            heat * (jnp.diag(wpw) - 1 / at.q) - (weights * away**2).sum(1),
            part.s - 2 * y * part.t + y**2 - heat * jnp.diag(inverse),
            (scaled.square - (rho * (part.s - 2 * m * part.t + m**2)).sum() - heat / at.ball)[None],
        ]
    )
    kept = off - r @ (off / part.tt)
    tilt = jnp.concatenate([w.T @ kept, jnp.zeros(n), g * kept, (gb @ kept)[None]])
    right = jnp.where(ball, tilt - slopes, (tilt - slopes).at[-1].set(0.0))
    lm, qm, zero = rw.T * g[None], -heat * (pw**2).T, jnp.zeros((n, 1))
    lb, mb = (w.T @ rb)[:, None], (g * rb - rho * own)[:, None]
    corner = jnp.where(ball, gb @ rb + (rho**2 * own).sum() + heat / at.ball**2, 1.0)
    mm = jnp.diag(own) + heat * inverse**2 + g[:, None] * r * g[None]
    hessian = jnp.block(
        [
            [w.T @ rw + jnp.diag(ll), jnp.diag(lq), lm, lb],
            [jnp.diag(lq), jnp.diag(qq + heat / at.q**2) + heat * wpw**2, qm, zero],
            [lm.T, qm.T, mm, mb],
            [lb.T, zero.T, mb.T, corner[None, None]],
        ]
    )
    size = jnp.sqrt(jnp.diag(hessian))
    factor = cho_factor(
        hessian / size[None] / size[:, None] + 1e-13 * jnp.eye(len(size)), lower=True
    )
    found = cho_solve(factor, right / size) / size
    dl, dq, dm, (db,) = jnp.split(found, [n, 2 * n, 2 * n + p])
    x = off / part.tt + w @ dl + g * dm + gb * db
    e = r @ x / part.tt - x
    decrement = -(jnp.where(ball, slopes, slopes.at[-1].set(0.0)) @ found + off @ e)
    return (dl, dq, dm, db), e, part.t, decrement


_SCALE, _STEP = Compiled(_scale, 0), Compiled(_step)
