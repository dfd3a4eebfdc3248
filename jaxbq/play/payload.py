"""What the page is given: weights, factors of their inverses, the prior's root, images."""

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..data import Dataset
from ..errors import JaxbqError
from ..methods.pseudo_inverse import threshold
from ..network.activations import Activation, activation
from ..network.files import NetworkFile
from ..network.mlp import Layer, Params

_MOST_WEIGHTS = 6_000_000
_IMAGES, _EXAMPLES = 500, 30  # of all classes; at least one of each
_SHRINKAGE = 0.05  # of the preset "whitened"
_MOST_DENSE = 1024  # pixels up to which the root of the covariance is inlined whole
_LOST = 0.01  # of the variance, where it is not


def check_size(network: NetworkFile) -> None:
    """Refuse a network that is too large for a page, or whose numbers are none."""
    size = sum(n * m for n, m in network.model.shapes)
    if size > _MOST_WEIGHTS:
        raise JaxbqError(
            f"the network has {size:,} weights, and a page holds {_MOST_WEIGHTS:,} at most; "
            "use jaxbq invert and jaxbq trace"
        )
    if not all(
        np.isfinite(leaf).all() for each in network.params for leaf in each if leaf is not None
    ):
        raise JaxbqError("the network holds weights that are not finite")


def payload(
    network: NetworkFile,
    others: Mapping[str, Params],
    data: Dataset | None,
    notes: Sequence[str],
    **words: str,
) -> dict[str, Any]:
    """Gather all that the page needs, as JSON has it.

    Args:
        network: the network, its image space and class names.
        others: parameters of its controls, by name.
        data: where training images and examples come from; None for none.
        notes: what is missing, and why.
        words: title, source and dataName, see :func:`~jaxbq.play.make_page`.
    """
    model, space = network.model, network.space
    analytic = all(phi.inverse for phi in model.activations)
    prior, lost = _prior(data)
    shape = space.shape
    drawn = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
    return {
        **words,
        "classes": network.class_names,
        "shape": (*shape, 1)[:3] if drawn else (1, space.pixels, 1),
        "low": space.low,
        "high": space.high,
        "output": model.output,
        "sizes": model.sizes,
        "analytic": analytic,
        "networks": [
            {
                "name": name,
                "layers": [*map(_layer, params, model.activations, [analytic] * len(params))],
            }
            for name, params in {"trained": network.params, **others}.items()
        ],
        "prior": prior,
        "notes": [each for each in (*notes, lost) if each],
        "span": _span(network, data),
        "images": data and _images(data, data.train_images, data.train_labels, _IMAGES),
        "examples": data and _images(data, data.test_images, data.test_labels, _EXAMPLES),
    }


def _layer(layer: Layer, phi: Activation, analytic: bool) -> dict[str, Any]:
    n, m = layer.weight.shape
    bias = None if layer.bias is None else _encoded(layer.bias, "<f4")
    gram = _gram_inverse(layer) if analytic else None
    return {
        "n": n,
        "m": m,
        "phi": phi.name,
        "W": _encoded(layer.weight, "<f4"),
        "b": bias,
        "G": gram,
    }


def _gram_inverse(layer: Layer) -> str:
    """(WᵀW)⁺, or (WWᵀ)⁺ where W has fewer rows; its product with Wᵀ is W⁺."""
    weight = np.asarray(layer.weight)
    u, s, vt = np.linalg.svd(weight.astype(np.float64), full_matrices=False)
    kept = s > threshold(weight, s, None)
    sides = vt if weight.shape[1] <= weight.shape[0] else u.T
    return _triangle((sides.T * np.where(kept, 1 / np.where(kept, s, 1) ** 2, 0)) @ sides, "<f8")


def _prior(data: Dataset | None) -> tuple[dict[str, Any] | None, str]:
    """Mean and Σ^½ of the training images: whole, or its leading part and a constant for the rest.

    Returns:
        The prior, and what the page says of it.
    """
    if data is None:
        return None, "Without training images there is no whitened ascent."
    try:
        moments = data.reference.moments
    except JaxbqError as fault:
        return None, f"There is no whitened ascent: {fault}."
    mean, root = _encoded(moments.mean, "<f4"), moments.shrunk(_SHRINKAGE) ** 0.5
    if data.space.pixels <= _MOST_DENSE:
        whole = moments.power(_SHRINKAGE, 0.5)
        return {"mean": mean, "root": _triangle(whole, "<f4")}, ""
    # After so many leading directions: the mean of what is left, and its variance around it.
    left = np.arange(len(root), 0, -1)
    rest = root[::-1].cumsum()[::-1] / left
    lost = np.abs((root**2)[::-1].cumsum()[::-1] - left * rest**2) / (root**2).sum()
    k = int((lost < _LOST).argmax())
    rows = _encoded(moments.vectors[:, :k].T, "<f4")
    found = {"mean": mean, "rows": rows, "scale": root[:k].tolist(), "rest": float(rest[k])}
    return found, f"The whitened prior is truncated: {lost[k]:.1%} of its variance is lost."


def _span(network: NetworkFile, data: Dataset | None) -> list[float]:
    """Say how far sliders go where outputs have no end: what the network gives, with room."""
    phi = activation(network.model.output)
    low, high = -1.0, 2.0
    if data is not None and math.isinf(phi.high):
        given = network.model.apply(network.params, data.train_images[:_IMAGES])
        low, high = min(low, float(given.min())), max(high, float(given.max()))
    return [max(low, phi.low + 1e-3), high]


def _images(data: Dataset, images: np.ndarray, labels: np.ndarray, most: int) -> dict[str, Any]:
    """Take as many of each class as there is room for, in their order, as bytes."""
    each = max(most // data.classes, 1)
    chosen = np.concatenate([np.flatnonzero(labels == k)[:each] for k in range(data.classes)])
    low, high = data.pixel_range
    shares = np.clip((images[chosen].astype(np.float64) - low) / (high - low), 0, 1)
    return {"pixels": _encoded(np.round(shares * 255), "u1"), "labels": labels[chosen].tolist()}


def _triangle(matrix: np.ndarray, kind: str) -> str:
    return _encoded(matrix[np.tril_indices(len(matrix))], kind)


def _encoded(array: Any, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, kind).tobytes()).decode("ascii")
