"""A network of sigmoid layers in plain NumPy: forward, and back to the image."""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from ..session import Layers


def forward(layers: Layers, images: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Compute the signals that enter every layer, and the logits."""
    signals = [images]
    for number, (weight, bias) in enumerate(layers):
        z = signals[-1] @ weight + (0.0 if bias is None else bias)
        if number + 1 < len(layers):
            signals.append(expit(z))
    return signals, z


def backward(layers: Layers, signals: Sequence[np.ndarray], cotangent: np.ndarray) -> np.ndarray:
    """Carry a gradient with respect to the logits back to the image."""
    for number in reversed(range(len(layers))):
        cotangent = cotangent @ layers[number][0].T
        if number:
            cotangent = cotangent * signals[number] * (1 - signals[number])
    return cotangent
