"""All pictures of a run folder, from its files alone."""

from typing import NamedTuple

from ..errors import JaxbqError
from ..experiment import RunFolder
from ..experiment.folder import read_csv
from ..methods import Result
from ..options import describe
from ..weights import load_network
from .figures import Row, image_grid, save_figure, training_curve

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
        probability: mean probability of the intended class.
        correlation: mean correlation with the intended class's mean image; None where unknown.
        seconds: computing time, compilation left out.
    """

    method: str
    right: int
    targets: int
    largest_error: float
    right_before: int | None
    outside_before: float | None
    probability: float
    correlation: float | None
    seconds: float


def build(folder: RunFolder) -> list[Summary]:
    """Draw the figures of a run and sum its scores up.

    Returns:
        One line a method, in the order of the config.

    Raises:
        JaxbqError: the folder lacks a file or one is damaged.
    """
    results = read_results(folder)
    network = load_network(folder.network)
    rows = [Row.of(result) for result in results]
    grid = image_grid(rows, network.space, network.class_names)
    save_figure(grid, folder.figures / "images.png")
    save_figure(training_curve(folder.read_history()), folder.figures / "training.png")
    for number, result in enumerate(results):
        if result.images.shape[1] > 1:
            samples = image_grid(_sample_rows(result), network.space, network.class_names)
            save_figure(samples, folder.figures / f"samples-{number:02d}.png")
    return _summarise(folder, results)


def read_results(folder: RunFolder) -> list[Result]:
    """Read what every method returned, in the order of the config.

    Raises:
        JaxbqError: there is none.
    """
    paths = sorted(folder.inversions.glob("*.npz"))
    if not paths:
        raise JaxbqError(f"{folder.path}: no inversions there; run its config first")
    return [folder.read_result(path) for path in paths]


def _sample_rows(result: Result) -> list[Row]:
    """One row a sample, best first; at most so many as fit a page."""
    intended = result.targets.argmax(axis=1).tolist()
    names = result.diagnostics.get("start", result.diagnostics.get("restart"))
    rows = []
    for n in range(min(result.images.shape[1], _MOST_SAMPLES)):
        # Where the order differs by target, a row has no one start.
        same = names is not None and (names[:, n] == names[0, n]).all()
        label = f"start {names[0, n]}" if same and names is not None else f"sample {n}"
        rows.append(Row(label, result.images[:, n], result.outputs[:, n], intended))
    return rows


def _summarise(folder: RunFolder, results: list[Result]) -> list[Summary]:
    table = read_csv(folder.scores)
    lines = []
    for result in results:
        name = describe(result.method)
        best = [row for row in table if row["method"] == name and row["sample"] == "0"]
        correlation = _mean(best, "correlation_own")
        before = _mean(best, "right_before")
        lines.append(
            Summary(
                name,
                sum(row["right"] == "True" for row in best),
                len(best),
                max(float(row["largest_error"]) for row in best),
                None if before is None else round(before * len(best)),
                _mean(best, "outside_before"),
                sum(float(row["target_probability"]) for row in best) / len(best),
                correlation,
                result.seconds.run,
            )
        )
    return lines


def _mean(rows: list[dict[str, str]], column: str) -> float | None:
    """Mean of the cells that are not empty; None where all are."""
    known = [float(row[column]) for row in rows if row[column]]
    return sum(known) / len(known) if known else None
