"""What the pseudo-inverse loses, and where: policies layer by layer, ranges, sensitivity."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..data import ImageSpace, Reference
from ..evaluation import correlation
from ..methods import Ascent, Method, PseudoInverse, invert
from ..methods.analytic import places, way_back
from ..methods.pseudo_inverse import Policy, decomposed, threshold
from ..network.mlp import MLP, Params
from ..options import describe
from ..runtime.compiled import Compiled
from .layers import alignment
from .measurements import BOX, LEFT, PREIMAGE, TRANSPOSE, Measurements

Knob = Literal["margin", "ridge", "rcond"]
# Values worth looking at: from no effect to too much.
SWEEPS: dict[Knob, tuple[float, ...]] = {
    "margin": (1e-6, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3),
    "ridge": (1e-6, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0),
    "rcond": (1e-6, 1e-3, 1e-2, 0.03, 0.1, 0.3, 0.9),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Fidelity:
    """How well images answer their targets, all classes together.

    Args:
        right: share of targets whose image is read as intended.
        mean_largest_error: mean over targets of the largest output error.
    """

    right: float
    mean_largest_error: float


def policy_losses(
    model: MLP,
    params: Params,
    targets: Float[np.ndarray, "n outputs"],
    space: ImageSpace,
    policy: Policy = "clip",
) -> list[Fidelity]:
    """Apply a policy at one layer only, and ``box``, which loses least, at all others.

    Args:
        model: the network.
        params: its parameters.
        targets: wanted outputs.
        space: where images live.
        policy: ``clip`` or ``rescale``.

    Returns:
        Fidelity of the images with the policy at the pixels, at the first hidden layer, and so on.
    """
    lossy = PseudoInverse(hidden_policy=policy, pixel_policy=policy)
    gentle = PseudoInverse()
    for method in (lossy, gentle):
        method.check(model, Reference(space), np.asarray(targets, np.float64))
    state = gentle.prepare(model, params, Reference(space), jax.random.key(0))
    wanted = jnp.asarray(targets, params[0].weight.dtype)
    found = []
    for place in range(len(params)):
        images = _MIXED(lossy, gentle, place, model, params, state, wanted)
        found.append(fidelity(np.asarray(model.apply(params, images)), targets))
    return found


def fidelity(
    outputs: Float[np.ndarray, "n outputs"], targets: Float[np.ndarray, "n outputs"]
) -> Fidelity:
    """Sum up outputs against targets."""
    right = (outputs.argmax(axis=1) == targets.argmax(axis=1)).mean()
    return Fidelity(float(right), float(np.abs(outputs - targets).max(axis=1).mean()))


def share_in_range(
    model: MLP, params: Params, targets: Float[np.ndarray, "n outputs"], space: ImageSpace
) -> Float[np.ndarray, "n layers"]:
    """Measure how much of what each layer is asked for lies in the range of its weights.

    Returns:
        ‖projection of z − b onto the range of a ↦ a W‖² / ‖z − b‖² for every target and layer, of
        the ``box`` back-query; 1 where an exact solution exists when a is free.
    """
    method = PseudoInverse()
    state = method.prepare(model, params, Reference(space), jax.random.key(0))
    wanted = jnp.asarray(targets, params[0].weight.dtype)
    steps = way_back(method, model, params, state, wanted)
    shares = []
    for step, layer in zip(steps, params, strict=True):
        z = np.asarray(step.z, np.float64)
        z = z if layer.bias is None else z - np.asarray(layer.bias, np.float64)
        _, s, vt = decomposed(layer.weight)
        kept = vt[s > threshold(layer.weight, s, None)]
        size = np.maximum(np.square(z).sum(axis=1), np.finfo(np.float64).tiny)
        shares.append(np.square(z @ kept.T).sum(axis=1) / size)
    return np.stack(shares, axis=1)


def sensitivity(
    method: PseudoInverse,
    knob: Knob,
    values: Sequence[float],
    model: MLP,
    params: Params,
    targets: Float[np.ndarray, "n outputs"],
    space: ImageSpace,
) -> list[tuple[float, Fidelity, float]]:
    """Turn one option of the pseudo-inverse and see what becomes of its images.

    Returns:
        For every value: the value, the fidelity, and the mean correlation of the images with those
        of ``method`` as it is.
    """
    base = _images(method, model, params, targets, space)[0]
    curve = []
    for value in values:
        turned: Any = {knob: float(value)}
        changed = dataclasses.replace(method, **turned)
        images, outputs = _images(changed, model, params, targets, space)
        alike = float(np.diag(correlation(images, base)).mean())
        curve.append((float(value), fidelity(outputs, targets), alike))
    return curve


def _images(
    method: Method, model: MLP, params: Params, targets: np.ndarray, space: ImageSpace
) -> tuple[np.ndarray, np.ndarray]:
    result = invert(method, model, params, targets, reference=space)
    return result.images[:, 0], result.outputs[:, 0]


def _mixed_backward(
    lossy: PseudoInverse,
    gentle: PseudoInverse,
    place: int,
    model: MLP,
    params: Params,
    state: Any,
    wanted: Array,
) -> Array:
    """Go back with ``lossy`` at layer ``place`` and ``gentle`` at the others."""
    for at in places(model, params):
        method = lossy if at.number == place else gentle
        z = at.phi.invert(wanted)
        wanted = method.settle(at, state, z, method.solve(at, state, z)).a
    return wanted


_MIXED = Compiled(_mixed_backward, 2, 3)

Curves = dict[str, dict[str, list[tuple[float, Fidelity, float]]]]

_METHODS = (TRANSPOSE, LEFT, BOX, PREIMAGE, Ascent())


def alignments(measured: Measurements) -> dict[str, dict[str, Float[np.ndarray, " n"]]]:
    """Correlate every method's images with the directions that could explain them.

    Returns:
        By method with its options, then by direction, one correlation a target; methods that
        cannot be used with this network are left out.
    """
    model, params, data = measured.model, measured.params, measured.data
    return {
        describe(method): alignment(way.result, model, params, data)
        for method in _METHODS
        if (way := measured.way(method)) is not None
    }


def losses_by_layer(
    model: MLP, params: Params, targets: Float[np.ndarray, "n outputs"], space: ImageSpace
) -> dict[str, Any]:
    """Measure what is lost where: a policy at one layer only, and what is in range of each."""
    return {
        "clip": policy_losses(model, params, targets, space, "clip"),
        "rescale": policy_losses(model, params, targets, space, "rescale"),
        "share_in_range": share_in_range(model, params, targets, space),
    }


def sensitivities(
    model: MLP, params: Params, targets: Float[np.ndarray, "n outputs"], space: ImageSpace
) -> Curves:
    """Turn margin, ridge and rcond of the pseudo-inverse, for every pixel policy.

    Returns:
        By option, then by pixel policy, a curve as :func:`~jaxbq.diagnosis.sensitivity` gives it.
    """
    policies: tuple[Policy, ...] = ("none", "clip", "box")
    clipped = PseudoInverse(hidden_policy="clip")
    methods = {policy: dataclasses.replace(clipped, pixel_policy=policy) for policy in policies}
    return {
        knob: {
            policy: sensitivity(method, knob, values, model, params, targets, space)
            for policy, method in methods.items()
        }
        for knob, values in SWEEPS.items()
    }
