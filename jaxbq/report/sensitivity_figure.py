"""The picture of sensitivity: what the pseudo-inverse's options do to its images."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from ..diagnosis import Fidelity
from .style import BLUE, DPI, GREEN, ORANGE, styled

Curve = Sequence[tuple[float, Fidelity, float]]
_NARROW = 5.0  # inches


@styled()
def sensitivity_figure(
    curves: Mapping[str, Mapping[str, Curve]], width: float | None = None
) -> Figure:
    """Draw fidelity and likeness against an option.

    Args:
        curves: by option (margin, ridge, rcond), then by pixel policy, what
            :func:`jaxbq.diagnosis.sensitivity` returned.
        width: inches, 2.8 an option by default. Where that is little, an option is a row.

    Returns:
        Above (or at the left), the mean over targets of the largest output error; below, the mean
        correlation of the images with those of the option's default.
    """
    turned = width is not None and width < _NARROW
    size = (width or 2.8 * len(curves), 1.7 * len(curves) if turned else 4.2)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    if turned:
        grid: Any = figure.subplots(len(curves), 2, sharex="row", sharey="col", squeeze=False).T
    else:
        grid = figure.subplots(2, len(curves), sharex="col", sharey="row", squeeze=False)
    for column, (knob, lines) in enumerate(curves.items()):
        above, below = grid[:, column]
        styles = zip((BLUE, ORANGE, GREEN), ("o-", "s--", "^:"), strict=True)
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
        if turned:
            above.set_xlabel(knob, fontsize=8)
    error = "output error\n(mean of largest)" if turned else "output error (mean of largest)"
    grid[0, 0].set_ylabel(error, fontsize=8)
    grid[1, 0].set_ylabel("correlation with default", fontsize=8)
    grid[0, 0].legend(title="pixel policy", fontsize=7, title_fontsize=7, frameon=False)
    return figure
