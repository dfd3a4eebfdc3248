"""The report of a run: figures, tables and the page, from its files alone."""

import math
from collections.abc import Sequence
from typing import Any

import jax

from ..errors import JaxbqError
from ..experiment import RunFolder
from ..experiment.folder import NATURALNESS, read_csv
from ..methods import Result
from ..network.files import load_network
from ..network.targets import name_target
from ..options import describe, get_option, varied
from .curve import CurvePoint, curve_figure
from .figures import Row, image_grid, training_curve
from .page import write_page
from .paths import path_strip, save_animation
from .plane import PlanePoint, plane_figure
from .score_values import read_scores
from .style import Style, save_all
from .summary import Summary, sum_up
from .tables import MethodSummary, summarise, write_tables
from .trade_off import TradeOff, trade_off_figure

_MOST_ROWS = 10
_USUAL = Style()


def build(folder: RunFolder, style: Style = _USUAL) -> list[Summary]:
    """Make the report of a run: figures, tables and the page.

    The same files give the same bytes.

    Args:
        folder: of a finished run.
        style: of the figures.

    Returns:
        One line a method, in the order of the config; over all trained networks.

    Raises:
        JaxbqError: the folder lacks a file or one is damaged.
    """
    networks = read_results(folder)
    results = networks[0]
    names = load_network(folder.network()).class_names
    space, inches = results[0].space, style.inches

    def save(figure: Any, name: str) -> None:
        save_all(figure, folder.figures / name, style)

    rows = [Row.of(result, names) for result in results]
    save(image_grid(rows, space, names, width=inches), "images")
    histories = [folder.read_history(number) for number in range(len(networks))]
    if all(histories):  # a control with random weights was never trained
        save(training_curve(histories, width=inches), "training")
    for number, result in enumerate(results):
        if result.images.shape[1] > 1:
            rows = _sample_rows(result, names)
            save(image_grid(rows, space, names, width=inches), f"samples-{number:02d}")
        if len(networks) > 1:
            own = [each[number] for each in networks[:_MOST_ROWS]]
            rows = [Row.of(each, names, 0, f"network {k}") for k, each in enumerate(own)]
            save(image_grid(rows, space, names, width=inches), f"networks-{number:02d}")
        if "path" in result.diagnostics:
            save(path_strip(result, names, width=inches), f"path-{number:02d}")
            save_animation(result, folder.figures / f"path-{number:02d}.gif", names)
    lines = sum_up(folder, networks)
    swept = _swept(results)
    for option, numbers in swept:
        points = [_point(results[n], lines[n], option) for n in numbers]
        figure = curve_figure(option, points, _real_distances(folder), width=inches)
        save(figure, f"curve-{numbers[0]:02d}")
    targets = len(results[0].images)
    # The first stands in the plane: of digits a 3, which is not easily taken for another.
    shown = list(dict.fromkeys((targets // 3, 0, max(targets - 2, 0))))
    summaries = summarise(read_scores(folder), read_csv(folder.cost))
    if len(swept) > 1:
        save(trade_off_figure(_trade_offs(results, summaries, swept), inches), "trade-off")
    methods = _plane_points(results, summaries, shown)
    if any(method.place for method in methods):  # without judges there is no readability
        titles = [name_target(results[0].targets[n], names) for n in shown]
        save(plane_figure(methods, space, titles=titles, width=inches), "plane")
    write_tables(folder)
    write_page(folder)
    return lines


def read_results(folder: RunFolder) -> list[list[Result]]:
    """Read what every method returned, in the order of the config, for every trained network.

    Raises:
        JaxbqError: there is none, one is missing, or one is damaged.
    """
    parts = sorted(folder.inversions.glob("[0-9]*"), key=lambda part: int(part.name))
    paths = [sorted(part.glob("*.npz")) for part in parts]
    if not paths or not all(paths):
        raise JaxbqError(f"{folder.path}: no inversions there; run its config first")
    results = [[folder.read_result(path) for path in own] for own in paths]
    named = [[describe(result.method) for result in own] for own in results]
    scored = list(dict.fromkeys(row["method"] for row in read_scores(folder)))
    if any(names != scored for names in named):
        raise JaxbqError(
            f"{folder.path}: its inversions are not those of its scores.csv; run its config again"
        )
    return results


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


def _swept(results: Sequence[Result]) -> list[tuple[str, list[int]]]:
    """Find the methods, by number, that differ in one option alone, and which it is."""
    groups: dict[Any, list[int]] = {}
    for number, result in enumerate(results):
        # The structure of options is all of them but their numbers.
        groups.setdefault(jax.tree.structure(result.method), []).append(number)
    varying = ((varied([results[n].method for n in own]), own) for own in groups.values())
    return [(option, own) for option, own in varying if option is not None]


def _trade_offs(
    results: Sequence[Result],
    summaries: Sequence[MethodSummary],
    swept: Sequence[tuple[str, list[int]]],
) -> list[TradeOff]:
    def line(label: str, numbers: Sequence[int], values: Sequence[float] = ()) -> TradeOff:
        places = [summaries[n].scores for n in numbers]
        return TradeOff(
            label,
            [each["naturalness"].mean for each in places],
            [each["fidelity"].mean for each in places],
            values,
        )

    lines = []
    for option, numbers in swept:
        ordered = sorted(numbers, key=lambda n: get_option(results[n].method, option))
        values = [get_option(results[n].method, option) for n in ordered]
        lines.append(line(_sweep_name(results[numbers[0]].method, option), ordered, values))
    single = set(range(len(results))) - {n for _, numbers in swept for n in numbers}
    return lines + [line(describe(results[n].method), [n]) for n in sorted(single)]


def _sweep_name(method: Any, option: str) -> str:
    """Name a method that is swept: "ascent, total_variation weight"."""
    holder, _, last = option.rpartition(".")
    part = ""
    if holder:
        # A regulariser's kind, an optimiser's name.
        part = describe(get_option(method, holder)).partition("(")[0] + " "
    return f"{describe(method).partition('(')[0]}, {part}{last}"


def _plane_points(
    results: Sequence[Result], summaries: Sequence[MethodSummary], shown: Sequence[int]
) -> list[PlanePoint]:
    points = []
    for result, summary in zip(results, summaries, strict=True):
        fidelity, readability, naturalness = (
            summary.scores[name] for name in ("fidelity", "readability", "naturalness")
        )
        points.append(
            PlanePoint(
                summary.method,
                result.method.kind,  # type: ignore[attr-defined]
                fidelity[:3],
                readability[:3],
                naturalness[:3],
                result.images[list(shown), 0],
            )
        )
    return points


def _real_distances(folder: RunFolder) -> tuple[float, float, float]:
    low, middle, high = folder.read_json(NATURALNESS)["mahalanobis"]
    return low, middle, high


def _point(result: Result, line: Summary, option: str) -> CurvePoint:
    return CurvePoint(
        get_option(result.method, option),
        math.nan if line.probability is None else line.probability,
        line.mean_error,
        math.nan if line.distance is None else line.distance,
        math.nan if line.correlation is None else line.correlation,
        line.readability,
    )
