"""What the analytic methods share: the way back through the layers, kept step by step."""

import abc
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..network.activations import Activation
from ..network.mlp import MLP, Layer, Network, Params
from ..network.targets import check_targets
from ..runtime.compiled import Compiled
from .base import Inversion, Method, NeedsMLPError, Reason, Targets


class Place(NamedTuple):
    """A layer on the way back: its number, from 0, and the activation that its input comes out of.

    ``below`` is None for pixels.
    """

    number: int
    layer: Layer
    phi: Activation
    below: Activation | None


def places(model: MLP, params: Params) -> list[Place]:
    """List the layers, the last one first."""
    below = (None, *model.activations[:-1])
    return [*map(Place, range(len(params)), params, model.activations, below)][::-1]


class Settled(NamedTuple):
    """What a policy makes of the inputs found for a layer.

    Args:
        a: the values, shape (batch, fan_in).
        failed: which rows it could not treat, shape (batch,).
        optimality: projected-gradient norm of the bounded problem that it solved, shape (batch,);
            0 for a policy that solves none.
    """

    a: Float[Array, "batch fan_in"]
    failed: Bool[Array, " batch"]
    optimality: Float[Array, " batch"]


class Step(NamedTuple):
    """One layer on the way back, from its wanted activation to that of the layer before.

    Args:
        wanted: activation that the layer is to give, shape (batch, fan_out).
        z: its pre-activation φ⁻¹(wanted), shape (batch, fan_out).
        raw: input found for it, before the policy, shape (batch, fan_in).
        settled: what the policy made of it.
    """

    wanted: Float[Array, "batch fan_out"]
    z: Float[Array, "batch fan_out"]
    raw: Float[Array, "batch fan_in"]
    settled: Settled


class Analytic(Method):
    """A method that goes back layer by layer: φ⁻¹, some inverse of W, then a policy.

    A policy brings what was found into the domain of the next φ⁻¹, or into the pixel range.
    """

    @abc.abstractmethod
    def solve(self, at: Place, state: Any, z: Array) -> Array:
        """Find inputs of a layer for its pre-activation z, wherever they may lie."""

    @abc.abstractmethod
    def settle(self, at: Place, state: Any, z: Array, raw: Array) -> Settled:
        """Apply the policy to the inputs found for a layer."""

    def backward(
        self, model: MLP, params: Params, state: Any, targets: Float[Array, "n outputs"]
    ) -> list[Step]:
        """Go back from targets to images; the steps of the layers, first layer first."""
        steps: list[Step] = []
        wanted = targets
        for at in places(model, params):
            z = at.phi.invert(wanted)
            raw = self.solve(at, state, z)
            settled = self.settle(at, state, z, raw)
            steps.append(Step(wanted, z, raw, settled))
            wanted = settled.a
        return steps[::-1]

    def invert(
        self, model: Network, params: Any, state: Any, targets: Targets, key: Array
    ) -> Inversion:
        """Go back, and measure what each step lost; final."""
        assert isinstance(model, MLP)
        steps = self.backward(model, params, state, targets)
        failed = jnp.stack([step.settled.failed for step in steps]).any(axis=0)
        # A row that a policy failed on still has finite values, so that nothing else breaks.
        reasons = jnp.where(failed, int(Reason.CONSTANT), int(Reason.COMPUTED))
        before, after = zip(*map(_residuals, steps, params), strict=True)
        ends = [state.ends, *((phi.low, phi.high) for phi in model.activations[:-1])]
        outside = [_outside(step.raw, *end) for step, end in zip(steps, ends, strict=True)]
        shares, amounts = zip(*outside, strict=True)
        answered = model.trace(params, steps[0].settled.a).activations[1:]
        apart = [
            jnp.abs(step.wanted - own).max(axis=-1)
            for step, own in zip(steps, answered, strict=True)
        ]
        found = [jnp.stack([s.raw.min(axis=-1), s.raw.max(axis=-1)], axis=-1) for s in steps]
        diagnostics = {
            "image_before_policy": steps[0].raw,
            "outputs_before_policy": model.apply(params, steps[0].raw),
            "found_range": jnp.stack(found, axis=1),
            "outside_share": jnp.stack(shares, axis=-1),
            "outside_amount": jnp.stack(amounts, axis=-1),
            "residual_before_policy": jnp.stack(before, axis=-1),
            "residual_after_policy": jnp.stack(after, axis=-1),
            "apart": jnp.stack(apart, axis=-1),
            "policy_optimality": jnp.stack([step.settled.optimality for step in steps], axis=-1),
        }
        return Inversion(
            steps[0].settled.a[:, None],
            reasons[:, None],
            jnp.ones_like(reasons)[:, None],
            {name: values[:, None] for name, values in diagnostics.items()},
        )


# The same compiled, of (method, model, params, state, targets).
way_back = Compiled(Analytic.backward, 1)


def settled(a: Array, failed: Array | None = None, optimality: Array | None = None) -> Settled:
    """Put the outcome of a policy together: by default no row failed and nothing was solved."""
    return Settled(
        a,
        jnp.zeros(len(a), bool) if failed is None else failed,
        jnp.zeros(len(a), a.dtype) if optimality is None else optimality,
    )


def check_analytic(name: str, model: Network, targets: np.ndarray) -> MLP:
    """Check that the inverse activations exist on the way back; return the network as an MLP.

    Raises:
        JaxbqError: not an MLP, an activation without inverse, or a target outside its image.
    """
    if not isinstance(model, MLP):
        raise NeedsMLPError(f"{name} needs an MLP, whose layers it goes back through; use ascent")
    for phi in model.activations:
        phi.check_invertible()
    check_targets(targets, model.output, model.sizes[-1])
    return model


def product(a: Array, weight: Array) -> Array:
    """Multiply in full precision: accelerators round factors by default."""
    return jnp.matmul(a, weight, precision=jax.lax.Precision.HIGHEST)


def pre_activation(layer: Layer, a: Array) -> Array:
    """Run one layer forward, in full precision."""
    z = product(a, layer.weight)
    return z if layer.bias is None else z + layer.bias[None]


def without_bias(layer: Layer, z: Array) -> Array:
    """Take the bias off a pre-activation, where there is one."""
    return z if layer.bias is None else z - layer.bias[None]


def _residuals(step: Step, layer: Layer) -> tuple[Array, Array]:
    """Compute ‖a W + b − z‖ before and after the policy."""
    missed = (pre_activation(layer, a) - step.z for a in (step.raw, step.settled.a))
    before, after = (jnp.linalg.norm(each, axis=-1) for each in missed)
    return before, after


def _outside(values: Array, low: Any, high: Any) -> tuple[Array, Array]:
    """Share of values outside the interval, and how far the farthest is."""
    excess = jnp.maximum(jnp.maximum(low - values, values - high), 0)
    return (excess > 0).mean(axis=-1, dtype=values.dtype), excess.max(axis=-1)
