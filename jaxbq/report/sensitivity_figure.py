"""The picture of sensitivity: what the pseudo-inverse's options do to its images."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from ..diagnosis import Fidelity
from .figures import BLUE, DPI, ORANGE

Curve = Sequence[tuple[float, Fidelity, float]]
_GREEN = "#009E73"


def sensitivity_figure(curves: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Draw fidelity and likeness against an option.

    Args:
        curves: by option (margin, ridge, rcond), then by pixel policy, what
            :func:`jaxbq.diagnosis.sensitivity` returned.

    Returns:
        Above, the mean over targets of the largest output error; below, the mean correlation of
        the images with those of the option's default.
    """
    figure = Figure(figsize=(2.8 * len(curves), 4.2), dpi=DPI, layout="constrained")
    grid: Any = figure.subplots(2, len(curves), sharex="col", sharey="row", squeeze=False)
    for column, (knob, lines) in enumerate(curves.items()):
        above, below = grid[:, column]
        styles = zip((BLUE, ORANGE, _GREEN), ("o-", "s--", "^:"), strict=True)
        for (policy, curve), (colour, style) in zip(lines.items(), styles, strict=False):
            values = [value for value, _, _ in curve]
            errors = [each.mean_largest_error for _, each, _ in curve]
            look: Any = {"color": colour, "markersize": 3, "linewidth": 1, "label": policy}
            above.plot(values, errors, style, **look)
            below.plot(values, [alike for _, _, alike in curve], style, **look)
        below.set_xscale("log")
        below.set_xlabel(knob, fontsize=8)
        for axis in (above, below):
            axis.grid(alpha=0.3, linewidth=0.5)
            axis.spines[["top", "right"]].set_visible(False)
            axis.tick_params(labelsize=7)
    grid[0, 0].set_ylabel("output error (mean of largest)", fontsize=8)
    grid[1, 0].set_ylabel("correlation with default", fontsize=8)
    grid[0, 0].legend(title="pixel policy", fontsize=7, title_fontsize=7, frameon=False)
    return figure
