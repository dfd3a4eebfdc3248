"""How near jaxbq is to what the machine can do: operations a second against operations a byte."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ...report.style import AS_IS, BLUE, DPI, shorten, styled
from .canvas import (
    FAINT,
    NATURAL_WIDTH,
    head,
    log_scale,
    percent,
    short_number,
    short_rate,
    text_points,
    tidy,
)
from .placing import Beside
from .record import SWEEPS, Case, Peak, Record

_SHARES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
_SWEPT = {
    "batch": ("s", "#56B4E9", "images"),
    "width": ("^", "#003A5C", "units"),
    "depth": ("D", "#009E73", "layers"),
    "image": ("v", "#8C510A", "pixels"),
}
# Inches.
_LEFT, _RIGHT, _TOP, _BOTTOM, _ROW = 0.72, 0.85, 0.45, 0.5, 0.17


@dataclass(frozen=True)
class Mark:
    """A case in the plane of the roofline.

    Args:
        case: the case.
        intensity: operations a byte.
        gflops: billions of operations a second in the median round.
        low: in the slowest.
        high: in the fastest.
    """

    case: Case
    intensity: float
    gflops: float
    low: float
    high: float


def roof(peak: Peak, intensity: float) -> float:
    """Say how many billions of operations a second the machine allows.

    Args:
        peak: of the machine.
        intensity: operations a byte.
    """
    return min(peak.matrix_gflops, peak.bandwidth_gb_s * intensity)


def mark_of(case: Case) -> Mark | None:
    """Place jaxbq's first row of a case; None where operations, bytes or seconds are not known."""
    row = case.own
    if row is None or row.seconds is None or case.flops is None or case.moved is None:
        return None
    median, low, high = (case.flops / second / 1e9 for second in row.seconds)
    # The fewest seconds are the most operations a second.
    return Mark(case, case.flops / case.moved, median, high, low)


@styled()
def roofline_figure(record: Record, width: float | None = None) -> Figure | None:
    """Draw jaxbq's cases under the two roofs of the machine, numbered; a key says which they are.

    Args:
        record: what was measured.
        width: inches.

    Returns:
        The figure; None where no case says its operations and bytes, or the peak was not measured.
    """
    marks = [mark for mark in map(mark_of, record.cases) if mark is not None]
    if not marks or record.peak is None:
        return None
    singles = [mark for mark in marks if mark.case.part not in SWEEPS]
    swept = {part: [m for c in record.of(part) if (m := mark_of(c))] for part in _SWEPT}
    swept = {part: line for part, line in swept.items() if line}
    inches, points = width or NATURAL_WIDTH, text_points(width)
    rows = len(singles) + len(swept) + 1
    plot = max(0.52 * inches, 2.2)
    size = (inches, _TOP + plot + _BOTTOM + _ROW * rows + 0.15)
    figure = Figure(figsize=size, dpi=DPI)
    bottom = size[1] - _TOP - plot
    box = (_LEFT, bottom, inches - _LEFT - _RIGHT, plot)
    axis: Any = figure.add_axes(
        (box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1])
    )
    tidy(axis, points)
    _draw_roof(axis, record.peak, marks, points)
    _draw_marks(axis, record.peak, singles, swept, points)
    peak = f"{short_rate(record.peak.matrix_gflops)}FLOP/s"
    head(axis, f"Roofline, peak {peak}", record.machine(), points)
    _write_key(figure, record.peak, singles, swept, points)
    return figure


def _draw_roof(axis: Any, peak: Peak, marks: Sequence[Mark], points: float) -> None:
    """Draw the roofs, and at the right what share of the peak a height is."""
    ridge = peak.matrix_gflops / peak.bandwidth_gb_s
    left = min(*(mark.intensity for mark in marks), ridge / 4) / 2
    right = max(*(mark.intensity for mark in marks), ridge * 4) * 2
    low = min(*(mark.low for mark in marks), peak.matrix_gflops / 30) / 2
    axis.set_xlim(left, right)
    axis.set_ylim(low, 1.6 * max(peak.matrix_gflops, *(mark.high for mark in marks)))
    log_scale(axis, "x", short_number)
    log_scale(axis, "y", short_number)
    corners = [left, ridge, right]
    axis.plot(corners, [roof(peak, x) for x in corners], color="0.2", linewidth=1.6, label="roof")
    _write_on_roof(axis, peak, corners, points)
    axis.fill_between(corners, [roof(peak, x) for x in corners], low, color="0.96", zorder=0)
    axis.set_xlabel("operations a byte moved", fontsize=points)
    axis.set_ylabel("GFLOP/s", fontsize=points)
    shares = axis.secondary_yaxis(
        "right",
        functions=(lambda y: y / peak.matrix_gflops, lambda share: share * peak.matrix_gflops),
    )
    shares.yaxis.set_major_locator(FixedLocator(_SHARES))
    shares.yaxis.set_minor_locator(NullLocator())
    shares.yaxis.set_major_formatter(FuncFormatter(lambda share, _: percent(share)))
    shares.tick_params(labelsize=points - 0.5)
    shares.set_ylabel("share of the peak", fontsize=points)
    shares.spines["right"].set_visible(False)
    half = 0.5 * peak.matrix_gflops
    axis.axhline(half, color="0.6", linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)


def _write_on_roof(axis: Any, peak: Peak, corners: Sequence[float], points: float) -> None:
    """Say along each roof what it is."""
    names = (f"memory {short_rate(peak.bandwidth_gb_s)}B/s", "matrix peak")
    for name, start, end in zip(names, corners[:-1], corners[1:], strict=True):
        ends = [(start, roof(peak, start)), (end, roof(peak, end))]
        (left, low), (right, high) = axis.transData.transform(ends)
        turn = math.atan2(high - low, right - left)
        away = 0.4 * points
        axis.annotate(
            name,
            axis.transData.inverted().transform(((left + right) / 2, (low + high) / 2)),
            xytext=(-away * math.sin(turn), away * math.cos(turn)),
            textcoords="offset points",
            fontsize=points - 1,
            color=FAINT,
            rotation=math.degrees(turn),
            rotation_mode="anchor",
            ha="center",
        )


def _draw_marks(
    axis: Any,
    peak: Peak,
    singles: Sequence[Mark],
    swept: dict[str, list[Mark]],
    points: float,
) -> None:
    """Draw marks and their spread, then their numbers where there is room."""
    beside = Beside(axis, points)
    beside.avoid_line(axis.lines[0], reach=1.1)  # with what is written on it
    for part, line in swept.items():
        marker, colour, _ = _SWEPT[part]
        look: Any = {"color": colour, "markersize": 0.5 * points, "markeredgecolor": "white"}
        look |= {"linewidth": 1.0, "markeredgewidth": 0.4, "zorder": 3, "label": part}
        axis.plot([m.intensity for m in line], [m.gflops for m in line], marker=marker, **look)
        beside.avoid([(m.intensity, m.gflops) for m in line])
        beside.avoid_line(axis.lines[-1])
    for number, mark in enumerate(singles, 1):
        spread = [[mark.gflops - mark.low], [mark.high - mark.gflops]]
        look = {"color": BLUE, "markersize": 0.72 * points, "markeredgecolor": "white"}
        look |= {"elinewidth": 1.4, "zorder": 5, "label": f"{number} {mark.case.title}"}
        axis.errorbar(mark.intensity, mark.gflops, spread, fmt="o", **look)
    beside.avoid([(mark.intensity, mark.gflops) for mark in singles])
    for number, mark in enumerate(singles, 1):
        beside.write(str(number), (mark.intensity, mark.gflops), BLUE)


def _write_key(
    figure: Figure, peak: Peak, singles: Sequence[Mark], swept: dict[str, list[Mark]], points: float
) -> None:
    """Say below the plot which number is which case, and what shares it has."""
    entries: list[tuple[Any, str, Mark]] = [
        (str(number), mark.case.title, mark) for number, mark in enumerate(singles, 1)
    ]
    for part, line in swept.items():
        marker, colour, unit = _SWEPT[part]
        ends = [short_number(mark.case.x or 0) for mark in (line[0], line[-1])]
        said = f"{' to '.join(dict.fromkeys(ends))} {unit}" + ("; at best" if line[1:] else "")
        entries.append(((marker, colour), said, max(line, key=lambda mark: mark.gflops)))
    wide, tall = figure.get_size_inches()
    small = points - 1

    def write(text: str, x: float, y: float, **more: Any) -> None:
        look: Any = {"fontsize": small, "va": "center", "color": "0.15"} | more | AS_IS
        figure.text(x / wide, y / tall, text, **look)

    ends_at = [wide - 0.15 - 0.07 * small * place for place in (2, 1, 0)]
    top = 0.13 + _ROW * len(entries)
    for text, x in zip(("GFLOP/s", "of peak", "of roof"), ends_at, strict=True):
        write(text, x, top, ha="right", color=FAINT)
    for place, (sample, said, mark) in enumerate(entries, 1):
        y = top - _ROW * place
        if isinstance(sample, str):
            write(sample, 0.32, y, ha="right", color=BLUE, fontweight="bold")
        else:
            figure.add_artist(_sample(sample, 0.26 / wide, y / tall, small))
        write(shorten(" ".join(said.split()), small, ends_at[0] - 1.0), 0.4, y)
        share = percent(mark.gflops / peak.matrix_gflops)
        write(
            f"{mark.gflops:,.0f}" if mark.gflops >= 100 else f"{mark.gflops:.3g}",
            ends_at[0],
            y,
            ha="right",
        )
        write(share, ends_at[1], y, ha="right", fontweight="bold")
        write(percent(mark.gflops / roof(peak, mark.intensity)), ends_at[2], y, ha="right")


def _sample(look: tuple[str, str], x: float, y: float, points: float) -> Any:
    marker, colour = look
    return Line2D([x], [y], marker=marker, color=colour, markersize=0.6 * points, linestyle="none")
