"""All measurements of one network at once, as ``jaxbq explain`` shows them."""

import contextlib
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from ..data import Dataset, ImageSpace, Reference
from ..errors import JaxbqError
from ..methods import Ascent, Method, Preimage, PseudoInverse, Transpose, invert
from ..mlp import MLP, Params
from .alignment import alignment
from .losses import SWEEPS, Fidelity, policy_losses, sensitivity, share_in_range

Curves = dict[str, dict[str, list[tuple[float, Fidelity, float]]]]

_METHODS: dict[str, Method] = {
    "transpose": Transpose(),
    "pseudo-inverse, no pixel policy": PseudoInverse(hidden_policy="clip", pixel_policy="none"),
    "pseudo-inverse, box": PseudoInverse(),
    "preimage": Preimage(),
    "ascent": Ascent(),
}


def alignments(
    model: MLP,
    params: Params,
    targets: Float[np.ndarray, "n outputs"],
    data: Dataset | None,
    reference: Reference | Dataset,
    key: Array | None = None,
) -> dict[str, dict[str, Float[np.ndarray, " n"]]]:
    """Correlate every method's images with the directions that could explain them.

    Returns:
        By method, then by direction, one correlation a target; methods that cannot be used with
        this network are left out.
    """
    found = {}
    for name, method in _METHODS.items():
        with contextlib.suppress(JaxbqError):
            result = invert(method, model, params, targets, reference=reference, key=key)
            found[name] = alignment(result, model, params, data)
    return found


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
    policies = {
        "none": PseudoInverse(hidden_policy="clip", pixel_policy="none"),
        "clip": PseudoInverse(hidden_policy="clip", pixel_policy="clip"),
        "box": PseudoInverse(hidden_policy="clip", pixel_policy="box"),
    }
    return {
        knob: {
            policy: sensitivity(method, knob, values, model, params, targets, space)
            for policy, method in policies.items()
        }
        for knob, values in SWEEPS.items()
    }
