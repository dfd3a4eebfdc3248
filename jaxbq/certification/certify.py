"""Find the best picture and prove how far from the best possible it is."""

import numpy as np
from jaxtyping import Float

from ..data import ImageSpace
from ..errors import JaxbqError
from ..network.mlp import MLP, Params
from ..runtime.devices import computing
from .branching import Search
from .certificate import NORMS, OBJECTIVES, Certificate, read_weights
from .verifier import Claim, proven, reached

_MOST_NODES = 100_000


def certify(
    model: MLP,
    params: Params,
    target: int,
    *,
    space: ImageSpace | None = None,
    objective: str = "logit",
    other: int | None = None,
    around: Float[np.ndarray, " pixels"] | None = None,
    radius: float | None = None,
    norm: str = "linf",
    seconds: float = 60.0,
    gap: float = 0.05,
    nodes: int = _MOST_NODES,
    seed: int = 0,
) -> Certificate:
    """Search the largest value of an objective over a set of images, from below and from above.

    max over x of Σ vᵢ φ(zᵢ), z = xW + b, is bounded by envelopes of the hidden units, then by
    branch and bound on their intervals; the best picture comes from projected ascent. Found and
    proven are the verifier's numbers. Whenever it stops, they are true.

    Args:
        model: a network with one hidden layer.
        params: its parameters; they are taken as they are, as exact numbers.
        target: index of the class.
        space: of the images, for its pixel range; by default [0, 1].
        objective: ``logit`` of the target, its ``margin`` over the best of the other classes, or
            its ``difference`` from the logit of ``other``.
        other: index of the other class, for a difference.
        around: an image in the pixel range, in a ball around which to search.
        radius: of the ball, in units of the pixels.
        norm: of the ball: ``linf`` or ``l2``.
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
    centre = np.zeros(0) if around is None else np.asarray(around, np.float64).reshape(-1)
    claim = Claim(
        objective,
        int(target),
        -1 if other is None else int(other),
        *ends,
        "" if around is None else norm,
        0.0 if radius is None else float(radius),
        centre,
    )
    _check(claim, len(weights.inner), len(weights.constants), around is None, radius)
    if not (seconds >= 0 and gap >= 0 and nodes >= 1):
        raise JaxbqError("seconds and gap must be at least 0, nodes at least 1")
    with computing("float64"):
        search = Search(weights, claim, seconds, gap, nodes, seed)
        tree = search.run()
    found = reached(weights, claim, search.image)
    bound = proven(weights, claim, tree)
    return Certificate(claim, weights.digest, tree, search.image, found, bound)


def _check(claim: Claim, pixels: int, outputs: int, whole: bool, radius: float | None) -> None:
    """Refuse what makes no sense, in one line."""
    if claim.objective not in OBJECTIVES:
        raise JaxbqError(f"objective {claim.objective!r}: use {', '.join(OBJECTIVES)}")
    for label in (claim.target, claim.other) if claim.other != -1 else (claim.target,):
        if not 0 <= label < outputs:
            raise JaxbqError(f"class {label} is out of range; the network has 0 to {outputs - 1}")
    if (claim.objective == "difference") != (claim.other != -1) or claim.other == claim.target:
        raise JaxbqError("a difference, and nothing else, needs another class: say which")
    if whole:
        if radius is not None:
            raise JaxbqError("a radius needs an image to be around; name one")
        return
    if claim.norm not in NORMS:
        raise JaxbqError(f"norm {claim.norm!r}: use {' or '.join(NORMS)}")
    if not 0 < claim.radius < 1e9:
        raise JaxbqError("a ball around an image needs a radius above 0")
    if claim.centre.shape != (pixels,):
        raise JaxbqError(f"the image has {claim.centre.size} pixels, the network takes {pixels}")
    if not ((claim.centre >= claim.low) & (claim.centre <= claim.high)).all():
        raise JaxbqError(
            f"the image has pixels outside [{claim.low:g}, {claim.high:g}], the pixel range"
        )
