"""The report of a run: figures, tables and the page, from its files alone."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from ..errors import JaxbqError
from ..experiment.finished import Run
from ..methods import Result
from ..options import describe, get_option, varied
from ..runtime.timing import phase
from .curves import CurvePoint, TradeOff, curve_figure, trade_off_figure, training_curve
from .images import ImageRow, image_grid, shared_start
from .page import write_page
from .paths import path_strip, save_animation
from .plane import plane_figure, points_of
from .style import Style, save_all
from .tables import write_tables

_MOST_ROWS = 10
_USUAL = Style()


def build(
    run: Run,
    style: Style = _USUAL,
    across: str = "fidelity",
    before_page: Callable[[], None] | None = None,
) -> None:
    """Make the report of a run: figures, tables and the page.

    The same files give the same bytes.

    Args:
        run: that is finished.
        style: of the figures.
        across: the score that lies across in the plane, ``fidelity`` or ``specificity``.
        before_page: writes what the page is to show of the time until then.

    Raises:
        JaxbqError: the folder lacks a file or one is damaged; or nothing is known of that score.
    """
    if across == "specificity" and not run.transfer:
        raise JaxbqError(
            f"{run.path}: no specificity is known; set scores.transfer to 3 in its config and run "
            "it again"
        )
    for network in run.networks:
        run.results(network)  # so that a damaged run has no half a report
    with phase("figures"):
        for name, figure in _figures(run, style.inches, across):
            save_all(figure, run.folder.figures / name, style)
            if name.startswith("path-"):
                result = run.first[int(name.removeprefix("path-")) - 1]
                save_animation(result, run.folder.figures / f"{name}.gif", run.class_names)
    with phase("tables"):
        write_tables(run)
    if before_page:
        before_page()
    with phase("page"):
        write_page(run)


def _figures(run: Run, width: float | None, across: str) -> Iterator[tuple[str, Any]]:
    """Draw every figure of a run, each with its name; methods are numbered from 1."""
    names, space = run.class_names, run.space

    def grid(rows: Sequence[ImageRow]) -> Any:
        return image_grid(rows, space, names, width=width)

    every = [
        ImageRow.of(result, names, label=f"{number}. {describe(result.method)}")
        for number, result in enumerate(run.first, 1)
    ]
    yield "images", grid(every)
    histories = [run.histories[name] for name in run.trained if name in run.histories]
    if len(histories) == len(run.trained):  # a control with random weights was never trained
        yield "training", training_curve(histories, width=width)
    for number, result in enumerate(run.first, 1):
        if result.images.shape[1] > 1:
            yield f"samples-{number:02d}", grid(_sample_rows(result, names))
        if len(run.trained) > 1:
            own = [run.results(name)[number - 1] for name in run.trained[:_MOST_ROWS]]
            rows = [ImageRow.of(each, names, 0, f"network {k}") for k, each in enumerate(own)]
            yield f"networks-{number:02d}", grid(rows)
        if "path" in result.diagnostics:
            yield f"path-{number:02d}", path_strip(result, names, width=width)
    swept = _swept(run.first)
    for option, numbers in swept:
        points = [_point(run, number, option) for number in numbers]
        low, middle, high = run.naturalness["mahalanobis"]
        yield (
            f"curve-{numbers[0] + 1:02d}",
            curve_figure(option, points, (low, middle, high), width),
        )
    if len(swept) > 1:
        yield "trade-off", trade_off_figure(_trade_offs(run, swept), width)
    targets = len(run.titles)
    # Of digits a 3 comes first, which is not easily taken for another.
    shown = list(dict.fromkeys((targets // 3, 0, max(targets - 2, 0))))
    methods = points_of(run, shown, across)
    if any(method.place for method in methods):  # without judges there is no readability
        titles = [run.titles[n] for n in shown]
        yield "plane", plane_figure(methods, space, across=across, titles=titles, width=width)


def _sample_rows(result: Result, class_names: Sequence[str]) -> list[ImageRow]:
    """One row a sample, best first; at most so many as fit a page."""
    starts = [shared_start(result, n) for n in range(min(result.images.shape[1], _MOST_ROWS))]
    labels = [
        f"sample {n}" if start is None else f"start {start}" for n, start in enumerate(starts)
    ]
    return [ImageRow.of(result, class_names, n, label) for n, label in enumerate(labels)]


def _swept(results: Sequence[Result]) -> list[tuple[str, list[int]]]:
    """Find the methods, by number, that differ in one option alone, and which it is."""
    groups: dict[Any, list[int]] = {}
    for number, result in enumerate(results):
        # The structure of options is all of them but their numbers.
        groups.setdefault(jax.tree.structure(result.method), []).append(number)
    varying = ((varied([results[n].method for n in own]), own) for own in groups.values())
    return [(option, own) for option, own in varying if option is not None]


def _trade_offs(run: Run, swept: Sequence[tuple[str, list[int]]]) -> list[TradeOff]:
    places = list(run.intervals().values())

    def trade_off(label: str, numbers: Sequence[int], values: Sequence[float] = ()) -> TradeOff:
        natural = [places[n]["mean_percentile"].mean for n in numbers]
        return TradeOff(label, natural, [places[n]["fidelity"].mean for n in numbers], values)

    found = []
    for option, numbers in swept:
        ordered = sorted(numbers, key=lambda n: get_option(run.first[n].method, option))
        values = [get_option(run.first[n].method, option) for n in ordered]
        found.append(trade_off(_sweep_name(run.first[numbers[0]].method, option), ordered, values))
    single = set(range(len(run.methods))) - {n for _, numbers in swept for n in numbers}
    return found + [trade_off(run.methods[n], [n]) for n in sorted(single)]


def _sweep_name(method: Any, option: str) -> str:
    """Name a method that is swept: "ascent, total_variation weight"."""
    holder, _, last = option.rpartition(".")
    part = ""
    if holder:
        # A regulariser's kind, an optimiser's name.
        part = describe(get_option(method, holder)).partition("(")[0] + " "
    return f"{describe(method).partition('(')[0]}, {part}{last}"


def _point(run: Run, number: int, option: str) -> CurvePoint:
    found = run.overview.loc[run.methods[number]]
    names = ("probability", "mean_error", "distance", "correlation", "readability")
    value = get_option(run.first[number].method, option)
    return CurvePoint(value, *(float(found[name]) for name in names))
