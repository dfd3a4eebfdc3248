"""The numeric trace: every number of a back-query beside what its image gives going forward."""

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..data import Dataset, ImageSpace, Reference
from ..errors import JaxbqError
from ..methods import Method, Reason, invert
from ..methods.analytic import Analytic, Step, pre_activation, way_back
from ..network.mlp import MLP, Layer, Params
from ..options import describe
from .layers import LayerFacts, layer_facts


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """One layer, backward and forward. Backward numbers are None where a method has none.

    Only analytic methods go back layer by layer; of any other, what is asked of the last layer is
    known, and how the image answers.

    Args:
        number: the layer, from 1 next to the image.
        activation: φ of the layer.
        facts: the linear algebra of its weights.
        asked: activation that the layer is to give, shape (fan_out,).
        asked_z: its pre-activation.
        found: input found for it, before the policy, shape (fan_in,).
        settled: the same after the policy.
        outside_share: share of ``found`` outside the domain (of φ⁻¹ below, or the pixel range).
        outside_amount: how far its farthest value is outside.
        found_range: smallest and largest value of ``found``: the constants of a rescaling.
        residual_before: ‖a W + b − z‖ with ``found``.
        residual_after: the same with ``settled``.
        answered: activation that the returned image gives going forward, shape (fan_out,).
        answered_z: its pre-activation.
        apart: largest difference between ``asked`` and ``answered``.
    """

    number: int
    activation: str
    facts: LayerFacts
    asked: Float[np.ndarray, " fan_out"] | None
    asked_z: Float[np.ndarray, " fan_out"] | None
    found: Float[np.ndarray, " fan_in"] | None
    settled: Float[np.ndarray, " fan_in"] | None
    outside_share: float | None
    outside_amount: float | None
    found_range: tuple[float, float] | None
    residual_before: float | None
    residual_after: float | None
    answered: Float[np.ndarray, " fan_out"]
    answered_z: Float[np.ndarray, " fan_out"]
    apart: float | None


class Units(NamedTuple):
    """The vectors of one layer of units, each of shape (units,); None where there is none.

    Args:
        found: what the way back found for them, before the policy.
        asked: activations that it asks of them, after the policy.
        asked_z: the pre-activations of these.
        given_z: pre-activations going forward.
        given: activations going forward, or pixels.
    """

    found: Float[np.ndarray, " units"] | None
    asked: Float[np.ndarray, " units"] | None
    asked_z: Float[np.ndarray, " units"] | None
    given_z: Float[np.ndarray, " units"] | None
    given: Float[np.ndarray, " units"]


@dataclass(frozen=True, eq=False)
class Trace:
    """A back-query of one target, number by number.

    Args:
        method: its options, described; ``forward`` of an image that was given.
        target: what was asked, shape (outputs,); None of an image that was given.
        image: the returned image, shape (pixels,), or the given one.
        space: shape of the image and the pixel range.
        reason: why the method was done.
        layers: first layer first.
        note: why there are no backward numbers; empty where there are.
    """

    method: str
    target: Float[np.ndarray, " outputs"] | None
    image: Float[np.ndarray, " pixels"]
    space: ImageSpace
    reason: str
    layers: tuple[LayerTrace, ...]
    note: str = ""

    def units(self, number: int) -> Units:
        """Return the vectors of layer ``number``, 0 for the image, in the order of its units."""
        above = self.layers[number] if number < len(self.layers) else None
        found = None if above is None else above.found
        if number == 0:
            asked = None if above is None else above.settled
            return Units(found, asked, None, None, self.image)
        own = self.layers[number - 1]
        return Units(found, own.asked, own.asked_z, own.answered_z, own.answered)


def trace(
    method: Method,
    model: MLP,
    params: Params,
    target: Float[np.ndarray, " outputs"],
    *,
    reference: Reference | Dataset | ImageSpace | None = None,
    key: Array | None = None,
) -> Trace:
    """Run a method for one target and keep every number, backward and forward.

    Args:
        method: any method.
        model: the network.
        params: its parameters.
        target: wanted outputs.
        reference: the data set, or only the image space.
        key: random key.

    Raises:
        JaxbqError: the network is no MLP, or the method cannot do this.
    """
    _check(model)
    result = invert(method, model, params, target[None], reference=reference, key=key)
    steps = _steps(method, model, params, target, result.space)
    image, reason = result.images[0, 0], Reason(result.reasons[0, 0]).name.lower()
    note = "" if steps else _NO_STEPS.format(kind=describe(method).partition("(")[0])
    layers = _layers(model, params, image, result.space, np.asarray(target), steps)
    return Trace(describe(method), np.asarray(target), image, result.space, reason, layers, note)


_NO_STEPS = (
    "{kind} finds the image as a whole and goes back through no layer: nothing is asked of hidden "
    "layers, and the backward columns are empty. transpose and pseudo_inverse go layer by layer."
)


def trace_image(
    model: MLP, params: Params, image: Float[np.ndarray, " pixels"], space: ImageSpace
) -> Trace:
    """Run an image forward and keep every number; nothing goes back.

    Args:
        model: the network.
        params: its parameters.
        image: in the pixel range.
        space: where images live.

    Raises:
        JaxbqError: the network is no MLP, or takes another number of pixels.
    """
    _check(model)
    if image.shape != (model.sizes[0],):
        raise JaxbqError(f"the image has {image.size} pixels, the network takes {model.sizes[0]}")
    image = image.astype(params[0].weight.dtype)
    layers = _layers(model, params, image, space, None, None)
    note = "a given image runs only forward, so the backward columns are empty."
    return Trace("forward", None, image, space, "given", layers, note)


def _check(model: MLP) -> None:
    if not isinstance(model, MLP):
        raise JaxbqError("a trace needs an MLP, whose layers it shows")


def _layers(
    model: MLP,
    params: Params,
    image: np.ndarray,
    space: ImageSpace,
    target: np.ndarray | None,
    steps: list[Step] | None,
) -> tuple[LayerTrace, ...]:
    forward = jax.device_get(_forward(model, params, image[None]))
    layers = []
    for number, (facts, layer) in enumerate(zip(layer_facts(params), params, strict=True)):
        phi = model.activations[number]
        step = steps[number] if steps else None
        asked = step.wanted[0] if step else target if number == len(params) - 1 else None
        z = step.z[0] if step else _wanted_z(phi, asked)
        answered = np.asarray(forward.activations[number + 1][0])
        layers.append(
            LayerTrace(
                number + 1,
                phi.name,
                facts,
                None if asked is None else np.asarray(asked),
                None if z is None else np.asarray(z),
                **_backward_numbers(step, layer, model, number, space),
                answered=answered,
                answered_z=np.asarray(forward.pre_activations[number][0]),
                apart=None if asked is None else float(np.abs(np.asarray(asked) - answered).max()),
            )
        )
    return tuple(layers)


def _steps(
    method: Method, model: MLP, params: Params, target: np.ndarray, space: ImageSpace
) -> list[Step] | None:
    if not isinstance(method, Analytic):
        return None
    state = method.prepare(model, params, Reference(space), jax.random.key(0))
    targets = jnp.asarray(target[None], params[0].weight.dtype)
    return jax.device_get(way_back(method, model, params, state, targets))


@partial(jax.jit, static_argnums=0)
def _forward(model: MLP, params: Params, images: Array) -> Any:
    return model.trace(params, images)


@jax.jit
def _missed(layer: Layer, given: Array, z: Array) -> Array:
    return jnp.linalg.norm(pre_activation(layer, given) - z)


def _wanted_z(phi: Any, asked: Any) -> Any:
    if asked is None or phi.inverse is None:
        return None
    z = np.asarray(phi.invert(jnp.asarray(asked)))
    return z if np.isfinite(z).all() else None


def _backward_numbers(
    step: Step | None, layer: Any, model: MLP, number: int, space: ImageSpace
) -> dict[str, Any]:
    names = ["found", "settled", "outside_share", "outside_amount", "found_range"]
    names += ["residual_before", "residual_after"]
    if step is None:
        return dict.fromkeys(names)
    below = model.activations[number - 1] if number else space
    low, high = below.low, below.high
    found, settled = np.asarray(step.raw[0]), np.asarray(step.settled.a[0])
    excess = np.maximum(np.maximum(low - found, found - high), 0)
    before, after = (float(_missed(layer, a, step.z)) for a in (step.raw, step.settled.a))
    numbers = (float((excess > 0).mean()), float(excess.max()))
    ends = (float(found.min()), float(found.max()))
    return dict(zip(names, (found, settled, *numbers, ends, before, after), strict=True))


def to_plain(value: Any) -> Any:
    """Turn dataclasses, tuples and arrays into what JSON holds; infinite and NaN become None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_plain({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    if isinstance(value, dict):
        return {key: to_plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(member) for member in value]
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
