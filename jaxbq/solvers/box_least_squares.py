"""Box-constrained linear least squares, batched over right-hand sides, as one compiled program.

WHY a = c + h x: every tolerance becomes a pure number. Minimise ||x B - r||^2 / 2 in the box of x
(-1 to 1 if finite), B = W / s, r = (z - c W) / (h s), s^2 = ||W' W||_F. WHY one row and `vmap`:
JAX then batches the products and Cholesky factors, and freezes finished rows, by itself.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, ArrayLike, Bool, Float, Int

# Limits. Interior: 6 to 24 are used. Active set: settles in a few steps or else cycles. Proximal:
# its multipliers tend to 0 for a reachable z, so further steps would only flip their signs.
_INTERIOR_STEPS, _ACTIVE_SET_STEPS, _PROXIMAL_STEPS = 50, 10, 2
_STALLED = 4  # rounds without a 10 % better certificate: rounding level reached
_RIDGE = 0.67  # ridge = eps^0.67, 3e-11 in float64: bias and rounding balanced (measured)
_REFINEMENTS = 2  # measured: 0 and 1 lose the ties of rank-deficient unreachable rows


class BoxLeastSquares(NamedTuple):
    """Answer of `box_least_squares`; see there for the meaning of each field."""

    solution: Float[Array, "batch fan_in"]
    residual_norm: Float[Array, " batch"]
    optimality: Float[Array, " batch"]
    iterations: Int[Array, " batch"]
    converged: Bool[Array, " batch"]


class _Problem(NamedTuple):
    basis: Array  # B
    gram: Array  # B B' when fan_in <= fan_out, else B' B: always the smaller one
    bounds: Array  # (2, 1): lower and upper bound on x, possibly infinite
    finite: Array  # (2, 1): 1.0 where the bound exists; masks the barrier of an infinite side
    sign: Array  # (2, 1): slack = sign * (x - bound), so +1 and -1
    ridge: Array  # scalar


class _Iterate(NamedTuple):
    x: Array  # (fan_in,)
    slack: Array  # (2, fan_in); own variable, as x - bound loses all its digits near the bound
    dual: Array  # (2, fan_in)
    best: Array  # the x with the smallest certificate so far
    best_gap: Array
    stalls: Array
    iterations: Array
    done: Array


def _gradient(problem: _Problem, r: Array, x: Array, anchor: Array) -> Array:
    """Gradient of phi(x) = ||x B - r||^2 / 2 + ridge ||x - anchor||^2 / 2."""
    return problem.basis @ (x @ problem.basis - r) + problem.ridge * (x - anchor)


def _gap(problem: _Problem, r: Array, x: Array, anchor: Array) -> Array:
    """Upper bound on phi(x) - min phi: max_v g.(x - v) - ridge ||x - v||^2 / 2 over the box."""
    # WHY: a rigorous merit without the rounding plateau of phi, finite even for an infinite side
    gradient = _gradient(problem, r, x, anchor)
    step = x - jnp.clip(x - gradient / problem.ridge, *problem.bounds)
    return jnp.sum(gradient * step - 0.5 * problem.ridge * step**2)


def _solver(problem: _Problem, w: Array) -> Callable[[Array, Array], Array]:
    """Return (residual, q) -> dx with dx / w + B (residual + dx B) = q; dx = 0 where w = 0.

    Woodbury when fan_in > fan_out: I + B' diag(w) B is the smaller matrix. Its last subtraction
    cancels up to log10(1 / ridge) digits, which iterative refinement wins back.
    """
    basis, wide = problem.basis, problem.basis.shape[0] > problem.basis.shape[1]
    scale, inverse = jnp.sqrt(w), jnp.where(w > 0, 1 / jnp.where(w > 0, w, 1), 0)
    scaled = scale[:, None] * basis
    # scaling from both sides keeps the matrix >= I, so Cholesky cannot break down
    core = scaled.T @ scaled if wide else scale[:, None] * problem.gram * scale
    factor = jnp.linalg.cholesky(core + jnp.eye(core.shape[0], dtype=core.dtype)), True

    def correct(defect: Array) -> Array:
        if wide:
            return w * (defect - basis @ cho_solve(factor, (w * defect) @ basis))
        return scale * cho_solve(factor, scale * defect)

    def solve(residual: Array, q: Array) -> Array:
        # The solution is the first refinement of nothing. Loops, not copies: see `_interior_step`.
        def refine(_: Any, dx: Array) -> Array:
            defect = q - inverse * dx - basis @ (residual + dx @ basis)
            return dx + correct(jnp.where(w > 0, defect, 0))

        return jax.lax.fori_loop(0, 1 + _REFINEMENTS, refine, jnp.zeros_like(q))

    return solve


def _interior_step(problem: _Problem, r: Array, threshold: Array, s: _Iterate) -> _Iterate:
    """One Mehrotra predictor-corrector step on phi anchored at the centre, x = 0."""
    sign, finite, zero = problem.sign, problem.finite, jnp.zeros_like(s.x)
    ratio, residual = s.dual / s.slack, s.x @ problem.basis - r
    solve = _solver(problem, 1 / (problem.ridge + jnp.sum(ratio, axis=0)))
    count = jnp.maximum(jnp.sum(finite) * s.x.size, 1)  # 1: no bound at all, mu = 0
    mu = jnp.sum(s.dual * s.slack) / count

    def longest(d_slack: Array, d_dual: Array) -> Array:
        # one length for primal and dual: in a QP unequal lengths would undo dual feasibility
        step, value = jnp.stack([d_slack, d_dual]), jnp.stack([s.slack, s.dual])
        return jnp.min(jnp.where(step < 0, -value / jnp.where(step < 0, step, 1), jnp.inf))

    # WHY a loop over predictor and corrector, and one over refinements: twelve copies of a solve in
    # every layer's program took as long to compile as all other methods of a small run
    def direction(_: Any, given: tuple[Array, ...]) -> tuple[Array, ...]:
        q = given[0] / s.slack
        dx = solve(residual, jnp.sum(sign * q, axis=0) - problem.ridge * s.x)
        d_slack, d_dual = finite * sign * dx, q - s.dual - ratio * sign * dx
        most = longest(d_slack, d_dual)
        length = jnp.minimum(1, most)
        affine_mu = jnp.sum((s.dual + length * d_dual) * (s.slack + length * d_slack)) / count
        centring = mu * (affine_mu / jnp.where(mu > 0, mu, 1)) ** 3  # Mehrotra's rule
        return finite * (centring - d_slack * d_dual), dx, d_slack, d_dual, most

    nothing = jnp.zeros_like(s.dual)
    start: tuple[Array, ...] = (nothing, zero, nothing, nothing, jnp.zeros_like(mu))
    _, dx, d_slack, d_dual, most = jax.lax.fori_loop(0, 2, direction, start)
    # back off from the boundary by -> 0 as mu -> 0 (superlinear), yet never step onto it
    back_off = jnp.clip(mu, jnp.sqrt(jnp.finfo(r.dtype).eps), 0.01)
    length = jnp.minimum(1, (1 - back_off) * most)
    x = s.x + length * dx
    gap = _gap(problem, r, x, zero)
    stalls = jnp.where(gap < 0.9 * s.best_gap, 0, s.stalls + 1)
    best, best_gap = jnp.where(gap < s.best_gap, x, s.best), jnp.fmin(gap, s.best_gap)
    slack, dual = s.slack + length * d_slack, s.dual + length * d_dual
    done = (gap <= threshold) | (stalls >= _STALLED) | ~jnp.isfinite(gap)
    return _Iterate(x, slack, dual, best, best_gap, stalls, s.iterations + 1, done)


def _interior_point(problem: _Problem, r: Array) -> tuple[Array, Array]:
    """Interior-point phase of one row, started at the centre; return (x, iterations)."""
    eps, zero = jnp.finfo(r.dtype).eps, jnp.zeros(problem.basis.shape[0], r.dtype)
    gradient = -problem.basis @ r
    level = jnp.mean(jnp.abs(gradient))
    scale = jnp.minimum(0.5 * r @ r, level * gradient.size)  # bounds f(0) - f* in the unit box
    rounding = eps * jnp.linalg.norm(r) * jnp.sum(jnp.linalg.norm(problem.basis, axis=1))
    # strictly feasible (dual too, for a finite box); done if the centre has no gradient
    slack = jnp.where(problem.finite > 0, -problem.sign * problem.bounds, 1) + zero
    dual = problem.finite * (jnp.maximum(problem.sign * gradient, 0) + level)
    none, gap = jnp.int32(0), _gap(problem, r, zero, zero)
    start = _Iterate(zero, slack, dual, zero, gap, none, none, level <= 0)
    step = partial(_interior_step, problem, r, 50 * eps * scale + rounding)
    end = jax.lax.while_loop(lambda s: ~s.done & (s.iterations < _INTERIOR_STEPS), step, start)
    return end.best, end.iterations


def _polish(
    problem: _Problem, r: Array, x: Array, anchor: Array, limit: Array
) -> tuple[Array, Array]:
    """Primal-dual active-set steps on phi anchored at `anchor`; return (x, steps)."""
    # WHY: interior points leave x about gap / ridge off the tie-broken answer; the right active set
    # gives it to rounding. Convergence is only local: a step counts if it improves the gap.
    lower, upper = problem.bounds

    def side(x: Array) -> Array:
        trial = x - _gradient(problem, r, x, anchor)
        return jnp.where(trial < lower, -1, jnp.where(trial > upper, 1, 0))

    def body(state: tuple[Array, ...]) -> tuple[Array, ...]:
        x, active, best, best_gap, steps, _ = state
        pinned = jnp.where(active < 0, lower, jnp.where(active > 0, upper, x))
        solve = _solver(problem, jnp.where(active == 0, 1 / problem.ridge, 0))
        x = pinned + solve(pinned @ problem.basis - r, problem.ridge * (anchor - pinned))
        inside = jnp.clip(x, lower, upper)
        gap, new = _gap(problem, r, inside, anchor), side(x)
        best = jnp.where(gap < best_gap, inside, best)
        settled = jnp.all(new == active) | ~jnp.isfinite(gap)
        return x, new, best, jnp.fmin(gap, best_gap), steps + 1, settled

    x = jnp.clip(x, lower, upper)
    gap = _gap(problem, r, x, anchor)
    state: tuple[Array, ...] = (x, side(x), x, gap, jnp.int32(0), gap <= 0)
    end = jax.lax.while_loop(lambda s: ~s[5] & (s[4] < limit), body, state)
    return end[2], end[4]


def _solve_row(problem: _Problem, r: Array) -> tuple[Array, Array, Array]:
    """Solve one row in all three phases; return (x, optimality, steps)."""
    x, steps = _interior_point(problem, r)

    # WHY: anchored at its own answer the ridge has no bias to first order, and no tie is lost
    def polish(x: Array, phase: tuple[Array, Array]) -> tuple[Array, Array]:
        limit, proximal = phase
        return _polish(problem, r, x, jnp.where(proximal, x, 0), limit)

    phases = jnp.array([_ACTIVE_SET_STEPS, _PROXIMAL_STEPS]), jnp.array([False, True])
    x, polished = jax.lax.scan(polish, x, phases)
    gradient = problem.basis @ (x @ problem.basis - r) / jnp.maximum(1, jnp.linalg.norm(r))
    violation = jnp.abs(x - jnp.clip(x - gradient, *problem.bounds))
    return x, jnp.max(violation), steps + jnp.sum(polished)


def _normalise(weight: Array, low: Array, high: Array, c: Array) -> tuple[_Problem, Array, Array]:
    """Return the problem in x, the half-width h and the scale s."""
    half = jnp.where(jnp.isfinite(high - low), (high - low) / 2, jnp.minimum(c - low, high - c))
    half = jnp.where(jnp.isfinite(half), half, 1)
    peak = jnp.max(jnp.abs(weight))  # taken out first: W' W must not over- or underflow
    basis = weight / jnp.where(peak > 0, peak, 1)
    gram = basis.T @ basis if basis.shape[0] > basis.shape[1] else basis @ basis.T
    norm = jnp.linalg.norm(gram)  # Frobenius: at least the spectral norm, and cheap
    norm = jnp.where(norm > 0, norm, 1)
    bounds, sign = jnp.stack([low, high])[:, None], jnp.array([[1], [-1]], weight.dtype)
    finite = jnp.isfinite(bounds).astype(weight.dtype)
    ridge = jnp.asarray(jnp.finfo(weight.dtype).eps ** _RIDGE, weight.dtype)
    scaled = basis / jnp.sqrt(norm), gram / norm, (bounds - c) / half
    return _Problem(*scaled, finite, sign, ridge), half, jnp.where(peak > 0, peak, 1) * norm**0.5


def box_least_squares(
    weight: Float[Array, "fan_in fan_out"],
    target: Float[Array, "batch fan_out"],
    low: Float[ArrayLike, ""],
    high: Float[ArrayLike, ""],
    centre: Float[ArrayLike, ""] | None = None,
) -> BoxLeastSquares:
    r"""Find in a box the rows whose images under a weight matrix are nearest to the target rows.

    Per row, $\min_a \|aW - z\|_2^2$ subject to $low \le a \le high$, ties to the minimiser nearest
    to the centre: interior point with the ridge $\delta\|x\|^2$, polish, proximal step.

    Args:
        weight: W, (fan_in, fan_out), finite; may be rank-deficient or zero.
        target: z, (batch, fan_out), with the bias already subtracted.
        low: scalar; -inf is supported.
        high: scalar above low; inf is supported.
        centre: scalar strictly inside; default the midpoint, or one unit inside a half-line.

    Returns:
        solution (batch, fan_in), exactly inside; residual_norm (batch,), ||a W - z||; optimality
        (batch,), max|a - clip(a - t (a W - z) W', low, high)| / h, t = 1 / (s^2 max(1, ||r||)),
        h the half-width (half-line: centre to end); iterations (batch,), all steps; converged
        (batch,), optimality <= 10 eps^0.6. Non-finite z: the centre, never converged.

    Source: Mehrotra (1992), SIAM J. Optim. 2(4); Nocedal & Wright (2006), ch. 16.6; active set:
    Hintermueller, Ito & Kunisch (2002), SIAM J. Optim. 13(3); proximal step: Rockafellar (1976).
    """
    # WHY: rows and matrices meet in every line here; spelling each broadcast out would bury them
    with jax.numpy_rank_promotion("allow"):
        return _solve_rows(weight, target, low, high, centre)


def _solve_rows(
    weight: Array, target: Array, low: ArrayLike, high: ArrayLike, centre: ArrayLike | None
) -> BoxLeastSquares:
    """Scale the problem, solve every row, scale the answers back."""
    dtype = jnp.result_type(weight, target)
    weight, target = weight.astype(dtype), target.astype(dtype)
    lo, hi = jnp.asarray(low, dtype), jnp.asarray(high, dtype)
    inner = jnp.where(jnp.isfinite(lo), lo + 1, jnp.where(jnp.isfinite(hi), hi - 1, 0))
    middle = jnp.where(jnp.isfinite(hi - lo), lo + 0.5 * (hi - lo), inner)
    c = middle if centre is None else jnp.asarray(centre, dtype)
    problem, half, scale = _normalise(weight, lo, hi, c)
    finite = jnp.all(jnp.isfinite(target), axis=1)
    # a bad row is solved as r = 0 (no iterations), so it can neither poison nor delay the others
    r = (target - c * jnp.sum(weight, axis=0)) / (half * scale)
    solve = jax.vmap(partial(_solve_row, problem))
    x, optimality, iterations = solve(jnp.where(finite[:, None], r, 0))
    lower, upper = problem.bounds
    solution = jnp.where(x <= lower, lo, jnp.where(x >= upper, hi, jnp.clip(c + half * x, lo, hi)))
    good = jnp.logical_and(finite, optimality <= 10 * jnp.finfo(dtype).eps ** 0.6)
    residual = jnp.linalg.norm(solution @ weight - target, axis=1)
    return BoxLeastSquares(solution, residual, optimality, iterations, good)
