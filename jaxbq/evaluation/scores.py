"""Fidelity and resemblance of images, per image, from the very images that a method returned."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import softmax

from ..data import Dataset, ImageSpace
from ..methods import Result


class Scores(NamedTuple):
    """Scores of every image, each of shape (targets, samples).

    Args:
        intended: class of the target, its largest entry.
        predicted: class that the network reads in the image, its largest output.
        right: whether they agree.
        largest_error: largest absolute difference between the network's output and the target.
        target_probability: the network's probability of the intended class: its own output where
            outputs are probabilities (softmax, and sigmoid, where each output is one by itself),
            else the softmax of the logits.
        pixels_outside: number of pixels outside the pixel range.
        amount_outside: how far the worst of them is outside, in units of the pixel range.
        correlation_own: Pearson correlation over pixels with the mean training image of the
            intended class; 0 for an image without contrast, NaN without training images.
        correlation_other: largest correlation with the mean of another class.
        other_class: that class; −1 where there is none.
        right_before: ``right`` of the image before the policy at its pixels, for the methods that
            have one, so that it may lie outside the range; else NaN.
        largest_error_before: ``largest_error`` of that image, else NaN.
        outside_before: share of its pixels outside the range, else NaN.
    """

    intended: Int[np.ndarray, "targets samples"]
    predicted: Int[np.ndarray, "targets samples"]
    right: Bool[np.ndarray, "targets samples"]
    largest_error: Float[np.ndarray, "targets samples"]
    target_probability: Float[np.ndarray, "targets samples"]
    pixels_outside: Int[np.ndarray, "targets samples"]
    amount_outside: Float[np.ndarray, "targets samples"]
    correlation_own: Float[np.ndarray, "targets samples"]
    correlation_other: Float[np.ndarray, "targets samples"]
    other_class: Int[np.ndarray, "targets samples"]
    right_before: Float[np.ndarray, "targets samples"]
    largest_error_before: Float[np.ndarray, "targets samples"]
    outside_before: Float[np.ndarray, "targets samples"]


def score(result: Result, output: str, data: Dataset | None = None) -> Scores:
    """Score the images of a result.

    Args:
        result: what the driver returned.
        output: name of the network's output activation.
        data: where class means come from; without it the correlations are NaN.

    Returns:
        All scores.
    """
    intended = np.broadcast_to(result.targets.argmax(axis=1)[:, None], result.images.shape[:2])
    predicted = result.outputs.argmax(axis=-1)
    error = np.abs(result.outputs - result.targets[:, None]).max(axis=-1)
    chances = result.outputs
    if output not in ("sigmoid", "softmax"):
        chances = softmax(result.logits, axis=-1)
    probability = np.take_along_axis(chances, intended[..., None], axis=-1)[..., 0]
    own, other, other_class = _correlations(result.images, intended, data)
    return Scores(
        intended,
        predicted,
        predicted == intended,
        error,
        probability,
        *_outside(result.images, result.space),
        own,
        other,
        other_class,
        *_before_policy(result, intended),
    )


def correlation(
    images: Float[np.ndarray, "n pixels"], references: Float[np.ndarray, "m pixels"]
) -> Float[np.ndarray, "n m"]:
    """Compute Pearson correlations over pixels, in float64.

    An image without contrast correlates with nothing: 0. A reference with NaN gives NaN.
    """
    units = [_standardise(rows) for rows in (images, references)]
    return units[0] @ units[1].T


def _standardise(rows: np.ndarray) -> np.ndarray:
    centred = rows.astype(np.float64)
    centred -= centred.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    # Rounding leaves a flat image a norm of about 1e-16 of its brightness, not zero.
    flat = norm <= 1e-12 * np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1)
    return np.where(flat, 0.0, centred / np.where(flat, 1.0, norm))


def _correlations(
    images: np.ndarray, intended: np.ndarray, data: Dataset | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = images.shape[:2]
    if data is None:
        return np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, -1)
    table = correlation(images.reshape(-1, images.shape[-1]), data.class_means)
    table = table.reshape(*shape, -1)
    own = np.take_along_axis(table, intended[..., None], axis=-1)[..., 0]
    others = np.where(np.isnan(table), -np.inf, table)
    np.put_along_axis(others, intended[..., None], -np.inf, axis=-1)
    best, label = others.max(axis=-1), others.argmax(axis=-1)
    none = ~np.isfinite(best)
    return own, np.where(none, np.nan, best), np.where(none, -1, label)


def _before_policy(
    result: Result, intended: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    outputs = result.diagnostics.get("outputs_before_policy")
    if outputs is None:
        unknown = np.full(intended.shape, np.nan)
        return unknown, unknown, unknown
    right = (outputs.argmax(axis=-1) == intended).astype(np.float64)
    error = np.abs(outputs - result.targets[:, None]).max(axis=-1)
    return right, error, result.diagnostics["outside_share"][..., 0]


def _outside(images: np.ndarray, space: ImageSpace) -> tuple[np.ndarray, np.ndarray]:
    # The ends of the range as the images' own type holds them: 0.01 is another number in float32.
    low, high = images.dtype.type(space.low), images.dtype.type(space.high)
    excess = np.maximum(np.maximum(low - images, images - high), 0)
    return (excess > 0).sum(axis=-1), excess.max(axis=-1) / (high - low)
