"""Inverses in NumPy and SciPy, as one writes them without a library of inversions."""

import numpy as np
from scipy.optimize import least_squares, lsq_linear
from scipy.special import expit, logit

from ..session import Layers
from .plain import backward, forward

_MARGIN = 0.01  # of hidden activations to the ends of the sigmoid, as in jaxbq


def pseudo_inverse(layers: Layers, targets: np.ndarray, *, clip: bool) -> np.ndarray:
    """Go back by ``numpy.linalg.pinv``, hidden activations clipped; clip pixels too, or not."""
    signal = np.asarray(targets, np.float64)
    for number, (weight, bias) in reversed(tuple(enumerate(layers))):
        signal = (logit(signal) - _bias(bias)) @ np.linalg.pinv(weight.astype(np.float64))
        if number:
            signal = np.clip(signal, _MARGIN, 1 - _MARGIN)
        elif clip:
            signal = np.clip(signal, 0, 1)
    return signal


def box(layers: Layers, targets: np.ndarray) -> np.ndarray:
    """Go back by ``scipy.optimize.lsq_linear``, every layer and target a problem of its own."""
    signal = np.asarray(targets, np.float64)
    for number, (weight, bias) in reversed(tuple(enumerate(layers))):
        low, high = (_MARGIN, 1 - _MARGIN) if number else (0.0, 1.0)
        wide = weight.T.astype(np.float64)
        signal = np.stack(
            [lsq_linear(wide, row, (low, high)).x for row in logit(signal) - _bias(bias)]
        )
    return signal


def preimage(layers: Layers, targets: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Solve for the logits by ``scipy.optimize.least_squares``, bounded, one image at a time."""
    wide = tuple((w.astype(np.float64), b) for w, b in layers)
    outputs = targets.shape[1]

    def one(start: np.ndarray, target: np.ndarray) -> np.ndarray:
        def residual(x: np.ndarray) -> np.ndarray:
            return forward(wide, x[None])[1][0] - logit(target)

        def jacobian(x: np.ndarray) -> np.ndarray:
            signals, _ = forward(wide, np.broadcast_to(x, (outputs, len(x))))
            return backward(wide, signals, np.eye(outputs))

        found = least_squares(
            residual, start, jacobian, bounds=(0.0, 1.0), method="trf", tr_solver="lsmr"
        )
        return np.asarray(found.x)

    return np.stack([one(x, t) for x, t in zip(starts, targets, strict=True)])


def exemplars(layers: Layers, targets: np.ndarray, images: np.ndarray, k: int) -> np.ndarray:
    """Rank training images by the distance of their outputs to each target; take the first k."""
    outputs = expit(forward(layers, images)[1])
    distance = np.linalg.norm(outputs[None] - targets[:, None], axis=2)
    return images[np.argsort(distance, axis=1)[:, :k]]


def class_means(images: np.ndarray, labels: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Average the training images of each target's class."""
    return np.stack([images[labels == t.argmax()].mean(axis=0) for t in targets])


def _bias(bias: np.ndarray | None) -> np.ndarray | float:
    return 0.0 if bias is None else bias
