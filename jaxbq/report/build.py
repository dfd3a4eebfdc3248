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

_MOST_ROWS = 10


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
        One line a method, in the order of the config; over all networks.

    Raises:
        JaxbqError: the folder lacks a file or one is damaged.
    """
    networks = read_results(folder)
    results = networks[0]
    network = load_network(folder.network())
    names, figures = network.class_names, folder.figures
    grid = image_grid([Row.of(result, names) for result in results], network.space, names)
    save_figure(grid, figures / "images.png")
    histories = [folder.read_history(number) for number in range(len(networks))]
    if all(histories):  # a control with random weights was never trained
        save_figure(training_curve(histories), figures / "training.png")
    for number, result in enumerate(results):
        _draw(number, [own[number] for own in networks], folder, names)
        if "path" in result.diagnostics:
            save_figure(path_strip(result, names), figures / f"path-{number:02d}.png")
            save_animation(result, figures / f"path-{number:02d}.gif", names)
    lines = _summarise(folder, networks)
    for numbers in programs([result.method for result in results]):
        option = varied([results[n].method for n in numbers])
        if option is not None:
            points = [_point(results[n], lines[n], option) for n in numbers]
            figure = curve_figure(option, points, _real_distances(folder))
            save_figure(figure, figures / f"curve-{numbers[0]:02d}.png")
    return lines


def _draw(number: int, own: list[Result], folder: RunFolder, names: Sequence[str]) -> None:
    """Draw a method's samples for the first network, and its best ones for every network."""
    space = own[0].space
    if own[0].images.shape[1] > 1:
        samples = image_grid(_sample_rows(own[0], names), space, names)
        save_figure(samples, folder.figures / f"samples-{number:02d}.png")
    if len(own) > 1:
        rows = [Row.of(each, names, 0, f"network {k}") for k, each in enumerate(own[:_MOST_ROWS])]
        save_figure(image_grid(rows, space, names), folder.figures / f"networks-{number:02d}.png")


def read_results(folder: RunFolder) -> list[list[Result]]:
    """Read what every method returned, in the order of the config, for every network.

    Raises:
        JaxbqError: there is none.
    """
    parts = sorted(folder.inversions.glob("[0-9]*"), key=lambda part: int(part.name))
    paths = [sorted(part.glob("*.npz")) for part in parts]
    if not paths or not all(paths):
        raise JaxbqError(f"{folder.path}: no inversions there; run its config first")
    return [[folder.read_result(path) for path in own] for own in paths]


def _sample_rows(result: Result, class_names: Sequence[str]) -> list[Row]:
    """One row a sample, best first; at most so many as fit a page."""
    starts = result.diagnostics.get("start", result.diagnostics.get("restart"))
    rows = []
    for n in range(min(result.images.shape[1], _MOST_ROWS)):
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


def _summarise(folder: RunFolder, networks: list[list[Result]]) -> list[Summary]:
    table, spreads = read_csv(folder.scores), read_csv(folder.spread)
    lines = []
    for own in zip(*networks, strict=True):
        name = describe(own[0].method)
        best = [row for row in table if row["method"] == name and row["sample"] == "0"]
        before = _mean(best, "right_before")
        judged = _mean(best, "judged_right")
        samples = [row for row in spreads if row["method"] == name]
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
