"""SciPy's L-BFGS-B on one image after another, pixels bounded, gradients by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from ..session import Layers
from .plain import backward, forward

Ascend = Callable[[], np.ndarray]


def lbfgs(
    layers: Layers,
    targets: np.ndarray,
    starts: np.ndarray,
    steps: int,
    tolerance: float = 0.0,
) -> Ascend:
    """Make the descent of the cross-entropy of the target.

    Args:
        layers: the network.
        targets: wanted outputs, one an image.
        starts: images to begin with.
        steps: the most iterations of an image; by its own rule it may stop before.
        tolerance: it stops when no output differs from its target by more; 0 for never.

    Returns:
        What descends and returns the images.
    """
    wide = tuple((w.astype(np.float64), b) for w, b in layers)

    def descend() -> np.ndarray:
        return np.stack([one(x, t) for x, t in zip(starts, targets, strict=True)])

    def one(start: np.ndarray, target: np.ndarray) -> np.ndarray:
        def cost(x: np.ndarray) -> tuple[float, np.ndarray]:
            signals, z = forward(wide, x[None])
            value = np.logaddexp(0, z[0]) - target * z[0]
            return float(value.sum()), backward(wide, signals, expit(z) - target)[0]

        def look(intermediate_result: Any) -> None:
            z = forward(wide, intermediate_result.x[None])[1]
            if np.abs(expit(z[0]) - target).max() <= tolerance:
                raise StopIteration

        found = minimize(
            cost,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[(0.0, 1.0)] * len(start),
            callback=look if tolerance else None,
            options={"maxiter": steps, "maxfun": 10 * steps},
        )
        return np.asarray(found.x)

    return descend
