"""Which directions of image space a method's image follows: filters, gradients, class means."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..data import Dataset
from ..evaluation import correlation
from ..imaging import Logit, Objective, Target, ask, values
from ..methods import Result
from ..mlp import MLP, Network, Params


def matched_filter(params: Params) -> Float[np.ndarray, "pixels outputs"]:
    """Multiply the weights of all layers, W¹W²…Wᴸ: for each output its linear matched filter.

    With identity activations it is the network, and its columns are the gradients of the logits.
    """
    matrices = [np.asarray(layer.weight, np.float64) for layer in params]
    return functools.reduce(np.matmul, matrices)


def input_gradients(
    objective: Objective,
    model: Network,
    params: Any,
    points: Float[np.ndarray, "n pixels"],
    targets: Float[np.ndarray, "n outputs"],
) -> Float[np.ndarray, "n pixels"]:
    """Compute the gradient of an objective with respect to the image, at one point a target."""
    dtype = jnp.result_type(*jax.tree.leaves(params))

    def total(x: Array) -> Array:
        wanted = jnp.asarray(targets, dtype)
        answer = ask(model, params, x, objective.looks_inside)
        return values(objective, model.output, answer, wanted).sum()

    return np.asarray(jax.grad(total)(jnp.asarray(points, dtype)))


def alignment(
    result: Result, model: Network, params: Any, data: Dataset | None = None
) -> dict[str, Float[np.ndarray, " targets"]]:
    """Correlate the best image of every target with directions that could explain it.

    Args:
        result: what a method returned.
        model: the network.
        params: its parameters.
        data: where class means and the mean image come from; without it they are left out.

    Returns:
        Pearson correlations over pixels by the name of the direction: ``matched filter`` of the
        intended class (for an MLP); gradient of the logit, and of the target objective, at grey,
        at the mean image and at the returned image; ``class mean``.
    """
    images = result.images[:, 0]
    intended = result.targets.argmax(axis=1)
    middle = (result.space.low + result.space.high) / 2
    points = {"grey": np.full_like(images, middle)}
    if data is not None:
        points["mean"] = np.broadcast_to(data.train_images.mean(axis=0), images.shape)
    points["image"] = images
    directions: dict[str, np.ndarray] = {}
    if isinstance(model, MLP):
        directions["matched filter"] = matched_filter(params).T[intended]
    for name, objective in (("logit", Logit()), ("target", Target())):
        for place, point in points.items():
            directions[f"{name} gradient at {place}"] = input_gradients(
                objective, model, params, point, result.targets
            )
    if data is not None:
        directions["class mean"] = data.class_means[intended]
    return {name: np.diag(correlation(images, rows)).copy() for name, rows in directions.items()}
