"""The forest plot of a comparison: how far every run is from the first, by every score."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from ..evaluation.statistics import Interval
from .style import AS_IS, BLUE, DPI, ORANGE, shorten, styled, text_width

# Inches.
_ROW, _PANEL, _MOST_LABEL, _ABOVE, _BELOW = 0.2, 1.75, 3.2, 0.62, 0.52
_TEXT = 7.5  # points
_GREY = "0.35"
_SIGNS = "▶ higher or ◀ lower, p < 0.05 with Holm's correction   ○ may be chance"


class Effect(NamedTuple):
    """A row of a panel.

    Args:
        run: its label.
        difference: to the first run.
        clear: whether it differs beyond chance.
    """

    run: str
    difference: Interval
    clear: bool


@styled()
def effects_figure(method: str, first: str, effects: Mapping[str, Sequence[Effect]]) -> Figure:
    """Draw differences to the first run, one panel a score and one row a run.

    A filled triangle points to where a clear difference leads, up in blue and down in orange; an
    open grey circle is one that may be chance. Lines are intervals.

    Args:
        method: whose scores they are.
        first: label of the run that all are compared with: the line at zero.
        effects: by score; runs in one order.
    """
    runs = list(dict.fromkeys(each.run for rows in effects.values() for each in rows))
    labels = [shorten(" ".join(run.split()), _TEXT, _MOST_LABEL) for run in runs]
    left = 0.2 + max(text_width(label, _TEXT) for label in labels)
    width = max(left + _PANEL * len(effects), text_width(_SIGNS, _TEXT) + 0.15)
    size = (width + 0.1, _ABOVE + _ROW * len(runs) + _BELOW)
    figure = Figure(figsize=size, dpi=DPI)
    places = {run: len(runs) - 1 - number for number, run in enumerate(runs)}
    for number, (score, rows) in enumerate(effects.items()):
        box = (left + _PANEL * number, _BELOW, _PANEL - 0.15, _ROW * len(runs))
        axis = figure.add_axes(
            (box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1])
        )
        for row in range(0, len(runs), 2):
            axis.axhspan(row - 0.5, row + 0.5, color="0.96", zorder=0)
        axis.axvline(0, color="0.2", linewidth=0.9, zorder=1)
        for each in rows:
            _draw(axis, each, places[each.run])
        axis.set_ylim(-0.5, len(runs) - 0.5)
        axis.set_yticks(range(len(runs)), labels[::-1] if number == 0 else [""] * len(runs))
        for label in axis.get_yticklabels():
            label.set(**AS_IS)
        axis.set_title(score.replace("_", " "), fontsize=_TEXT + 1)
        axis.locator_params(axis="x", nbins=4)
        axis.tick_params(labelsize=_TEXT, length=2)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x", alpha=0.3, linewidth=0.5)
        axis.spines[["top", "right", "left"]].set_visible(False)
    _write(figure, size, method, first)
    return figure


def _draw(axis: Any, effect: Effect, place: float) -> None:
    mean, low, high = effect.difference[:3]
    if math.isnan(mean):
        return
    colour = (BLUE if mean > 0 else ORANGE) if effect.clear else _GREY
    marker = (">" if mean > 0 else "<") if effect.clear else "o"
    if not math.isnan(low):
        axis.plot([low, high], [place, place], color=colour, linewidth=1.3, zorder=2)
    look = {"markersize": 5, "markerfacecolor": colour if effect.clear else "white"}
    axis.plot(mean, place, marker, color=colour, markeredgewidth=1.1, zorder=3, **look)


def _write(figure: Figure, size: tuple[float, float], method: str, first: str) -> None:
    """Write what is drawn above it, and what the signs mean below."""
    room = size[0] - 0.2
    lines = [
        (method, _TEXT + 1.5, size[1] - 0.16),
        (f"difference to {first}, mean and 95 % interval", _TEXT, size[1] - 0.34),
        (_SIGNS, _TEXT, 0.12),
    ]
    for text, points, height in lines:
        shown = shorten(" ".join(text.split()), points, room)
        figure.text(0.1 / size[0], height / size[1], shown, fontsize=points, va="center", **AS_IS)
