"""Find the best picture and prove how far from the best possible it is."""

import numpy as np
from jaxtyping import Float

from ..data import ImageSpace
from ..errors import JaxbqError
from ..network.mlp import MLP, Params
from ..network.targets import Codes
from ..runtime.devices import computing
from .branching import Search
from .certificate import (
    NORMS,
    OBJECTIVES,
    WITH_CLASS,
    Certificate,
    fits,
    read_weights,
    wanted_logits,
)
from .deep import DeepSearch
from .ellipsoid import ellipsoid
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
    """Search the largest value of an objective over a set of images, from below and from above.

    max over x of Σ vᵢ φ(zᵢ), z = xW + b, is bounded by envelopes of the hidden units, then by
    branch and bound on their intervals; the best picture comes from projected ascent. Deeper
    networks, activations that are neither convex nor S-shaped, and ellipsoids are bounded without
    branching. Found and proven are the verifier's numbers. Whenever it stops, they are true.

    Args:
        model: a network with hidden layers.
        params: its parameters; they are taken as they are, as exact numbers.
        target: index of the class; of an error, the class whose codes are wanted.
        space: of the images, for its pixel range; by default [0, 1].
        objective: ``logit`` of the target, its ``margin`` over the best of the other classes, or
            its ``difference`` from the logit of ``other``; the pre-activation of a hidden ``unit``;
            the logits along a ``direction``; or ``error``, minus the largest of all differences
            between the logits and wanted ones: what is proven of it is that none come nearer.
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

    Returns:
        The certificate, with the picture.

    Raises:
        JaxbqError: a network that is not bounded here, or an argument that makes no sense.
    """
    weights = read_weights(model, params)
    ends = (0.0, 1.0) if space is None else (float(space.low), float(space.high))
    if norm == "mahalanobis":
        mean, factor = ellipsoid(images, len(weights.inner))
        around = np.clip(mean, *ends) if around is None else around
    else:
        factor = np.zeros((0, 0))
    claim = Claim(
        objective,
        _index(unit if objective == "unit" else target if vector is None else None),
        _index(other),
        *ends,
        "" if around is None else norm,
        0.0 if radius is None else float(radius),
        np.zeros(0) if around is None else np.asarray(around, np.float64).reshape(-1),
        0 if layer is None else int(layer),
        _vector(model, objective, target, vector),
        factor,
    )
    _check(claim, weights, around is None, radius, unit)
    if not (seconds >= 0 and gap >= 0 and nodes >= 1):
        raise JaxbqError("seconds and gap must be at least 0, nodes at least 1")
    with computing("float64"):
        search = _search_for(asked(weights, claim), seconds, gap, nodes, seed)
        tree = search.run()
    assert contains(claim, search.image)
    found = reached(weights, claim, search.image)
    bound = proven(weights, claim, tree)
    return Certificate(claim, weights.digest, tree, search.image, found, bound)


def _search_for(
    question: tuple[Weights, Claim], seconds: float, gap: float, nodes: int, seed: int
) -> Search | DeepSearch:
    """Choose the search: branch and bound where a relaxed problem can be solved for every box."""
    weights, claim = question
    if weights.between or not has_envelope(weights.activation) or claim.norm == "mahalanobis":
        return DeepSearch(*question, seconds, gap, seed)
    return Search(*question, seconds, gap, nodes, seed)


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
    vector = np.asarray(given, np.float64).reshape(-1)
    if len(vector) != outputs or not (np.abs(vector) < 1e30).all():
        raise JaxbqError(f"the vector has {len(vector)} numbers; give {outputs} finite ones")
    return vector if objective == "direction" else wanted_logits(model, vector)


def _check(
    claim: Claim, weights: Weights, whole: bool, radius: float | None, unit: int | None
) -> None:
    """Refuse what makes no sense, in one line."""
    outputs, pixels = len(weights.constants), len(weights.inner)
    if claim.objective not in OBJECTIVES:
        raise JaxbqError(f"objective {claim.objective!r}: use {', '.join(OBJECTIVES)}")
    if (claim.objective == "unit") != (unit is not None or claim.layer != 0):
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
    _check_set(claim, pixels, whole, radius)
    assert fits(claim, weights)


def _check_set(claim: Claim, pixels: int, whole: bool, radius: float | None) -> None:
    if whole:
        if radius is not None:
            raise JaxbqError("a radius needs an image to be around; name one")
        return
    if claim.norm not in NORMS:
        raise JaxbqError(f"norm {claim.norm!r}: use {', '.join(NORMS)}")
    if not 0 < claim.radius < 1e9:
        raise JaxbqError("a ball around an image needs a radius above 0")
    if claim.centre.shape != (pixels,):
        raise JaxbqError(f"the image has {claim.centre.size} pixels, the network takes {pixels}")
    if not ((claim.centre >= claim.low) & (claim.centre <= claim.high)).all():
        raise JaxbqError(
            f"the image has pixels outside [{claim.low:g}, {claim.high:g}], the pixel range"
        )
