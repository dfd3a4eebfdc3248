"""scikit-learn's MLPClassifier: as an object, or in a file of skops."""

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import JaxbqError
from ...runtime.archives import open_archive
from ..inputs import RawLayer
from .chains import numbers
from .found import MOST_BYTES, Found, activation_name

# Plain classes of scikit-learn's that every fitted MLP holds, though skops does not list them.
_OPTIMISERS = [
    f"sklearn.neural_network._stochastic_optimizers.{name}Optimizer" for name in ("Adam", "SGD")
]


def read_skops(path: Path) -> Found:
    """Read an MLPClassifier that skops wrote; none but its own types are trusted.

    Raises:
        JaxbqError: skops is not there, the file is damaged, holds other types, or is no MLP.
    """
    try:
        from skops.io import load
    except ImportError:
        raise JaxbqError(
            f"{path}: reading it needs skops and scikit-learn; pip install 'jaxbq[import]'"
        ) from None
    with open_archive(path, MOST_BYTES):
        pass  # sizes are checked before skops unpacks anything
    try:
        return from_sklearn(load(path, trusted=_OPTIMISERS), str(path))
    except JaxbqError:
        raise
    # Skops rebuilds an object graph; a damaged one can break in any of its constructors.
    except Exception as fault:
        reason = " ".join(str(fault).split())[:200] or type(fault).__name__
        raise JaxbqError(f"{path}: skops does not load it ({reason})") from None


def from_sklearn(estimator: Any, where: str) -> Found:
    """Take the layers, activations and classes of a fitted MLPClassifier or MLPRegressor.

    Raises:
        JaxbqError: it is another estimator, or not fitted.
    """
    try:
        weights, biases = list(estimator.coefs_), list(estimator.intercepts_)
        hidden, output = estimator.activation, estimator.out_activation_
    except AttributeError:
        raise JaxbqError(
            f"{where}: {type(estimator).__name__} is no fitted MLPClassifier; give that one, "
            "without the pipeline around it"
        ) from None
    layers = [
        RawLayer(numbers(np.asarray(w), where), numbers(np.asarray(b), where))
        for w, b in zip(weights, biases, strict=True)
    ]
    names = tuple(str(name) for name in np.asarray(getattr(estimator, "classes_", ())).reshape(-1))
    # One logistic output is two classes.
    outputs = max(layers[-1].weight.shape[1], 2 if output == "logistic" else 1)
    return Found(
        "scikit-learn MLP",
        layers,
        (activation_name(str(hidden), where),) * (len(layers) - 1),
        activation_name(str(output), where),
        names if len(names) == outputs else None,
    )
