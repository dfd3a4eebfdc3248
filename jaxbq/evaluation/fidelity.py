"""Fidelity: whether the network, given the image, answers the target."""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import log_expit, log_softmax, softmax, xlogy

from ..methods import Result
from ..network.targets import is_classless

_TIE = 1e-6  # float32 rounding of a target's entries
# Output activations whose values are probabilities.
PROBABILITIES = ("sigmoid", "softmax")


def fidelity(result: Result, output: str, intended: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the scores of fidelity by name; see :class:`~jaxbq.evaluation.Scores`."""
    error = np.abs(result.outputs - result.targets[:, None])
    largest = error.max(axis=-1)
    chances = result.outputs
    if output not in PROBABILITIES:
        chances = softmax(result.logits, axis=-1)
    return {
        "fidelity": np.maximum(0, 1 - largest / (2 if output == "tanh" else 1)),
        "largest_error": largest,
        "mean_error": error.mean(axis=-1),
        "target_probability": of_class(chances, intended),
        "divergence": _divergence(result.targets[:, None], result.logits, output),
    }


def _divergence(targets: np.ndarray, logits: np.ndarray, output: str) -> np.ndarray:
    """Σ t log(t / y) of probabilities y, from their logits, which keep what y rounds away."""
    logits = logits.astype(np.float64)
    if output == "softmax":
        return (xlogy(targets, targets) - targets * log_softmax(logits, axis=-1)).sum(axis=-1)
    if output != "sigmoid":
        return np.full(logits.shape[:-1], np.nan)
    own = xlogy(targets, targets) - targets * log_expit(logits)
    rest = xlogy(1 - targets, 1 - targets) - (1 - targets) * log_expit(-logits)
    return (own + rest).sum(axis=-1)


def of_class(
    values: Float[np.ndarray, "*batch classes"], intended: Int[np.ndarray, "*batch"]
) -> Float[np.ndarray, "*batch"]:
    """Take what belongs to the intended class; NaN where there is none."""
    own = np.take_along_axis(values, intended[..., None], axis=-1)[..., 0]
    return np.where(intended < 0, np.nan, own)


def intended_classes(targets: Float[np.ndarray, "n outputs"]) -> Int[np.ndarray, " n"]:
    """Class of every target, its largest entry; −1 where all entries are alike."""
    classless = np.array([is_classless(target) for target in targets])
    return np.where(classless, -1, targets.argmax(axis=1))


def read_as_asked(targets: np.ndarray, outputs: np.ndarray) -> Bool[np.ndarray, "targets samples"]:
    """Tell which outputs name the class that was asked for; see :class:`Scores`."""
    predicted = outputs.argmax(axis=-1)
    tied = np.isclose(targets, targets.max(axis=1, keepdims=True), rtol=0, atol=_TIE)
    right = np.take_along_axis(tied, predicted, axis=1)
    even = np.abs(outputs - targets[:, None]).max(axis=-1) < 0.5
    return np.where(intended_classes(targets)[:, None] < 0, even, right)
