"""The images at which the envelope bound of every logit is reached, in the relaxed problem."""

import numpy as np
from jaxtyping import Float

from ..data import ImageSpace
from ..errors import JaxbqError
from ..network.mlp import MLP, Network, Params
from ..runtime.compiled import Compiled
from ..runtime.devices import computing
from .certificate import check_network, read_weights
from .envelope import Problem, has_envelope, solve
from .verifier import Region, root_intervals

_TOLERANCE = 1e-4  # of the sum of all complementarities, relative to the range of the objective


def check_relaxed(model: Network) -> None:
    """Refuse a network of which no relaxed problem is solved here.

    Raises:
        JaxbqError: as :func:`check_network`, or it has several hidden layers.
    """
    check_network(model)
    if not isinstance(model, MLP) or len(model.sizes) != 3:
        raise JaxbqError("start = 'relaxed' needs a network with one hidden layer; use another")
    if not has_envelope(model.hidden_names[0]):
        raise JaxbqError(f"start = 'relaxed' knows no {model.hidden} units; use another start")


def relaxed_images(
    model: Network, params: Params, space: ImageSpace
) -> Float[np.ndarray, "outputs pixels"]:
    """Solve the relaxed problem of every logit over the pixel range.

    The concave envelope of each hidden unit stands in its place, so no local optimum is in the way.
    Where units have kinks, as ReLU, the image may be some percent short of the optimum.

    Args:
        model: as :func:`~jaxbq.certify` takes it.
        params: its parameters.
        space: of the images, for its pixel range.

    Returns:
        One image an output, in float64, within the pixel range.

    Raises:
        JaxbqError: as :func:`check_relaxed`.
    """
    check_relaxed(model)
    weights = read_weights(model, params)
    low, high = (np.full(len(weights.inner), float(end)) for end in (space.low, space.high))
    region = Region(low, high, low, np.inf)
    v = np.ascontiguousarray(weights.outer.T)
    low, high = (np.tile(end, (len(v), 1)) for end in root_intervals(weights, region))
    with computing("float64"):
        problem = Problem.of(weights, region)
        found = _SOLVE.thorough(weights.activation, problem, v, low, high, np.asarray(_TOLERANCE))
        return np.clip(np.asarray(found.image), region.low, region.high)


_SOLVE = Compiled(solve, 0)
