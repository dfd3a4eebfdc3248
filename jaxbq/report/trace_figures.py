"""Figures of the diagnosis: a trace, and what the options of the pseudo-inverse do."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..diagnosis import Fidelity, LayerTrace, Trace
from .images import draw_image
from .style import AS_IS, BLUE, DPI, GREEN, ORANGE, shorten, styled

_NARROW = 5.0  # inches: in less, an option of the sensitivity is a row
_LOOKS = ((BLUE, "o-"), (ORANGE, "s--"), (GREEN, "^:"))  # of the pixel policies
Curve = Sequence[tuple[float, Fidelity, float]]


@styled()
def trace_figure(trace: Trace, width: float | None = None) -> Figure:
    """Draw a trace, from the target down to the image.

    A row a layer: in blue the activation that the way back asks of it, in orange the one that the
    image gives, units in their own order; beside it the pre-activations, one against the other.
    The last row is the image before and after the policy, pixels in their own order.

    Args:
        trace: what :func:`jaxbq.diagnosis.trace` or ``trace_image`` returned.
        width: inches, 8.5 by default.
    """
    rows, width = len(trace.layers) + 1, width or 8.5
    size = (width, (2.1 if width > _NARROW else 1.7) * rows + 0.5)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    grid: Any = figure.subplots(rows, 2, width_ratios=(3, 1))
    small = 8.0 if width > _NARROW else 6.0
    for line, layer in zip(grid, reversed(trace.layers), strict=False):
        _draw_vectors(line[0], layer, len(trace.layers), small, trace.target is not None)
        _draw_agreement(line[1], layer)
    _draw_pixels(grid[-1], trace, small)
    title, points = f"{trace.method}: {trace.reason}", small + 2
    figure.suptitle(shorten(title, points, width - 0.1), fontsize=points, **AS_IS)
    return figure


def _draw_vectors(axis: Any, layer: LayerTrace, last: int, points: float, note: bool) -> None:
    given: Any = {"color": ORANGE, "marker": "o", "markersize": 3.5, "linewidth": 0.8}
    wanted: Any = {"color": BLUE, "ls": "--", "linewidth": 1.1}
    if len(layer.answered) > 30:
        # Many units: points, which lines through them would hide.
        given |= {"linestyle": "none", "markersize": 2}
        wanted = {"color": BLUE, "marker": "_", "markersize": 4, "ls": "none"}
    axis.plot(layer.answered, label="forward: what the image gives", **given)
    name = "output" if layer.number == last else f"hidden {layer.number}"
    title = f"{name} ({layer.activation})"
    if layer.asked is not None:
        axis.plot(layer.asked, label="backward: what is asked", **wanted)
        title += f": farthest apart {layer.apart:.3g}"
    elif note:
        title += ": nothing is asked of it"
    axis.set_title(title, fontsize=points, loc="left")
    axis.set_xlabel("unit", fontsize=7)
    if layer.number == last:
        axis.legend()


def _draw_agreement(axis: Any, layer: LayerTrace) -> None:
    if layer.asked_z is None:
        axis.set_axis_off()
        return
    axis.plot(layer.asked_z, layer.answered_z, ".", color=BLUE, markersize=3)
    both = np.array([layer.asked_z, layer.answered_z])
    ends = (both.min(), both.max())
    axis.plot(ends, ends, color="0.6", linewidth=0.8)
    axis.set_xlabel("z asked", fontsize=7)
    axis.set_ylabel("z given", fontsize=7)


def _draw_pixels(axes: Any, trace: Trace, points: float) -> None:
    left, right = axes
    first, space = trace.layers[0], trace.space
    dots: Any = {"ls": "none", "marker": ".", "markersize": 2}
    if first.found is not None:
        left.plot(first.found, color=BLUE, label="before the policy", **dots)
        left.plot(trace.image, color=ORANGE, label="after it", **dots)
        outside = f"{first.outside_share:.0%} of the pixels outside the range before the policy"
        left.set_title(outside, fontsize=points, loc="left")
        left.legend()
    else:
        left.plot(trace.image, color=ORANGE, **dots)
        left.set_title("pixels of the image", fontsize=points, loc="left")
    left.axhspan(space.low, space.high, color="0.92", zorder=0)
    left.set_xlabel("pixel", fontsize=7)
    draw_image(right, trace.image, space)
    right.set_title("the image", fontsize=points)


@styled(grid=True)
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
    above, below = grid
    for column, (knob, lines) in enumerate(curves.items()):
        for (policy, curve), (colour, style) in zip(lines.items(), _LOOKS, strict=False):
            values, errors, alike = zip(*curve, strict=True)
            look: Any = {"color": colour, "markersize": 3, "linewidth": 1, "label": policy}
            above[column].plot(values, [each.mean_largest_error for each in errors], style, **look)
            below[column].plot(values, alike, style, **look)
        below[column].set(xscale="log", xlabel=knob)
        if turned:
            above[column].set_xlabel(knob)
    gap = "\n" if turned else " "
    above[0].set_ylabel(f"output error{gap}(mean of largest)")
    below[0].set_ylabel("correlation with default")
    above[0].legend(title="pixel policy", title_fontsize=7)
    return figure
