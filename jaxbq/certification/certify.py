"""Find the best picture and prove how far from the best possible it is."""

import itertools
from typing import Any

import numpy as np
from jaxtyping import Float

from ..data import ImageSpace
from ..errors import JaxbqError
from ..network.mlp import MLP, Params
from ..network.targets import Codes
from ..runtime.devices import computing
from .branching import Search
from .certificate import (
    LEAST_RADIUS,
    NORMS,
    OBJECTIVES,
    WITH_CLASS,
    Certificate,
    ellipsoid,
    fits,
    read_weights,
    wanted_logits,
)
from .deep import DeepSearch
from .envelope import has_envelope
from .verifier import Claim, Weights, asked, contains, proven, reached

_MOST_NODES = 100_000


def certify(
    model: MLP,
    params: Params,
    target: int | None = None,
    *,
    space: ImageSpace | None = None,
    objective: str = "logit",
    other: int | None = None,
    layer: int | None = None,
    unit: int | None = None,
    vector: Float[np.ndarray, " outputs"] | None = None,
    around: Float[np.ndarray, " pixels"] | None = None,
    radius: float | None = None,
    norm: str = "linf",
    images: Float[np.ndarray, "n pixels"] | None = None,
    seconds: float = 60.0,
    gap: float = 0.05,
    nodes: int = _MOST_NODES,
    seed: int = 0,
) -> Certificate:
    """Return the certificate of an objective's largest value over a set of images, and its image.

    max over x of Σ vᵢ φ(zᵢ), z = xW + b, is bounded by envelopes of the hidden units, then by
    branch and bound on their intervals; deeper networks, activations that are neither convex nor
    S-shaped, and ellipsoids without branching. Whenever it stops, both numbers are true.

    Args:
        model: a network with hidden layers.
        params: its parameters; they are taken as they are, as exact numbers.
        target: index of the class; of an error, the class whose codes are wanted.
        space: of the images, for its pixel range; by default [0, 1].
        objective: ``logit`` of the target, its ``margin`` over the best of the other classes, or
            its ``difference`` from the logit of ``other``; the pre-activation of a hidden ``unit``;
            the logits along a ``direction``; or ``error``, minus the largest difference from the
            wanted logits: proven of it is that none come nearer.
        other: index of the other class, for a difference.
        layer: of a unit, from 1.
        unit: its number, from 0.
        vector: weights of the logits, for a direction; wanted outputs, for an error, by default
            the codes of the target.
        around: an image in the pixel range, in a ball around which to search.
        radius: of the ball, in units of the pixels; for ``mahalanobis`` in standard deviations.
        norm: of the ball: ``linf``, ``l2``, or ``mahalanobis``: √((x − m)ᵀΣ⁻¹(x − m)) with the
            covariance of ``images``, shrunk, and m their mean or the image to be around.
        images: training images, for ``mahalanobis``.
        seconds: after which to stop; what is begun is finished, and compiling comes on top.
        gap: (proven − found) / |proven| at which to stop.
        nodes: most boxes of the branch and bound; 1 for the envelope bound alone.
        seed: of the random starts.

    Raises:
        JaxbqError: a network that is not bounded here, or an argument that makes no sense.
    """
    weights = read_weights(model, params)
    claim = Claim(
        objective=objective,
        target=_index(unit if objective == "unit" else target if vector is None else None),
        other=_index(other),
        layer=layer or 0,
        vector=_vector(model, objective, target, vector),
        **_region(space or ImageSpace(()), around, radius, norm, images, len(weights.inner)),
    )
    _check(claim, weights, radius, (layer, unit))
    with computing("float64"):
        search = _search_for(asked(weights, claim), seconds, gap, nodes, seed)
        tree = search.run()
    image = _within(claim, search.image)
    found, bound = reached(weights, claim, image), proven(weights, claim, tree)
    return Certificate(claim, weights.digest, tree, image, found, bound)


def _within(claim: Claim, image: Float[np.ndarray, " pixels"]) -> Float[np.ndarray, " pixels"]:
    """Move an image that roundings carried out of a small ball a little towards its centre."""
    shares = (1 - 1e-6, 0.99, 0.0)
    nearer = (claim.centre + share * (image - claim.centre) for share in shares)
    return next(x for x in itertools.chain([image], nearer) if contains(claim, x))


def _search_for(
    question: tuple[Weights, Claim], seconds: float, gap: float, nodes: int, seed: int
) -> Search | DeepSearch:
    """Choose the search: branch and bound where a relaxed problem can be solved for every box."""
    if not (seconds >= 0 and gap >= 0 and nodes >= 1):
        raise JaxbqError("seconds and gap must be at least 0, nodes at least 1")
    weights, claim = question
    if weights.between or not has_envelope(weights.activation) or claim.norm == "mahalanobis":
        return DeepSearch(*question, seconds, gap, seed)
    return Search(*question, seconds, gap, nodes, seed)


def _region(
    space: ImageSpace,
    around: Float[np.ndarray, " pixels"] | None,
    radius: float | None,
    norm: str,
    images: Float[np.ndarray, "n pixels"] | None,
    pixels: int,
) -> dict[str, Any]:
    """Return the fields of a claim that say which images are meant."""
    low, high = float(space.low), float(space.high)
    factor = np.zeros((0, 0))
    if norm == "mahalanobis":
        mean, factor = ellipsoid(images, pixels)
        around = np.clip(mean, low, high) if around is None else around
    elif around is None and norm != "linf":
        raise JaxbqError(f"norm {norm!r}: say around which image")
    return {
        "low": low,
        "high": high,
        "norm": "" if around is None else norm,
        "radius": 0.0 if radius is None else float(radius),
        "centre": np.zeros(0) if around is None else np.asarray(around, np.float64).reshape(-1),
        "factor": factor,
    }


def _index(given: int | None) -> int:
    return -1 if given is None else int(given)


def _vector(
    model: MLP, objective: str, target: int | None, given: Float[np.ndarray, " outputs"] | None
) -> Float[np.ndarray, " outputs"]:
    """Return the direction, or the logits that are wanted."""
    outputs = model.sizes[-1]
    if objective not in ("direction", "error"):
        if given is not None:
            raise JaxbqError("a vector is for a direction or an error: choose that objective")
        return np.zeros(0)
    if given is None:
        if objective == "direction" or target is None or not 0 <= target < outputs:
            raise JaxbqError(f"{objective}: give a vector with one number for each output")
        return wanted_logits(model, Codes().matrix(outputs, model.output)[target])
    if target is not None:
        raise JaxbqError("a vector says what is asked for: leave the target out")
    vector = np.asarray(given).reshape(-1)
    real = vector.dtype.kind in "fiu"
    if not real or len(vector) != outputs or not (np.abs(vector) < 1e30).all():
        raise JaxbqError(f"the vector must be {outputs} finite numbers, one for each output")
    vector = vector.astype(np.float64)
    return vector if objective == "direction" else wanted_logits(model, vector)


def _check(
    claim: Claim, weights: Weights, radius: float | None, place: tuple[int | None, int | None]
) -> None:
    """Refuse what makes no sense, in one line."""
    outputs, pixels = len(weights.constants), len(weights.inner)
    if claim.objective not in OBJECTIVES:
        raise JaxbqError(f"objective {claim.objective!r}: use {', '.join(OBJECTIVES)}")
    if any((part is not None) != (claim.objective == "unit") for part in place):
        raise JaxbqError("a unit, and nothing else, needs a layer and a unit: say which")
    if claim.objective == "unit":
        sizes = [len(layer.bias) for layer in weights.hidden]
        if not 1 <= claim.layer <= len(sizes):
            raise JaxbqError(
                f"layer {claim.layer} is out of range; hidden layers are 1 to {len(sizes)}"
            )
        if not 0 <= claim.target < sizes[claim.layer - 1]:
            most = sizes[claim.layer - 1] - 1
            raise JaxbqError(
                f"unit {claim.target} is out of range; layer {claim.layer} has 0 to {most}"
            )
    elif claim.objective in WITH_CLASS and claim.target == -1:
        raise JaxbqError(f"{claim.objective}: say of which class")
    else:
        for label in {claim.target, claim.other} - {-1}:
            if not 0 <= label < outputs:
                raise JaxbqError(
                    f"class {label} is out of range; the network has 0 to {outputs - 1}"
                )
    if (claim.objective == "difference") != (claim.other != -1) or claim.other == claim.target >= 0:
        raise JaxbqError("a difference, and nothing else, needs another class: say which")
    _check_set(claim, pixels, radius)
    assert fits(claim, weights)


def _check_set(claim: Claim, pixels: int, radius: float | None) -> None:
    if not (claim.norm or claim.centre.size):
        if radius is not None:
            raise JaxbqError("a radius needs an image to be around; name one")
        return
    if claim.norm not in NORMS:
        raise JaxbqError(f"norm {claim.norm!r}: use {', '.join(NORMS)}")
    if not LEAST_RADIUS <= claim.radius < 1e9:
        raise JaxbqError("a ball around an image needs a radius above 0 (1e-100 to 1e9)")
    if claim.centre.shape != (pixels,):
        raise JaxbqError(f"the image has {claim.centre.size} pixels, the network takes {pixels}")
    if not ((claim.centre >= claim.low) & (claim.centre <= claim.high)).all():
        raise JaxbqError(
            f"the image has pixels outside [{claim.low:g}, {claim.high:g}], the pixel range"
        )
