"""Fidelity against naturalness along an option that is swept, one line a method."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from .style import AS_IS, BLUE, DPI, GREEN, ORANGE, PURPLE, styled

_HEIGHT = 0.62  # of the width
_LOOKS = ((BLUE, "o-"), (ORANGE, "s--"), (GREEN, "^-."), (PURPLE, "D:"), ("0.3", "v-"))


@dataclass(frozen=True)
class TradeOff:
    """A method's settings, or a single one, in the plane of fidelity and naturalness.

    Args:
        label: the method.
        naturalness: mean percentile among real test images of each setting.
        fidelity: mean fidelity of each.
        values: of the option that is swept, in the order of the line; empty for a single setting.
    """

    label: str
    naturalness: Sequence[float]
    fidelity: Sequence[float]
    values: Sequence[float] = ()


@styled()
def trade_off_figure(lines: Sequence[TradeOff], width: float | None = None) -> Figure:
    """Draw how fidelity is bought with naturalness: a line a swept method, a cross a single one.

    The first and the last value of an option stand beside the ends of its line.

    Args:
        lines: the methods.
        width: inches; 7 by default.
    """
    width = width or 7.0
    figure = Figure(figsize=(width, width * _HEIGHT), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    swept = [line for line in lines if line.values]
    for number, line in enumerate(swept):
        colour, style = _LOOKS[number % len(_LOOKS)]
        look: Any = {"color": colour, "linewidth": 1.2, "markersize": 4}
        axis.plot(line.naturalness, line.fidelity, style, label=_plain(line.label), **look)
        for end in (0, -1):
            axis.annotate(
                f"{line.values[end]:g}",
                (line.naturalness[end], line.fidelity[end]),
                xytext=(4, 4),
                textcoords="offset points",
                fontsize=6,
                color=colour,
            )
    for line in lines:
        if not line.values:
            axis.plot(line.naturalness, line.fidelity, "x", color="0.2", markersize=5)
            axis.annotate(
                line.label,
                (line.naturalness[0], line.fidelity[0]),
                xytext=(5, -8),
                textcoords="offset points",
                fontsize=6.5,
                **AS_IS,
            )
    axis.set_xlim(-4, 104)
    axis.set_ylim(-0.04, 1.04)
    axis.set_xlabel("naturalness: mean percentile among real test images", fontsize=8)
    axis.set_ylabel("fidelity: 1 − largest output error", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3, linewidth=0.5)
    axis.spines[["top", "right"]].set_visible(False)
    if swept:
        # Below the plot: lines may be anywhere in it.
        columns = 3 if width > 5 else 1
        figure.legend(fontsize=7, frameon=False, loc="outside lower center", ncols=columns)
    return figure


def _plain(label: str) -> str:
    """Escape dollars: a legend knows no other way to say that they are no formula."""
    return label.replace("$", r"\$")
