"""What the terminal shows of a run: one line a method."""

from collections.abc import Sequence
from typing import NamedTuple

from ..errors import JaxbqError
from ..experiment import RunFolder
from ..experiment.folder import read_csv
from ..methods import Result
from ..options import describe
from .score_values import read_scores


class Summary(NamedTuple):
    """One line of the summary table: a method over all networks and targets, best sample of each.

    Args:
        method: its name.
        right: targets whose image the network reads as intended.
        targets: how many there are, of all networks.
        largest_error: largest output error of any.
        right_before: targets read as intended in the image before the pixel policy; None for
            methods without one.
        outside_before: mean share of pixels outside the range before it.
        probability: mean probability of the intended class; None where no target has one.
        correlation: mean correlation with the intended class's mean image; None where unknown.
        seconds: computing time a network, compilation left out.
        mean_error: mean over targets of the largest output error.
        fidelity: mean over targets.
        readability: likewise; None without judges.
        naturalness: likewise, in percent; None where unknown.
        transfer: likewise; None where no other networks were asked.
        distance: mean squared Mahalanobis distance, a pixel; None where unknown.
        distinct: mean number of distinct optima among the samples; None for a single sample.
        alike: mean correlation between samples; likewise.
    """

    method: str
    right: int
    targets: int
    largest_error: float
    right_before: int | None
    outside_before: float | None
    probability: float | None
    correlation: float | None
    seconds: float
    mean_error: float
    fidelity: float
    readability: float | None
    naturalness: float | None
    transfer: float | None
    distance: float | None
    distinct: float | None
    alike: float | None


def sum_up(folder: RunFolder, networks: Sequence[Sequence[Result]]) -> list[Summary]:
    """Sum the scores of trained networks up, one line a method in the order of the config.

    Raises:
        JaxbqError: a table is missing or damaged.
    """
    try:
        return _summed(folder, networks)
    except (ValueError, KeyError) as fault:
        raise JaxbqError(
            f"{folder.path}: a table of scores is damaged ({fault}); delete scores.csv there and "
            "run its config again"
        ) from None


def _summed(folder: RunFolder, networks: Sequence[Sequence[Result]]) -> list[Summary]:
    table, spreads = read_scores(folder), read_csv(folder.spread)
    trained = [row for row in table if _is_trained(row)]
    lines = []
    for own in zip(*networks, strict=True):
        name = describe(own[0].method)
        best = [row for row in trained if row["method"] == name and row["sample"] == "0"]
        if len(best) < sum(len(result.images) for result in own):
            raise ValueError(f"it lacks images of {name}")
        before = _mean(best, "right_before")
        samples = [row for row in spreads if row["method"] == name and _is_trained(row)]
        errors = [float(row["largest_error"]) for row in best]
        lines.append(
            Summary(
                name,
                sum(row["right"] == "True" for row in best),
                len(best),
                max(errors),
                None if before is None else round(before * len(best)),
                _mean(best, "outside_before"),
                _mean(best, "target_probability"),
                _mean(best, "correlation_own"),
                sum(result.seconds.run for result in own) / len(own),
                sum(errors) / len(errors),
                _mean(best, "fidelity") or 0.0,
                _mean(best, "readability"),
                _mean(best, "naturalness"),
                _mean(best, "transfer"),
                _mean(best, "mahalanobis"),
                _mean(samples, "distinct"),
                _mean(samples, "mean_correlation"),
            )
        )
    return lines


def _mean(rows: list[dict[str, str]], column: str) -> float | None:
    """Mean of the cells that are not empty; None where all are."""
    known = [float(row[column]) for row in rows if row[column]]
    return sum(known) / len(known) if known else None


def _is_trained(row: dict[str, str]) -> bool:
    """Tell a network of the experiment, which has a number, from a control."""
    return row["network"].isdecimal()
