"""All pictures of a run folder, from its files alone."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import JaxbqError
from ..experiment import RunFolder
from ..experiment.folder import NATURALNESS, read_csv
from ..methods import Result, programs
from ..options import describe, get_option, varied
from ..weights import load_network
from .curve import CurvePoint, curve_figure
from .figures import Row, image_grid, save_figure, training_curve
from .paths import path_strip, save_animation

_MOST_SAMPLES = 10


class Summary(NamedTuple):
    """One line of the summary table: a method over all its targets, best sample of each.

    Args:
        method: its name.
        right: targets whose image the network reads as intended.
        targets: how many there are.
        largest_error: largest output error of any.
        right_before: targets read as intended in the image before the pixel policy; None for
            methods without one.
        outside_before: mean share of pixels outside the range before it.
        probability: mean probability of the intended class; None where no target has one.
        correlation: mean correlation with the intended class's mean image; None where unknown.
        seconds: computing time, compilation left out.
        mean_error: mean over targets of the largest output error.
        naturalness: mean Mahalanobis percentile among real test images; None where unknown.
        judged: targets whose image the judge reads as intended; None without a judge.
        distance: mean squared Mahalanobis distance, a pixel; likewise.
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
    naturalness: float | None
    judged: int | None
    distance: float | None
    distinct: float | None
    alike: float | None


def build(folder: RunFolder) -> list[Summary]:
    """Draw the figures of a run and sum its scores up.

    Returns:
        One line a method, in the order of the config.

    Raises:
        JaxbqError: the folder lacks a file or one is damaged.
    """
    results = read_results(folder)
    network = load_network(folder.network)
    names, figures = network.class_names, folder.figures
    grid = image_grid([Row.of(result, names) for result in results], network.space, names)
    save_figure(grid, figures / "images.png")
    history = folder.read_history()
    if history:  # a control with random weights was never trained
        save_figure(training_curve(history), figures / "training.png")
    for number, result in enumerate(results):
        if result.images.shape[1] > 1:
            samples = image_grid(_sample_rows(result, names), network.space, names)
            save_figure(samples, figures / f"samples-{number:02d}.png")
        if "path" in result.diagnostics:
            save_figure(path_strip(result, names), figures / f"path-{number:02d}.png")
            save_animation(result, figures / f"path-{number:02d}.gif", names)
    lines = _summarise(folder, results)
    for numbers in programs([result.method for result in results]):
        option = varied([results[n].method for n in numbers])
        if option is not None:
            points = [_point(results[n], lines[n], option) for n in numbers]
            figure = curve_figure(option, points, _real_distances(folder))
            save_figure(figure, figures / f"curve-{numbers[0]:02d}.png")
    return lines


def read_results(folder: RunFolder) -> list[Result]:
    """Read what every method returned, in the order of the config.

    Raises:
        JaxbqError: there is none.
    """
    paths = sorted(folder.inversions.glob("*.npz"))
    if not paths:
        raise JaxbqError(f"{folder.path}: no inversions there; run its config first")
    return [folder.read_result(path) for path in paths]


def _sample_rows(result: Result, class_names: Sequence[str]) -> list[Row]:
    """One row a sample, best first; at most so many as fit a page."""
    starts = result.diagnostics.get("start", result.diagnostics.get("restart"))
    rows = []
    for n in range(min(result.images.shape[1], _MOST_SAMPLES)):
        # Where the order differs by target, a row has no one start.
        same = starts is not None and (starts[:, n] == starts[0, n]).all()
        label = f"start {starts[0, n]}" if same and starts is not None else f"sample {n}"
        rows.append(Row.of(result, class_names, n, label))
    return rows


def _real_distances(folder: RunFolder) -> tuple[float, float, float]:
    low, middle, high = folder.read_json(NATURALNESS)["mahalanobis"]
    return low, middle, high


def _point(result: Result, line: "Summary", option: str) -> CurvePoint:
    return CurvePoint(
        get_option(result.method, option),
        math.nan if line.probability is None else line.probability,
        line.mean_error,
        math.nan if line.distance is None else line.distance,
        math.nan if line.correlation is None else line.correlation,
        None if line.judged is None else line.judged / line.targets,
    )


def _summarise(folder: RunFolder, results: list[Result]) -> list[Summary]:
    table, spreads = read_csv(folder.scores), read_csv(folder.spread)
    lines = []
    for result in results:
        name = describe(result.method)
        best = [row for row in table if row["method"] == name and row["sample"] == "0"]
        correlation = _mean(best, "correlation_own")
        before = _mean(best, "right_before")
        judged = _mean(best, "judged_right")
        samples = [row for row in spreads if row["method"] == name]
        lines.append(
            Summary(
                name,
                sum(row["right"] == "True" for row in best),
                len(best),
                max(float(row["largest_error"]) for row in best),
                None if before is None else round(before * len(best)),
                _mean(best, "outside_before"),
                _mean(best, "target_probability"),
                correlation,
                result.seconds.run,
                sum(float(row["largest_error"]) for row in best) / len(best),
                _mean(best, "mahalanobis_percentile"),
                None if judged is None else round(judged * len(best)),
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
