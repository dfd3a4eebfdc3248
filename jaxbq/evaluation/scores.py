"""Fidelity and resemblance of images, per image, from the very images that a method returned."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import softmax

from ..data import Dataset, ImageSpace
from ..methods import Result
from ..targets import is_classless
from .correlation import correlation
from .judge import Judge
from .naturalness import Naturalness, NaturalnessScale

_TIE = 1e-6  # float32 rounding of a target's entries


class Scores(NamedTuple):
    """Scores of every image, each of shape (targets, samples).

    Args:
        intended: class of the target, its largest entry; −1 where all entries are alike.
        predicted: class that the network reads in the image, its largest output.
        right: whether they agree; where several entries are the largest, any of them will do, and
            where all are alike no output may be off by one half.
        largest_error: largest absolute difference between the network's output and the target.
        target_probability: the network's probability of the intended class: its own output where
            outputs are probabilities (softmax, and sigmoid, where each output is one by itself),
            else the softmax of the logits; NaN without an intended class.
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
        mahalanobis: see :class:`~jaxbq.evaluation.Naturalness`; these four are NaN unless asked
            for.
        mahalanobis_percentile: likewise.
        nearest: likewise.
        nearest_percentile: likewise.
        judged: class that the judge reads in the image; −1 without a judge.
        judged_right: whether that is the intended class; NaN without a judge or such a class.
        judged_probability: the judge's probability of the intended class; likewise.
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
    mahalanobis: Float[np.ndarray, "targets samples"]
    mahalanobis_percentile: Float[np.ndarray, "targets samples"]
    nearest: Float[np.ndarray, "targets samples"]
    nearest_percentile: Float[np.ndarray, "targets samples"]
    judged: Int[np.ndarray, "targets samples"]
    judged_right: Float[np.ndarray, "targets samples"]
    judged_probability: Float[np.ndarray, "targets samples"]


def score(
    result: Result,
    output: str,
    data: Dataset | None = None,
    *,
    scale: NaturalnessScale | None = None,
    judge: Judge | None = None,
) -> Scores:
    """Score the images of a result.

    Args:
        result: what the driver returned.
        output: name of the network's output activation.
        data: where class means come from; without it the correlations are NaN.
        scale: measures naturalness, if given.
        judge: reads the images, if given.

    Returns:
        All scores.
    """
    shape = result.images.shape[:2]
    intended = np.broadcast_to(intended_classes(result.targets)[:, None], shape)
    predicted = result.outputs.argmax(axis=-1)
    error = np.abs(result.outputs - result.targets[:, None]).max(axis=-1)
    right = read_as_asked(result.targets, result.outputs)
    chances = result.outputs
    if output not in ("sigmoid", "softmax"):
        chances = softmax(result.logits, axis=-1)
    probability = np.take_along_axis(chances, intended[..., None], axis=-1)[..., 0]
    probability = np.where(intended < 0, np.nan, probability)
    own, other, other_class = _correlations(result.images, intended, data)
    outside, amount = _outside(result.images, result.space)
    right_before, error_before, outside_before = _before_policy(result)
    judged, judged_right, judged_probability = _judged(result.images, intended, judge)
    return Scores(
        intended=intended,
        predicted=predicted,
        right=right,
        largest_error=error,
        target_probability=probability,
        pixels_outside=outside,
        amount_outside=amount,
        correlation_own=own,
        correlation_other=other,
        other_class=other_class,
        right_before=right_before,
        largest_error_before=error_before,
        outside_before=outside_before,
        judged=judged,
        judged_right=judged_right,
        judged_probability=judged_probability,
        **_natural(result.images, scale)._asdict(),
    )


def _correlations(
    images: np.ndarray, intended: np.ndarray, data: Dataset | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = images.shape[:2]
    if data is None:
        return np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, -1)
    table = correlation(images.reshape(-1, images.shape[-1]), data.class_means)
    table = table.reshape(*shape, -1)
    own = np.take_along_axis(table, intended[..., None], axis=-1)[..., 0]
    own = np.where(intended < 0, np.nan, own)
    others = np.where(np.isnan(table), -np.inf, table)
    classed = np.where(intended < 0, 0, intended)[..., None]
    kept = np.where(intended[..., None] < 0, np.take_along_axis(others, classed, -1), -np.inf)
    np.put_along_axis(others, classed, kept, axis=-1)
    best, label = others.max(axis=-1), others.argmax(axis=-1)
    none = ~np.isfinite(best)
    return own, np.where(none, np.nan, best), np.where(none, -1, label)


def _before_policy(
    result: Result,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    outputs = result.diagnostics.get("outputs_before_policy")
    if outputs is None:
        unknown = np.full(result.reasons.shape, np.nan)
        return unknown, unknown, unknown
    right = read_as_asked(result.targets, outputs).astype(np.float64)
    error = np.abs(outputs - result.targets[:, None]).max(axis=-1)
    return right, error, result.diagnostics["outside_share"][..., 0]


def _natural(images: np.ndarray, scale: NaturalnessScale | None) -> Naturalness:
    if scale is None:
        return Naturalness(*(np.full(images.shape[:2], np.nan) for _ in Naturalness._fields))
    measured = scale.measure(images.reshape(-1, images.shape[-1]))
    return Naturalness(
        *(values.astype(np.float64).reshape(images.shape[:2]) for values in measured)
    )


def _judged(
    images: np.ndarray, intended: np.ndarray, judge: Judge | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = images.shape[:2]
    if judge is None:
        return np.full(shape, -1), np.full(shape, np.nan), np.full(shape, np.nan)
    chances = judge.read(images.reshape(-1, images.shape[-1])).reshape(*shape, -1)
    read = chances.argmax(axis=-1)
    own = np.take_along_axis(chances, intended[..., None], axis=-1)[..., 0]
    asked = intended >= 0
    return read, np.where(asked, read == intended, np.nan), np.where(asked, own, np.nan)


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


def _outside(images: np.ndarray, space: ImageSpace) -> tuple[np.ndarray, np.ndarray]:
    # The ends of the range as the images' own type holds them: 0.01 is another number in float32.
    low, high = images.dtype.type(space.low), images.dtype.type(space.high)
    excess = np.maximum(np.maximum(low - images, images - high), 0)
    return (excess > 0).sum(axis=-1), excess.max(axis=-1) / (high - low)
