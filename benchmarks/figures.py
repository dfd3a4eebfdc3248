"""The figures, drawn from a record alone: throughput along sizes, time to target, ratios."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from jaxbq.runtime.files import make_folder, write_atomically

from .record import Case, Record, Row

# By library, the part of a name before the first comma.
_COLOURS = {
    "jaxbq": "#0072B2",
    "PyTorch": "#D55E00",
    "Lucent": "#009E73",
    "scikit-learn": "#CC79A7",
    "SciPy": "#8C510A",
    "NumPy": "0.45",
}
_STYLES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"))
_SIZES = {
    "batch": "images at once",
    "width": "units of the hidden layer",
    "depth": "hidden layers",
    "image": "pixels of an image",
}
_POINTS = 8.0
_SMALL: dict[str, Any] = {"fontsize": _POINTS - 0.5, "va": "center", "parse_math": False}

# Median, least and most of what is drawn.
Spread = tuple[float, float, float]


def draw(record: Record, folder: Path) -> list[Path]:
    """Draw what a record has measurements for; the folder is made if need be.

    Returns:
        The files: ``throughput.png``, ``time-to-target.png`` and ``ratios.png``, as far as there
        is something to draw in them.

    Raises:
        JaxbqError: a file cannot be written.
    """
    figures = {
        "throughput": throughput_figure(record),
        "time-to-target": target_figure(record),
        "ratios": ratios_figure(record),
    }
    made = {name: figure for name, figure in figures.items() if figure is not None}
    for name, figure in made.items():
        write_atomically(make_folder(folder) / f"{name}.png", figure.savefig)
    return [folder / f"{name}.png" for name in made]


def throughput_figure(record: Record) -> Figure | None:
    """Draw work a second along every size that was swept; bands from slowest to fastest round."""
    swept = {part: _timed(record.of(part)) for part in _SIZES}
    parts = [part for part, cases in swept.items() if cases]
    if not parts:
        return None
    columns = min(len(parts), 2)
    figure = _figure(3.4 * columns, 0.5 + 2.4 * -(-len(parts) // columns))
    grid: Any = figure.subplots(-(-len(parts) // columns), columns, squeeze=False)
    for axis in grid.flat[len(parts) :]:
        axis.remove()
    for axis, part in zip(grid.flat, parts, strict=False):
        cases = swept[part]
        _lines(axis, cases, lambda case, row: _inverted(case.work, row))
        axis.set_xlabel(_SIZES[part], fontsize=_POINTS)
        axis.set_ylabel(f"{cases[0].unit} a second", fontsize=_POINTS, parse_math=False)
    _head(figure, f"Throughput of the ascent; {record.machine()}", grid.flat[: len(parts)])
    return figure


def target_figure(record: Record) -> Figure | None:
    """Draw the seconds until all images are within a tolerance, the hardest at the right."""
    cases = _timed([_arrived(case) for case in record.of("target")])
    if not cases:
        return None
    figure = _figure(5.4, 3.4)
    axis: Any = figure.subplots()
    _lines(axis, cases, lambda _, row: (row.median or 0.0, min(row.seconds), max(row.seconds)))
    axis.invert_xaxis()
    axis.set_xlabel("largest error of an output that is allowed", fontsize=_POINTS)
    axis.set_ylabel(f"seconds for {cases[0].work:g} images", fontsize=_POINTS)
    _head(figure, f"Time to the target; {record.machine()}", [axis])
    return figure


def ratios_figure(record: Record) -> Figure | None:
    """Draw how many times as long as jaxbq every peer takes; sweeps have figures of their own."""
    known = [_arrived(case) for case in record.cases if case.part not in _SIZES]
    groups = [(case, own, rows) for case in known if (own := case.own) and (rows := _peers(case))]
    if not groups:
        return None
    tall = sum(len(rows) + 1.3 for _, _, rows in groups)
    figure = _figure(6.4, 0.9 + 0.19 * tall)
    axis: Any = figure.subplots()
    across = axis.get_yaxis_transform()
    title = _SMALL | {"bbox": {"facecolor": "white", "linewidth": 0, "pad": 1.0}}
    place, ticks = 0.0, {}
    for case, own, rows in groups:
        axis.text(0.005, place, case.title, fontweight="bold", transform=across, **title)
        took = f"{own.contender} {own.median:.3g} s"
        axis.text(0.995, place, took, ha="right", color="0.4", transform=across, **_SMALL)
        for row in rows:
            place += 1.0
            ticks[place] = row.contender
            _bar(axis, case, row, place)
        place += 1.3
    axis.set_ylim(place - 0.5, -0.7)
    axis.set_yticks(list(ticks), list(ticks.values()), fontsize=_POINTS - 0.5, parse_math=False)
    axis.axvline(1.0, color="0.2", linewidth=1.0)
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    axis.set_xlim(low / 1.1, high * (high / low) ** 0.12)  # room for the last number
    _ticks(axis.xaxis, *axis.get_xlim())
    axis.grid(visible=False, axis="y")
    said = "times as long as jaxbq; thin lines: fastest to slowest round"
    axis.set_xlabel(said, fontsize=_POINTS)
    figure.suptitle(f"Ratios; {record.machine()}", fontsize=_POINTS + 1, parse_math=False)
    return figure


def _timed(cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if any(row.seconds for row in case.rows)]


def _arrived(case: Case) -> Case:
    """Leave out of a time to the target who did not reach it with every image."""
    if case.part != "target":
        return case
    rows = [r for r in case.rows if r.quality.get("reached", case.work) == case.work]
    return case.model_copy(update={"rows": tuple(rows)})


def _peers(case: Case) -> list[Row]:
    """Peers that were timed, the slowest first."""
    rows = [row for row in case.rows if row.peer and row.seconds]
    return sorted(rows, key=lambda row: -(row.median or 0.0))


def _inverted(work: float, row: Row) -> Spread:
    return work / (row.median or math.inf), work / max(row.seconds), work / min(row.seconds)


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), dpi=200, layout="constrained")


def _lines(axis: Any, cases: Sequence[Case], value: Callable[[Case, Row], Spread]) -> None:
    """Draw a line a contender along x, and its band; jaxbq's first one is the strongest."""
    names = list(dict.fromkeys(row.contender for case in cases for row in case.rows))
    for name in names:
        rows = [(case, r) for case in cases for r in case.rows if r.contender == name and r.seconds]
        if not rows:
            continue
        library = name.partition(",")[0]
        alike = [other for other in names if other.partition(",")[0] == library]
        line, marker = _STYLES[alike.index(name) % len(_STYLES)]
        colour, first = _COLOURS.get(library, "0.25"), name == names[0]
        x = [case.x for case, _ in rows]
        middle, low, high = zip(*(value(case, row) for case, row in rows), strict=True)
        look = {"color": colour, "linestyle": line, "marker": marker, "markersize": 4.0}
        axis.plot(x, middle, label=name, linewidth=2.0 if first else 1.2, **look)
        axis.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks([case.x for case in cases])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.6g}"))
    _ticks(axis.yaxis, *axis.get_ylim())


def _ticks(side: Any, low: float, high: float) -> None:
    """Put plain numbers on a logarithmic axis, about five of them."""
    decades = math.log10(high / low)
    many = (1, 1.5, 2, 3, 4, 6, 8) if decades < 0.7 else (1, 2, 5)
    steps = many if decades < 2 else (1, 3) if decades < 3 else (1,)
    side.set_major_locator(LogLocator(subs=steps))
    side.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    side.set_minor_formatter(NullFormatter())
    side.axes.tick_params(labelsize=_POINTS - 1)
    side.axes.grid(alpha=0.3, linewidth=0.5)
    side.axes.set_axisbelow(True)
    side.axes.spines[["top", "right"]].set_visible(False)


def _head(figure: Figure, title: str, axes: Sequence[Any]) -> None:
    """Write a title, and one legend for all plots above them."""
    marks = {m.get_label(): m for axis in axes for m in axis.get_lines()}
    figure.suptitle(title, fontsize=_POINTS + 1, parse_math=False)
    look: dict[str, Any] = {"fontsize": _POINTS - 0.5, "frameon": False}
    columns = min(len(marks), 3)
    figure.legend(marks.values(), marks, loc="outside lower center", ncols=columns, **look)


def _bar(axis: Any, case: Case, row: Row, place: float) -> None:
    """Draw a peer's ratio from 1, which is jaxbq."""
    ratio, own = case.ratio(row) or 1.0, (case.own and case.own.median) or 1.0
    colour = _COLOURS.get(row.contender.partition(",")[0], "0.25")
    axis.barh(place, abs(ratio - 1), 0.7, left=min(ratio, 1.0), color=colour, label=row.contender)
    ends = [min(row.seconds) / own, max(row.seconds) / own]
    axis.plot(ends, [place, place], color="0.15", linewidth=0.9)
    said, end = f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2g}", max(ratio, ends[1], 1.0)
    look = {"xytext": (3, 0), "textcoords": "offset points", "fontweight": "bold", **_SMALL}
    axis.annotate(said, (end, place), **look)


def short(value: float) -> str:
    """Write a number: 0.03, 640, 20k, 1.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
