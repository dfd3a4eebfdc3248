"""Activation maximisation: gradient ascent on the image, pixels kept in range."""

from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt, Le
from jaxtyping import Array, Bool, Float, Int

from ..activations import activation
from ..data import Reference
from ..imaging import Objective, StartName, StopRule, Target, spread_starts, start_image
from ..mlp import MLP, Network
from ..optimisers import Optimiser
from ..options import defaulting_to, options
from ..targets import check_targets
from .base import Inversion, Iterative, Reason

# Measured over networks of one to three layers at 500 steps: b2 = 0.95 leaves a largest output
# error of 0.001 to 0.007, optax's 0.999 one of 0.006 to 0.010, since it remembers the large
# first gradients for longer than the ascent takes.
_ADAM = Optimiser(learning_rate=0.1, options=(("b2", 0.95),))


class AscentState(NamedTuple):
    """The network made ready for input gradients, the centre of the starts, the pixel range."""

    params: Any
    centre: Float[Array, " pixels"]
    low: Float[Array, ""]
    high: Float[Array, ""]


class Climb(NamedTuple):
    """One ascent under way; a row is one restart of one target.

    Finished rows go on moving, which costs nothing in a batch that goes on anyway, but nothing of
    them is recorded any more: the best image is kept apart from the moving one.
    """

    step: Int[Array, ""]
    x: Float[Array, "rows pixels"]
    optimiser: Any
    best: Float[Array, "rows pixels"]
    best_value: Float[Array, " rows"]
    value: Float[Array, " rows"]
    curve: Float[Array, "steps rows"]
    reason: Int[Array, " rows"]
    taken: Int[Array, " rows"]
    mark: Float[Array, " rows"]
    waited: Int[Array, " rows"]


@options
class Ascent(Iterative):
    """Activation maximisation: x ← Π(x + step(∇J)), Π the projection onto the pixel range.

    Every restart of every target is a row of one batch; the optimiser sees each row by itself.
    The best iterate of each row by J is returned. Starts are the same for every target.

    Source: D. Erhan et al., "Visualizing higher-layer features of a deep network", 2009;
    A. Linden and J. Kindermann, "Inversion of multilayer nets", IJCNN 1989.

    Args:
        objective: J: ``target``, ``logit`` or ``log_prob``, or a table with its options.
        optimiser: any optax optimiser that needs the gradient alone, applied row by row.
        steps: the most that an image takes.
        start: ``grey`` (middle of the range), ``mean`` (of the training images) or ``random``.
        noise: how far further restarts begin from the first, as a share of the pixel range.
        restarts: images a target.
        stop: when an image is done.
    """

    kind: Literal["ascent"] = "ascent"
    objective: Objective = Target()
    optimiser: Annotated[Optimiser, defaulting_to(_ADAM)] = _ADAM
    steps: Annotated[int, Gt(0), Le(10**7)] = 500
    start: StartName = "grey"
    noise: Annotated[float, Ge(0), Le(1)] = 0.1
    restarts: Annotated[int, Gt(0), Le(10**6)] = 1
    stop: StopRule = StopRule()

    def check(self, model: Network, reference: Reference, targets: np.ndarray) -> None:
        """Refuse an objective or optimiser that does not go with the network."""
        self.objective.check(model.output)
        self.optimiser.check()
        outputs = model.sizes[-1] if isinstance(model, MLP) else None
        check_targets(targets, model.output, outputs, closed=True)

    def prepare(self, model: Network, params: Any, reference: Reference, key: Array) -> Any:
        """Store transposed weights and the centre of the starts."""
        dtype = jnp.result_type(*jax.tree.leaves(params))
        space = reference.space
        centre = jnp.asarray(start_image(self.start, reference), dtype)
        ends = (jnp.asarray(end, dtype) for end in (space.low, space.high))
        return AscentState(model.freeze(params), centre, *ends)

    def begin(
        self,
        model: Network,
        params: Any,
        state: Any,
        targets: Float[Array, "n outputs"],
        key: Array,
    ) -> Climb:
        """Lay out targets × restarts as rows."""
        starts = spread_starts(
            self.start, state.centre, state.low, state.high, self.restarts, self.noise, key
        )
        x = jnp.tile(starts, (len(targets), 1))
        rows, lowest = len(x), jnp.full(len(x), -jnp.inf, x.dtype)
        return Climb(
            step=jnp.zeros((), jnp.int32),
            x=x,
            optimiser=jax.vmap(self.optimiser.build(self.steps).init)(x),
            best=x,
            best_value=lowest,
            value=lowest,
            curve=jnp.zeros((self.steps + 1, rows), x.dtype),
            reason=jnp.full(rows, int(Reason.RUNNING), jnp.int32),
            taken=jnp.zeros(rows, jnp.int32),
            mark=lowest,
            waited=jnp.zeros(rows, jnp.int32),
        )

    def advance(
        self, model: Network, params: Any, state: Any, targets: Array, carry: Climb, number: Any
    ) -> Climb:
        """Climb on."""
        optimiser = self.optimiser.build(self.steps)
        wanted = jnp.repeat(targets, self.restarts, axis=0)
        last = carry.step + number

        def climb(x: Array) -> tuple[Array, tuple[Array, Array]]:
            values, logits = self._values(model, state, wanted, x)
            return values.sum(), (values, logits)

        def step(carry: Climb) -> Climb:
            gradient, (values, logits) = jax.grad(climb, has_aux=True)(carry.x)
            carry = self._record(model, wanted, carry, values, logits)
            change, moved = jax.vmap(optimiser.update)(-gradient, carry.optimiser, carry.x)
            x = jnp.clip(carry.x + change.astype(carry.x.dtype), state.low, state.high)
            running = self.running(carry)
            return carry._replace(
                step=carry.step + 1, x=x, optimiser=moved, taken=carry.taken + running
            )

        def unfinished(carry: Climb) -> Array:
            return (carry.step < last) & self.running(carry).any()

        return jax.lax.while_loop(unfinished, step, carry)

    def running(self, carry: Climb) -> Bool[Array, " rows"]:
        """Tell which rows have no reason to stop yet."""
        return carry.reason == Reason.RUNNING

    def finish(
        self, model: Network, params: Any, state: Any, targets: Array, carry: Climb
    ) -> Inversion:
        """Look at the last iterate too, then order the restarts of each target, best first."""
        wanted = jnp.repeat(targets, self.restarts, axis=0)
        carry = self._record(model, wanted, carry, *self._values(model, state, wanted, carry.x))
        reason = jnp.where(self.running(carry), int(Reason.MAX_ITERATIONS), carry.reason)
        # Beyond an early end of the whole batch, a curve stays at its last value.
        seen = jnp.arange(self.steps + 1)[:, None] <= carry.step
        curve = jnp.where(seen, carry.curve, carry.value)
        grouped = jax.tree.map(
            lambda a: a.reshape(len(targets), self.restarts, *a.shape[1:]),
            (carry.best, reason, carry.taken, carry.best_value, curve.T),
        )
        order = jnp.argsort(-grouped[3], axis=1, stable=True)
        images, reasons, taken, value, curve = jax.tree.map(
            lambda a: jax.vmap(lambda rows, o: rows[o])(a, order), grouped
        )
        return Inversion(
            images, reasons, taken, {"objective": value, "curve": curve, "restart": order}
        )

    def _values(
        self, model: Network, state: AscentState, wanted: Array, x: Array
    ) -> tuple[Array, Array]:
        logits = model.logits(state.params, x)
        return self.objective.value(model.output, logits, wanted), logits

    def _record(
        self, model: Network, wanted: Array, carry: Climb, values: Array, logits: Array
    ) -> Climb:
        """Take note of the present iterate: best so far, curve, reason to stop."""
        # An image at which the network has no answer is no result, whatever the objective says.
        finite = jnp.isfinite(values) & jnp.isfinite(logits).all(axis=-1)
        running = self.running(carry)
        fresh = running & finite
        better = fresh & (values > carry.best_value)
        # Against the value at the last gain, so that slow creeping counts once it adds up.
        gained = fresh & (values > carry.mark + self.stop.improvement)
        waited = jnp.where(gained, 0, carry.waited + 1)
        reason = carry.reason
        if self.stop.patience:
            reason = _stop(reason, waited >= self.stop.patience, Reason.STATIONARY)
        if self.objective.aims_at_target:
            error = jnp.abs(activation(model.output).apply(logits) - wanted).max(axis=-1)
            reason = _stop(reason, error <= self.stop.tolerance, Reason.REACHED)
            # The image that reached the target is the result, whatever J said of earlier ones.
            better |= running & finite & (reason == Reason.REACHED)
        reason = jnp.where(running & ~finite, int(Reason.DIVERGED), reason)
        value = jnp.where(fresh, values, carry.value)
        return carry._replace(
            best=jnp.where(better[:, None], carry.x, carry.best),
            best_value=jnp.where(better, values, carry.best_value),
            value=value,
            curve=jax.lax.dynamic_update_index_in_dim(carry.curve, value, carry.step, 0),
            reason=reason,
            mark=jnp.where(gained, values, carry.mark),
            waited=waited,
        )


def _stop(reason: Array, condition: Array, why: Reason) -> Array:
    return jnp.where((reason == Reason.RUNNING) & condition, int(why), reason)
