"""The images at which the envelope bound of every logit is reached, in the relaxed problem."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..data import ImageSpace
from ..network.mlp import Network, Params
from ..runtime.compiled import Compiled
from ..runtime.devices import computing
from .certificate import read_weights
from .envelope import Problem, solve
from .verifier import Claim, Region, root_intervals

_TOLERANCE = 1e-4  # of the sum of all complementarities, relative to the range of the objective


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
        JaxbqError: a network that is not bounded here.
    """
    weights = read_weights(model, params)
    claim = Claim("logit", 0, -1, float(space.low), float(space.high), "", 0.0, np.zeros(0))
    region = Region.of(claim, len(weights.inner))
    v = np.ascontiguousarray(weights.outer.T)
    low, high = (np.tile(end, (len(v), 1)) for end in root_intervals(weights, region))
    parts = (weights.inner, weights.bias, region.low, region.high, region.centre, 0.0)
    with computing("float64"):
        problem = Problem(*map(jnp.asarray, parts))
        found = _SOLVE.thorough(weights.activation, problem, v, low, high, np.asarray(_TOLERANCE))
        return np.clip(np.asarray(found.image), region.low, region.high)


_SOLVE = Compiled(solve, 0)
