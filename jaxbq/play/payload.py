"""What the page is given: weights, factors of their inverses, the prior's root, images."""

import base64
from typing import Any

import numpy as np

from ..data import Dataset
from ..errors import JaxbqError
from ..methods.pseudo_inverse import decomposed, threshold
from ..network.files import NetworkFile
from ..network.mlp import MLP, Params

_MOST_WEIGHTS = 6_000_000
_IMAGES, _EXAMPLES = 500, 30  # of all classes; at least one of each
_SHRINKAGE = 0.05  # of the preset "whitened"
_MOST_DENSE = 1024  # pixels up to which the root of the covariance is inlined whole
_LOST = 0.01  # of the variance, where it is not


def payload(
    network: NetworkFile, others: dict[str, Params], data: Dataset | None
) -> dict[str, Any]:
    """Gather what the page needs, as JSON has it; ``others`` are parameters of controls."""
    shape = network.space.shape
    everyone = {"trained": network.params} | others
    return {
        "classes": network.class_names,
        "shape": (*(shape if len(shape) > 1 else (1, *shape)), 1)[:3],
        "low": network.space.low,
        "high": network.space.high,
        "networks": [{"name": n, "layers": _layers(network.model, p)} for n, p in everyone.items()],
        "images": data and _images(data, data.train_images, data.train_labels, _IMAGES),
        "examples": data and _images(data, data.test_images, data.test_labels, _EXAMPLES),
    }


def check_size(model: MLP, params: Params) -> None:
    """Refuse a network that is no MLP, too large for a page, or holds what is no number."""
    if not isinstance(model, MLP):
        raise JaxbqError("play needs an MLP, whose layers it shows")
    size = sum(n * m for n, m in model.shapes)
    if size > _MOST_WEIGHTS:
        advice = f"a page holds {_MOST_WEIGHTS:,} at most; use jaxbq invert and jaxbq trace"
        raise JaxbqError(f"the network has {size:,} weights, and {advice}")
    if not all(np.isfinite(v).all() for each in params for v in each if v is not None):
        raise JaxbqError("the network holds weights that are not finite")


def _layers(model: MLP, params: Params) -> list[dict[str, Any]]:
    analytic = all(phi.inverse for phi in model.activations)
    return [
        {
            "phi": phi.name,
            "n": layer.weight.shape[0],
            "m": layer.weight.shape[1],
            "W": _encoded(layer.weight, "<f4"),
            "b": None if layer.bias is None else _encoded(layer.bias, "<f4"),
            "G": _gram_inverse(np.asarray(layer.weight)) if analytic else None,
        }
        for layer, phi in zip(params, model.activations, strict=True)
    ]


def _gram_inverse(weight: np.ndarray) -> str:
    """(WᵀW)⁺, or (WWᵀ)⁺ where W has fewer rows; its product with Wᵀ is W⁺."""
    u, s, vt = decomposed(weight)
    kept = s > threshold(weight, s, None)
    sides = vt if weight.shape[1] <= weight.shape[0] else u.T
    return _triangle((sides.T * np.where(kept, 1 / np.where(kept, s, 1) ** 2, 0)) @ sides, "<f8")


def prior(data: Dataset | None) -> tuple[dict[str, Any] | None, str]:
    """Mean and Σ^½ of the images, whole or a leading part; and what there is to say of it."""
    if data is None:
        return None, "Without training images there is no whitened ascent."
    try:
        moments = data.reference.moments
    except JaxbqError as fault:
        return None, f"There is no whitened ascent: {fault}."
    mean, root = _encoded(moments.mean, "<f4"), moments.shrunk(_SHRINKAGE) ** 0.5
    if len(root) <= _MOST_DENSE:
        return {"mean": mean, "root": _triangle(moments.power(_SHRINKAGE, 0.5), "<f4")}, ""
    # After so many leading directions: the mean of what is left, and its variance around it.
    left = np.arange(len(root), 0, -1)
    rest = root[::-1].cumsum()[::-1] / left
    lost = np.abs((root**2)[::-1].cumsum()[::-1] - left * rest**2) / (root**2).sum()
    k = int((lost < _LOST).argmax())
    rows = _encoded(moments.vectors[:, :k].T, "<f4")
    found = {"mean": mean, "rows": rows, "scale": root[:k].tolist(), "rest": float(rest[k])}
    return found, f"The whitened prior is truncated: {lost[k]:.1%} of its variance is lost."


def _images(data: Dataset, images: np.ndarray, labels: np.ndarray, most: int) -> dict[str, Any]:
    """Take as many of each class as there is room for, in their order, as bytes."""
    each = max(most // data.classes, 1)
    chosen = np.concatenate([np.flatnonzero(labels == k)[:each] for k in range(data.classes)])
    shares = (images[chosen].astype(np.float64) - data.space.low) / np.ptp(data.pixel_range)
    return {
        "pixels": _encoded((255 * shares.clip(0, 1)).round(), "u1"),
        "labels": labels[chosen].tolist(),
    }


def _triangle(matrix: np.ndarray, kind: str) -> str:
    return _encoded(matrix[np.tril_indices(len(matrix))], kind)


def _encoded(array: Any, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, kind).tobytes()).decode("ascii")
