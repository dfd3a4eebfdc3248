"""What all figures of the benchmark share: sizes, headings, logarithmic axes, short numbers."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from ...report.style import AS_IS, DPI, shorten

# Inches: at this width text is read where a figure is half a slide.
NATURAL_WIDTH = 5.4
FAINT = "0.45"
_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_THOUSANDS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_NEAREST = 0.11  # of an axis: closer numbers run into each other


def text_points(width: float | None) -> float:
    """Choose the size of text for a figure's width in inches, None for its own."""
    return 9.0 if width is None else (8.0 if width >= 5.0 else 7.0)


def panels(width: float | None, count: int, height: float = 0.62) -> tuple[Figure, list[Any]]:
    """Make a figure of plots below each other.

    Args:
        width: inches; None for the figure's own.
        count: of plots.
        height: of a plot by its width.

    Returns:
        The figure and its axes.
    """
    inches = width or NATURAL_WIDTH
    figure = Figure(
        figsize=(inches, max(height * inches, 2.7) * count), dpi=DPI, layout="constrained"
    )
    layout: Any = figure.get_layout_engine()
    layout.set(w_pad=0.06, h_pad=0.07)
    grid: Any = figure.subplots(count, 1, squeeze=False)
    axes = list(grid[:, 0])
    for axis in axes:
        tidy(axis, text_points(width))
    return figure, axes


def tidy(axis: Any, points: float) -> None:
    """Give a plot the grid, frame and size of numbers of this package."""
    axis.tick_params(labelsize=points - 0.5)
    axis.grid(alpha=0.3, linewidth=0.5)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def head(axis: Any, title: str, below: str, points: float, left: float = 0.0) -> None:
    """Write a title above a plot, and in grey what is to be known below it.

    Args:
        axis: the plot.
        title: one line.
        below: one line.
        points: size of text.
        left: inches that both begin left of the plot.
    """
    room = axis.get_figure().get_size_inches()[0] - (0.2 if left else 0.8)
    # Bold is a tenth wider than what shorten measures.
    for text, size, height, measured, look in (
        (title, points + 1.5, 1.9, 1.1, {"fontweight": "bold"}),
        (below, points - 1, 0.55, 1.0, {"color": FAINT}),
    ):
        axis.annotate(
            shorten(" ".join(text.split()), measured * size, room),
            (0, 1),
            xytext=(-72 * left, height * points),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=size,
            **look,
            **AS_IS,
        )


def log_scale(axis: Any, which: str, write: Any, at: Sequence[float] = ()) -> None:
    """Make one axis of a plot logarithmic, after everything is drawn.

    Args:
        axis: the plot.
        which: ``x`` or ``y``.
        write: turns a number into its text.
        at: what was measured at: numbers stand there, where they do not run into each other.
    """
    getattr(axis, f"set_{which}scale")("log")
    low, high = getattr(axis, f"get_{which}lim")()
    decades = math.log10(high / low)
    side = getattr(axis, f"{which}axis")
    if at:
        side.set_major_locator(FixedLocator(_apart(at, _NEAREST * decades)))
        side.set_minor_locator(NullLocator())
    else:
        between = [1.0] if decades > 2.2 else [1.0, 3.0] if decades > 1.3 else [1.0, 2.0, 5.0]
        side.set_major_locator(LogLocator(subs=between, numticks=12))
        side.set_minor_locator(NullLocator() if decades < 2.2 else LogLocator(subs=range(2, 10)))
        side.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    side.set_major_formatter(FuncFormatter(lambda value, _: write(value)))


def _apart(values: Sequence[float], decades: float) -> list[float]:
    """Keep the first, the last, and what is far enough from all that is kept; round ones first."""
    known = sorted(set(values))
    rest = sorted(known[1:-1], key=lambda value: (not math.log10(value).is_integer(), value))
    kept: list[float] = []
    for value in (known[0], known[-1], *rest):
        if all(abs(math.log10(value / other)) > decades for other in kept):
            kept.append(value)
    return sorted(kept)


def short_number(value: float) -> str:
    """Write a number of things: 0.3, 640, 10,000, 1.2M."""
    for size, letter in _THOUSANDS[:-1]:
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{letter}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def short_error(value: float) -> str:
    """Write an error: 0.1, 1e-3."""
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if 0 < value < 0.0095 else f"{value:.3g}"


def short_time(seconds: float) -> str:
    """Write seconds: 12 ms, 1.5 s."""
    size, unit = next((pair for pair in _TIMES if seconds >= 0.9995 * pair[0]), _TIMES[-1])
    value = seconds / size
    return f"{value:,.0f} {unit}" if value >= 1000 else f"{value:.3g} {unit}"


def short_bytes(value: float) -> str:
    """Write bytes: 12 MB, 1.5 GB; a MB has a million."""
    for size, letter in _THOUSANDS:
        if value >= 0.9995 * size:
            return f"{value / size:.3g} {letter}B"
    return f"{value:.3g} B"


def short_rate(billions: float) -> str:
    """Write billions a second, up to the unit: 98.4 G, 3.35 T."""
    return f"{billions / 1e3:.3g} T" if billions >= 999.5 else f"{billions:.3g} G"


def times(ratio: float) -> str:
    """Write how many times: 0.83 ×, 4.2 ×, 16 ×."""
    digits = 2 if ratio < 2 else 1 if ratio < 10 else 0
    return f"{ratio:,.{digits}f} ×" if ratio >= 0.1 else f"{ratio:.2g} ×"


def percent(share: float) -> str:
    """Write a share: 82 %, 0.4 %."""
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.2g} %"
