"""Scores of images, per image, from the very images that a method returned."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import log_expit, log_softmax, softmax, xlogy

from ..data import Dataset, ImageSpace
from ..methods import Result
from ..network.targets import is_classless
from .judges import Judge
from .naturalness import Naturalness, NaturalnessScale
from .panel import Panel
from .similarity import correlation

# Names of judges that have a column of their own.
JUDGES = ("dense", "convolutional", "neighbour", "given")
_JUDGED = ("readability", "accepted", "evidence", "judge_probability")
_TIE = 1e-6  # float32 rounding of a target's entries
# Output activations whose values are probabilities; least value and span of these that have one.
_PROBABILITIES = ("sigmoid", "softmax")
_SPANS = {"sigmoid": (0, 1), "softmax": (0, 1), "tanh": (-1, 2)}


class Scores(NamedTuple):
    """Scores of every image, each of shape (targets, samples).

    Args:
        intended: class of the target, its largest entry; −1 where all entries are alike.
        predicted: class that the network reads in the image, its largest output.
        right: whether they agree; where several entries are the largest, any of them will do, and
            where all are alike no output may be off by one half.
        fidelity: 1 where the network answers exactly the target, 0 where an output is off by all
            that its activation can span: 1 − ``largest_error`` / span, at least 0. The span is 2
            for tanh, else 1.
        largest_error: largest absolute difference between the network's output and the target.
        mean_error: mean absolute difference over the outputs.
        target_probability: the network's probability of the intended class: its own output where
            outputs are probabilities (softmax, and sigmoid, where each output is one by itself),
            else the softmax of the logits; NaN without an intended class.
        divergence: Kullback–Leibler divergence of the outputs from the target, in nats: of a
            distribution over classes for softmax, the sum over outputs of that of two Bernoulli
            distributions for sigmoid; NaN for outputs that are no probabilities.
        pixels_outside: number of pixels outside the pixel range.
        amount_outside: how far the worst of them is outside, in units of the pixel range.
        right_before: ``right`` of the image before the policy at its pixels, for the methods that
            have one, so that it may lie outside the range; else NaN.
        largest_error_before: ``largest_error`` of that image, else NaN.
        outside_before: share of its pixels outside the range, else NaN.
        readability: share of the judges that may abstain which accept the image and read the
            intended class in it; this and the next three are NaN without judges or such a class,
            ``accepted`` only without judges.
        accepted: share of these judges that accept the image, whatever they read.
        evidence: share of the judges that must answer, blind to brightness and contrast, or given
            by the user, which read the intended class: there are traces of it.
        judge_probability: mean probability of the intended class, of the judges that may abstain,
            0 where one does.
        dense_reads: class that the judge of this name reads; −1 where it abstains or is not there.
        convolutional_reads: likewise.
        neighbour_reads: likewise.
        given_reads: likewise, the network that the user gave as a judge.
        correlation_own: Pearson correlation over pixels with the mean training image of the
            intended class; 0 for an image without contrast, NaN without training images.
        correlation_other: largest correlation with the mean of another class.
        other_class: that class; −1 where there is none.
        template_right: whether the template judge reads the intended class: its mean image is the
            one that correlates most; NaN where that is not known.
        naturalness: see :class:`~jaxbq.evaluation.Naturalness` for this and all up to
            ``high_frequency_percentile``; they are NaN (−1 for the two numbers of training images
            and labels) without a scale to measure them with.
        transfer: share of independently trained networks that read the intended class; this and
            the next are NaN without such networks or such a class.
        transfer_probability: their mean probability of the intended class.
        specificity: how much more the image answers this network than those: its fidelity less the
            mean of theirs, which is first multiplied by what real images have with this network
            as a share of what they have with those (see :func:`usual_ratio`). At most 1, about 0 of
            an image that is none of this network's own, such as a class mean; NaN without such
            networks, or for outputs whose span nothing limits.
        own_rank: rank of this network among all by ``largest_error`` as a share of the span: 1
            where no other answers the target more exactly; NaN likewise.
    """

    intended: Int[np.ndarray, "targets samples"]
    predicted: Int[np.ndarray, "targets samples"]
    right: Bool[np.ndarray, "targets samples"]
    fidelity: Float[np.ndarray, "targets samples"]
    largest_error: Float[np.ndarray, "targets samples"]
    mean_error: Float[np.ndarray, "targets samples"]
    target_probability: Float[np.ndarray, "targets samples"]
    divergence: Float[np.ndarray, "targets samples"]
    pixels_outside: Int[np.ndarray, "targets samples"]
    amount_outside: Float[np.ndarray, "targets samples"]
    right_before: Float[np.ndarray, "targets samples"]
    largest_error_before: Float[np.ndarray, "targets samples"]
    outside_before: Float[np.ndarray, "targets samples"]
    readability: Float[np.ndarray, "targets samples"]
    accepted: Float[np.ndarray, "targets samples"]
    evidence: Float[np.ndarray, "targets samples"]
    judge_probability: Float[np.ndarray, "targets samples"]
    dense_reads: Int[np.ndarray, "targets samples"]
    convolutional_reads: Int[np.ndarray, "targets samples"]
    neighbour_reads: Int[np.ndarray, "targets samples"]
    given_reads: Int[np.ndarray, "targets samples"]
    correlation_own: Float[np.ndarray, "targets samples"]
    correlation_other: Float[np.ndarray, "targets samples"]
    other_class: Int[np.ndarray, "targets samples"]
    template_right: Float[np.ndarray, "targets samples"]
    naturalness: Float[np.ndarray, "targets samples"]
    mean_percentile: Float[np.ndarray, "targets samples"]
    nearest: Float[np.ndarray, "targets samples"]
    nearest_percentile: Float[np.ndarray, "targets samples"]
    nearest_index: Int[np.ndarray, "targets samples"]
    nearest_label: Int[np.ndarray, "targets samples"]
    mahalanobis: Float[np.ndarray, "targets samples"]
    mahalanobis_percentile: Float[np.ndarray, "targets samples"]
    components_residual: Float[np.ndarray, "targets samples"]
    components_residual_percentile: Float[np.ndarray, "targets samples"]
    autoencoder_residual: Float[np.ndarray, "targets samples"]
    autoencoder_residual_percentile: Float[np.ndarray, "targets samples"]
    ssim: Float[np.ndarray, "targets samples"]
    ssim_percentile: Float[np.ndarray, "targets samples"]
    total_variation: Float[np.ndarray, "targets samples"]
    total_variation_percentile: Float[np.ndarray, "targets samples"]
    high_frequency: Float[np.ndarray, "targets samples"]
    high_frequency_percentile: Float[np.ndarray, "targets samples"]
    transfer: Float[np.ndarray, "targets samples"]
    transfer_probability: Float[np.ndarray, "targets samples"]
    specificity: Float[np.ndarray, "targets samples"]
    own_rank: Float[np.ndarray, "targets samples"]


def score(
    result: Result,
    output: str,
    data: Dataset | None = None,
    *,
    scale: NaturalnessScale | None = None,
    judges: Sequence[Judge] = (),
    panel: Panel | None = None,
    usual: Float[np.ndarray, " targets"] | None = None,
) -> Scores:
    """Score the images of a result.

    Args:
        result: what the driver returned.
        output: name of the network's output activation.
        data: where class means come from; without it the correlations are NaN.
        scale: measures naturalness, if given.
        judges: read the images.
        panel: networks that the answer is to hold for too, if given.
        usual: of every target, what :func:`usual_ratio` gives; 1 where it is not given.

    Returns:
        All scores.
    """
    shape = result.images.shape[:2]
    intended = np.broadcast_to(intended_classes(result.targets)[:, None], shape)
    pixels_outside, amount_outside = _outside(result.images, result.space)
    return Scores(
        intended=intended,
        predicted=result.outputs.argmax(axis=-1),
        right=read_as_asked(result.targets, result.outputs),
        **_fidelity(result, output, intended),
        pixels_outside=pixels_outside,
        amount_outside=amount_outside,
        **_before_policy(result),
        **_judged(result.images, intended, judges),
        **_correlations(result.images, intended, data),
        **_natural(result.images, scale)._asdict(),
        **_elsewhere(result, output, intended, panel, usual),
    )


def score_together(results: Sequence[Result], output: str, **more: Any) -> list[Scores]:
    """Score the results of several methods for the same targets, as :func:`score` does each.

    All their images are read at once, which takes a fraction of the time.

    Args:
        results: what the driver returned.
        output: name of the network's output activation.
        more: as for :func:`score`.
    """
    names = ("images", "outputs", "logits", "reasons", "iterations")
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(r, name) for r in results], axis=1) for name in names
    }
    whole = score(dataclasses.replace(results[0], diagnostics={}, **joined), output, **more)
    ends = np.cumsum([result.images.shape[1] for result in results])
    return [
        Scores(*(values[:, end - result.images.shape[1] : end] for values in whole))._replace(
            **_before_policy(result)
        )
        for result, end in zip(results, ends, strict=True)
    ]


def _correlations(
    images: np.ndarray, intended: np.ndarray, data: Dataset | None
) -> dict[str, np.ndarray]:
    shape = images.shape[:2]
    # Without data every class is unknown.
    table = np.full((*shape, 1 + intended.max(initial=0)), np.nan)
    if data is not None:
        table = correlation(images.reshape(-1, images.shape[-1]), data.class_means)
    table = table.reshape(*shape, -1)
    own = _of_class(table, intended)
    others = np.where(np.isnan(table), -np.inf, table)
    classed = np.where(intended < 0, 0, intended)[..., None]
    kept = np.where(intended[..., None] < 0, np.take_along_axis(others, classed, -1), -np.inf)
    np.put_along_axis(others, classed, kept, axis=-1)
    best, label = others.max(axis=-1), others.argmax(axis=-1)
    none = ~np.isfinite(best)
    known = (intended >= 0) & ~np.isnan(own) & ~none
    return {
        "correlation_own": own,
        "correlation_other": np.where(none, np.nan, best),
        "other_class": np.where(none, -1, label),
        "template_right": np.where(known, own > best, np.nan),
    }


def _before_policy(result: Result) -> dict[str, np.ndarray]:
    names = ("right_before", "largest_error_before", "outside_before")
    outputs = result.diagnostics.get("outputs_before_policy")
    if outputs is None:
        return dict.fromkeys(names, np.full(result.reasons.shape, np.nan))
    right = read_as_asked(result.targets, outputs).astype(np.float64)
    error = np.abs(outputs - result.targets[:, None]).max(axis=-1)
    found = right, error, result.diagnostics["outside_share"][..., 0]
    return dict(zip(names, found, strict=True))


def _natural(images: np.ndarray, scale: NaturalnessScale | None) -> Naturalness:
    shape = images.shape[:2]
    if scale is None:
        unknown = dict.fromkeys(Naturalness._fields, np.full(shape, np.nan))
        none = dict.fromkeys(("nearest_index", "nearest_label"), np.full(shape, -1))
        return Naturalness(**(unknown | none))
    measured = scale.measure(images.reshape(-1, images.shape[-1]))
    return Naturalness(*(values.reshape(shape) for values in measured))


def _judged(
    images: np.ndarray, intended: np.ndarray, judges: Sequence[Judge]
) -> dict[str, np.ndarray]:
    shape = images.shape[:2]
    known = intended >= 0
    found: dict[str, list[np.ndarray]] = {name: [] for name in _JUDGED}
    reads = {f"{name}_reads": np.full(shape, -1) for name in JUDGES}
    for judge in judges:
        chances, accepts = judge.judge(images.reshape(-1, images.shape[-1]))
        chances, accepts = chances.reshape(*shape, -1), accepts.reshape(shape)
        read = np.where(accepts, chances.argmax(axis=-1), -1)
        right = np.where(known, read == intended, np.nan)
        if judge.name in JUDGES:
            reads[f"{judge.name}_reads"] = read
        if judge.must_answer:
            found["evidence"].append(right)
            continue
        found["readability"].append(right)
        found["accepted"].append(accepts)
        found["judge_probability"].append(_of_class(chances, intended) * accepts)
    means = {
        name: np.mean(rows, axis=0) if rows else np.full(shape, np.nan)
        for name, rows in found.items()
    }
    return means | reads


def _elsewhere(
    result: Result,
    output: str,
    intended: np.ndarray,
    panel: Panel | None,
    usual: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """Ask networks that were trained apart what they see in the images."""
    images, unknown = result.images, np.full(intended.shape, np.nan)
    names = ("transfer", "transfer_probability", "specificity", "own_rank")
    found = dict.fromkeys(names, unknown)
    if panel is None:
        return found
    answers = panel.read(images.reshape(-1, images.shape[-1]))
    answers = answers.reshape(len(answers), *intended.shape, -1)
    right = np.mean(answers.argmax(axis=-1) == intended, axis=0)
    every = np.broadcast_to(intended, answers.shape[:-1])
    found["transfer"] = np.where(intended < 0, np.nan, right)
    found["transfer_probability"] = _of_class(answers, every).mean(axis=0)
    if output in _SPANS:
        own, others = _errors(result.outputs, answers, result.targets[:, None], output)
        expected = np.maximum(1 - others, 0).mean(axis=0)
        expected = expected if usual is None else expected * usual[:, None]
        found["specificity"] = np.maximum(1 - own, 0) - expected
        found["own_rank"] = 1.0 + (others < own).sum(axis=0)
    return found


def _errors(
    outputs: np.ndarray, answers: np.ndarray, targets: np.ndarray, output: str
) -> tuple[np.ndarray, np.ndarray]:
    """Largest errors of this network and of the others as shares of the span, theirs is 1."""
    low, span = _SPANS[output]
    wanted = (targets - low) / span
    own = np.abs((outputs - low) / span - wanted).max(axis=-1)
    return own, np.abs(answers - wanted).max(axis=-1)


def usual_ratio(
    outputs: Float[np.ndarray, "n outputs"],
    output: str,
    targets: Float[np.ndarray, "targets outputs"],
    data: Dataset,
    panel: Panel,
) -> Float[np.ndarray, " targets"]:
    """Measure how much of the panel's fidelity real images have with a network.

    A network that is less sure of everything than the panel, as after robust training, is so of
    images that are its own too; specificity takes that into account.

    Args:
        outputs: the network's, for the test images.
        output: name of its output activation.
        targets: what is asked for.
        data: the test images, of which those count whose label is the target's class; all for a
            target without a class, or without such an image.
        panel: the other networks.

    Returns:
        Mean fidelity to the network by mean fidelity to the panel; 1 where the panel has none, NaN
        for outputs whose span nothing limits.
    """
    if output not in _SPANS:
        return np.full(len(targets), np.nan)
    answers, found = panel.read(data.test_images), []
    for target, label in zip(targets, intended_classes(targets), strict=True):
        shown = data.test_labels == label
        shown = shown if shown.any() else np.ones_like(shown)
        own, others = _errors(outputs[shown], answers[:, shown], target, output)
        whole, part = (float(np.maximum(1 - each, 0).mean()) for each in (others, own))
        found.append(part / whole if whole > 0 else 1.0)
    return np.array(found)


def _outside(images: np.ndarray, space: ImageSpace) -> tuple[np.ndarray, np.ndarray]:
    # The ends of the range as the images' own type holds them: 0.01 is another number in float32.
    low, high = images.dtype.type(space.low), images.dtype.type(space.high)
    excess = np.maximum(np.maximum(low - images, images - high), 0)
    return (excess > 0).sum(axis=-1), excess.max(axis=-1) / (high - low)


def _fidelity(result: Result, output: str, intended: np.ndarray) -> dict[str, np.ndarray]:
    """Tell whether the network, given the images, answers the targets."""
    error = np.abs(result.outputs - result.targets[:, None])
    largest = error.max(axis=-1)
    chances = result.outputs
    if output not in _PROBABILITIES:
        chances = softmax(result.logits, axis=-1)
    return {
        "fidelity": np.maximum(0, 1 - largest / (2 if output == "tanh" else 1)),
        "largest_error": largest,
        "mean_error": error.mean(axis=-1),
        "target_probability": _of_class(chances, intended),
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


def _of_class(
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
