"""How many times as long every peer takes as jaxbq, case by case."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ...report.style import AS_IS, DPI, shorten, styled, text_width
from .canvas import FAINT, NATURAL_WIDTH, head, short_number, short_time, text_points, times
from .looks import Look
from .record import SWEEPS, Case, Record, Row

# Inches.
_ROW, _BETWEEN, _TOP, _BOTTOM, _RIGHT = 0.185, 0.06, 0.47, 0.48, 0.12


@dataclass(frozen=True)
class Bar:
    """A peer in a case.

    Args:
        peer: its name.
        ratio: its seconds by jaxbq's, medians.
        low: its fastest round by jaxbq's slowest.
        high: its slowest round by jaxbq's fastest.
    """

    peer: str
    ratio: float
    low: float
    high: float


def bars_of(case: Case) -> list[Bar]:
    """Compare all peers that were timed in a case with jaxbq, the slowest first."""
    own = case.own
    if own is None or own.seconds is None:
        return []
    bars = [_bar(row, own.seconds) for row in case.rows if row.peer and row.seconds is not None]
    return sorted(bars, key=lambda bar: -bar.ratio)


def _bar(row: Row, own: tuple[float, float, float]) -> Bar:
    median, low, high = row.seconds or own
    ratio = median / own[0] if row.ratio is None else row.ratio
    return Bar(row.contender, ratio, low / own[2], high / own[1])


@styled()
def ratios_figure(
    record: Record, peers: dict[str, Look], width: float | None = None
) -> Figure | None:
    """Draw a bar a peer and case from 1, which is jaxbq, on a logarithmic axis.

    Sweeps are left out: they have figures of their own.

    Args:
        record: what was measured.
        peers: looks of the peers.
        width: inches.

    Returns:
        The figure; None where no peer was timed.
    """
    cases = [case for case in record.cases if case.part not in SWEEPS]
    groups = [(case, bars) for case in cases if (bars := bars_of(case))]
    if not groups:
        return None
    inches, points = width or NATURAL_WIDTH, text_points(width)
    names = [bar.peer for _, bars in groups for bar in bars]
    left = min(0.2 + max(text_width(name, points - 1) for name in names), 0.4 * inches)
    rows = sum(len(bars) + 1 for _, bars in groups)
    tall = _ROW * rows + _BETWEEN * len(groups)
    size = (inches, _TOP + tall + _BOTTOM)
    figure = Figure(figsize=size, dpi=DPI)
    axis: Any = figure.add_axes(
        (left / inches, _BOTTOM / size[1], 1 - (left + _RIGHT) / inches, tall / size[1])
    )
    axis.set_ylim(-tall, 0)
    _scale(axis, [bar for _, bars in groups for bar in bars], points)
    _draw(axis, groups, peers, left, points)
    below = "; ".join(
        part for part in (record.machine(), "thin lines: fastest to slowest round") if part
    )
    head(axis, "How many times as long as jaxbq", below, points, left - 0.1)
    return figure


def _scale(axis: Any, bars: Sequence[Bar], points: float) -> None:
    least = min(1.0, *(bar.low for bar in bars))
    most = max(1.0, *(bar.high for bar in bars))
    axis.set_xscale("log")
    # At the right there is room for a number.
    axis.set_xlim(least / 1.08, most * max((most / least) ** 0.2, 1.5))
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if most / least < 500 else (1.0,)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{short_number(value)} ×"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("times as long as jaxbq", fontsize=points)
    axis.tick_params(labelsize=points - 0.5)
    axis.grid(axis="x", alpha=0.3, linewidth=0.5)
    axis.set_axisbelow(True)
    axis.set_yticks([])
    axis.spines[["top", "right", "left"]].set_visible(False)


def _draw(
    axis: Any,
    groups: Sequence[tuple[Case, list[Bar]]],
    peers: dict[str, Look],
    left: float,
    points: float,
) -> None:
    """Draw all cases from the top down; one inch of the plot is one of its y."""
    place = 0.0
    inches = axis.get_figure().get_size_inches()[0]
    for number, (case, bars) in enumerate(groups):
        tall = _ROW * (len(bars) + 1) + _BETWEEN
        shade: Any = {"color": "0.96" if number % 2 == 0 else "white", "linewidth": 0}
        start = -left / (inches - left - _RIGHT)
        axis.axhspan(place - tall, place, start, zorder=0, clip_on=False, **shade)
        # Neither the grid nor the line at 1 goes through a title.
        axis.axhspan(place - _ROW - _BETWEEN / 2, place, zorder=0.8, **shade)
        bottom = place - tall + _BETWEEN / 2
        top = place - _ROW - _BETWEEN / 2
        axis.plot([1, 1], [bottom, top], color="0.2", linewidth=1.2, zorder=4)
        place -= _BETWEEN / 2 + _ROW / 2
        _write_title(axis, case, place, left, inches, points)
        for bar in bars:
            place -= _ROW
            _draw_bar(axis, bar, peers[bar.peer], place, points)
            name = shorten(bar.peer, points - 1, left - 0.15)
            look: Any = {"fontsize": points - 1, "va": "center", "ha": "right", "color": "0.15"}
            axis.annotate(
                name,
                (0, place),
                xytext=(-4, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                **look,
                **AS_IS,
            )
        place -= _ROW / 2 + _BETWEEN / 2


def _write_title(
    axis: Any, case: Case, place: float, left: float, inches: float, points: float
) -> None:
    """Write what was measured, and how long jaxbq took."""
    own = case.own
    took = "" if own is None or own.seconds is None else short_time(own.seconds[0])
    took = f"{own.contender if own else ''} {took}"
    room = inches - 0.25 - text_width(took, points - 1) - 0.2
    title = shorten(" ".join(case.title.split()), 1.1 * (points - 0.5), room)
    look: Any = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    look |= {"va": "center", "zorder": 6, **AS_IS}
    start = (-72 * (left - 0.1), 0)
    axis.annotate(
        title,
        (0, place),
        xytext=start,
        fontsize=points - 0.5,
        fontweight="bold",
        color="0.1",
        **look,
    )
    axis.annotate(
        took, (1, place), xytext=(-2, 0), fontsize=points - 1, color=FAINT, ha="right", **look
    )


def _draw_bar(axis: Any, bar: Bar, look: Look, place: float, points: float) -> None:
    start, long = min(bar.ratio, 1.0), abs(bar.ratio - 1.0)
    axis.barh(place, long, 0.62 * _ROW, left=start, color=look.colour, label=bar.peer, zorder=2)
    axis.plot([bar.low, bar.high], [place, place], color="0.15", linewidth=0.9, zorder=3)
    axis.annotate(
        times(bar.ratio),
        (max(bar.high, bar.ratio, 1.0), place),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=points - 1,
        fontweight="bold",
        color="0.15",
        zorder=6,
    )
