"""Linear algebra of a network's layers: what each sees, and how near its transpose is to W⁺."""

import functools
import math
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..data import Dataset
from ..evaluation import correlation
from ..methods import Result
from ..methods.ascent import Logit, Objective, Target, ask, values
from ..methods.pseudo_inverse import decomposed, threshold
from ..network.mlp import MLP, Network, Params


@dataclass(frozen=True)
class LayerFacts:
    """What the weights of one layer, a ↦ a W, are as a linear map.

    Args:
        fan_in: inputs.
        fan_out: outputs.
        rank: number of singular values above the threshold.
        condition: largest singular value over the smallest; infinite for a singular layer.
        null_dimension: dimensions of the input that the layer does not see, fan_in − rank.
        determined: whether a W = z has more unknowns than equations, as many, or fewer.
        gram_deviation: min over c of ‖WᵀW − cI‖ / ‖WᵀW‖ (Frobenius): 0 where the transpose is the
            pseudo-inverse up to scale, towards 1 the farther from it.
        transpose_agreement: cosine between Wᵀ and W⁺ as vectors: 1 where they are one up to scale.
    """

    fan_in: int
    fan_out: int
    rank: int
    condition: float
    null_dimension: int
    determined: Literal["under", "exactly", "over"]
    gram_deviation: float
    transpose_agreement: float


def layer_facts(params: Params, rcond: float | None = None) -> tuple[LayerFacts, ...]:
    """Measure every layer, in float64. A singular layer is reported like any other.

    Args:
        params: the network's parameters.
        rcond: singular values below this share of the largest count as zero; by default machine
            epsilon, of the type that the weights are held in, times the larger side.
    """
    return tuple(_facts(layer.weight, rcond) for layer in params)


def gram_deviation(weight: Float[Array, "n m"] | Float[np.ndarray, "n m"]) -> float:
    """Compute how far WᵀW is from a multiple of the identity, in [0, 1]."""
    matrix = np.asarray(weight, np.float64)
    gram = matrix.T @ matrix
    size = np.linalg.norm(gram)
    if size == 0:
        return 0.0
    # The nearest multiple of the identity has c = trace / m.
    nearest = np.trace(gram) / len(gram)
    return float(np.linalg.norm(gram - nearest * np.eye(len(gram))) / size)


def _facts(weight: Array | np.ndarray, rcond: float | None) -> LayerFacts:
    fan_in, fan_out = weight.shape
    s = decomposed(weight)[1]
    kept = s[s > threshold(weight, s, rcond)]
    rank = len(kept)
    full = rank == min(weight.shape)
    # ⟨Wᵀ, W⁺⟩ = trace(W W⁺) = rank; the norms are those of the singular values and inverses.
    norms = np.linalg.norm(s) * np.linalg.norm(1 / kept) if rank else 0.0
    return LayerFacts(
        fan_in,
        fan_out,
        rank,
        float(s[0] / s[-1]) if full else math.inf,
        fan_in - rank,
        "under" if fan_in > fan_out else "over" if fan_in < fan_out else "exactly",
        gram_deviation(weight),
        float(rank / norms) if rank else 0.0,
    )


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
        at the mean image and at the returned image; ``class mean``; ``class difference``, the
        class mean less the mean of all images.
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
        directions["class difference"] = directions["class mean"] - points["mean"]
    return {name: np.diag(correlation(images, rows)).copy() for name, rows in directions.items()}
