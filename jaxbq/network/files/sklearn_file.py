"""scikit-learn's MLPClassifier, alone or after scalers: as an object, or in a file of skops."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import JaxbqError
from ...runtime.archives import open_archive
from .chains import numbers
from .folding import Chain
from .found import MOST_BYTES, Found

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
        raise JaxbqError(
            f"{path}: skops does not load it ({reason}); of a search save its best_estimator_ alone"
        ) from None


def from_sklearn(estimator: Any, where: str) -> Found:
    """Take the layers, activations and classes of a fitted MLPClassifier or MLPRegressor.

    In a pipeline, scalers and PCA before it are folded into its first layer.

    Raises:
        JaxbqError: it is another estimator, not fitted, or after a step that does not fold.
    """
    *before, last = _steps(getattr(estimator, "best_estimator_", estimator))
    chain = Chain(where)
    for step in before:
        _fold(step, chain)
    try:
        weights, biases = list(last.coefs_), list(last.intercepts_)
        hidden, output = last.activation, last.out_activation_
    except AttributeError:
        raise JaxbqError(
            f"{where}: {type(last).__name__} is no fitted MLPClassifier or MLPRegressor; give one, "
            "alone or at the end of a Pipeline of scalers"
        ) from None
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True), 1):
        chain.layer(numbers(np.asarray(weight), where), numbers(np.asarray(bias), where))
        kind = str(output if number == len(weights) else hidden)
        chain.activation({"logistic": "sigmoid"}.get(kind, kind))
    names = tuple(str(name) for name in np.asarray(getattr(last, "classes_", ())).reshape(-1))
    # One logistic output is two classes.
    outputs = max(chain.layers[-1].weight.shape[1], 2 if output == "logistic" else 1)
    return chain.found("scikit-learn MLP", names if len(names) == outputs else None)


def _steps(estimator: Any) -> Iterator[Any]:
    """List the steps of a pipeline, also of one in another."""
    if not hasattr(estimator, "named_steps"):
        yield estimator
        return
    for _, step in estimator.steps:
        if step is not None and not (isinstance(step, str) and step == "passthrough"):
            yield from _steps(step)


def _fold(step: Any, chain: Chain) -> None:
    """Fold a fitted transformer into the layer after it."""
    kind = type(step).__name__

    def own(name: str, missing: float) -> np.ndarray:
        value = getattr(step, name)
        return np.asarray(missing if value is None else value, np.float64)

    def refuse(why: str) -> JaxbqError:
        return JaxbqError(
            f"{chain.where}: step {kind} of the pipeline {why}; what folds is StandardScaler, "
            "MinMaxScaler, MaxAbsScaler, RobustScaler and PCA"
        )

    try:
        if getattr(step, "clip", False):
            raise refuse("clips, so that it does not fold into a layer")
        if kind in ("StandardScaler", "RobustScaler"):
            scale = own("scale_", 1.0)
            mean = own("mean_" if kind == "StandardScaler" else "center_", 0.0)
            if not getattr(step, "with_mean", True):
                mean = np.zeros(1)  # it keeps one all the same
            chain.affine(1 / scale, -mean / scale, kind)
        elif kind == "MinMaxScaler":
            chain.affine(own("scale_", 1.0), own("min_", 0.0), kind)
        elif kind == "MaxAbsScaler":
            chain.affine(1 / own("scale_", 1.0), 0.0, kind)
        elif kind == "PCA":
            axes = own("components_", 0.0)
            if step.whiten:
                axes = axes / np.sqrt(own("explained_variance_", 1.0))[:, None]
            chain.projection(own("mean_", 0.0), axes, kind)
        elif kind != "FunctionTransformer" or step.func is not None:
            raise refuse("is not affine, or not known to be, so that it does not fold into a layer")
    except AttributeError:
        raise JaxbqError(f"{chain.where}: step {kind} of the pipeline is not fitted") from None
