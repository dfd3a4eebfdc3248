"""The whole figure: the plane, the signs, the list, and what the words mean."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from ...data import ImageSpace
from ...errors import JaxbqError
from ..drawing import check_drawable
from ..style import AS_IS, DPI, WIDTHS, styled, text_width
from .marks import sheet
from .panel import draw_plane
from .placement import Box, Point
from .points import Family, PlanePoint, arrange, families_of
from .rows import draw_list, list_height, title_fits

# Narrower than this the list stands below the plane, inches.
_BESIDE = 5.5
_NARROWEST = 3.0
# Inches: left of the plane for its axis, below it for the other, above it, a line of signs, a line
# of the words below all.
_LEFT, _BELOW, _ABOVE, _SIGNS, _LINE = 0.44, 0.36, 0.04, 0.145, 0.115
_SIZE, _SMALL = 6.5, 6.2
_EXPLAINED = (
    "Fidelity: does the network answer what was asked? 1 is exactly. Readability: which share of "
    "judges, networks that never saw this one, read what was asked? Naturalness: how near the "
    "data, as a percentile among real test images, so 50 % is like a typical one. "
    "Signs are means, lines 95 % intervals."
)
_CONTROLS = " Small hollow signs: the same methods on networks that have learnt nothing."


@styled()
def plane_figure(
    points: Sequence[PlanePoint],
    space: ImageSpace,
    *,
    titles: Sequence[str] = (),
    controls: Sequence[PlanePoint] = (),
    width: float | None = None,
) -> Figure:
    """Draw methods in the plane of fidelity and readability, and how natural each is.

    Args:
        points: one a method, in any order; those of one quadrant get numbers that follow.
        space: of their images.
        titles: what each of a point's images asks for.
        controls: the same methods on networks that have learnt nothing: small and hollow, without
            a number.
        width: inches, 7 by default; the list stands beside the plane, or below it where that is
            too narrow. It is never narrower than 3, where names would have no room.

    Returns:
        The figure.

    Raises:
        JaxbqError: there is no method, or images cannot be drawn.
    """
    if not points:
        raise JaxbqError("no methods to draw in the plane; give at least one")
    check_drawable(space)
    width = max(width or WIDTHS["page"], _NARROWEST)
    groups, families = arrange(points), families_of(points)
    said = _EXPLAINED + _CONTROLS * bool(controls)
    if not all(title_fits(title, space) for title in titles):
        said, titles = f"{said} Images, from the left: {', '.join(titles)}.", ()
    words = _wrap(said, _SMALL, width - 0.2)
    beside, long = width >= _BESIDE, list_height(groups)
    across = (0.53 * width if beside else width - 0.1) - _LEFT
    signs = -(-len(families) // 2) * _SIGNS
    # Beside a long list the plane grows with it, within reason.
    tall = min(max(0.85 * across, long - _BELOW - signs), 1.2 * across) if beside else across
    left = tall + _BELOW + signs
    high = _ABOVE + (max(left, long) if beside else left + 0.15 + long) + 0.12 + _LINE * len(words)
    figure = Figure(figsize=(width, high), dpi=DPI)
    box = (_LEFT, high - _ABOVE - tall, across, tall)
    draw_plane(figure, box, [entry for group in groups for entry in group.entries], controls, space)
    page = sheet(figure, 1)
    _say_axes(page, box)
    _say_signs(page, families, (0.12, box[1] - _BELOW), 0.5 * (across + _LEFT))
    corner = (_LEFT + across + 0.18, 0.0) if beside else (0.05, left + 0.15)
    place = (corner[0], high - _ABOVE - corner[1] - long, width - corner[0], long)
    draw_list(figure, place, groups, space, titles)
    for n, line in enumerate(reversed(words)):
        page.text(0.1, 0.06 + _LINE * n, line, fontsize=_SMALL, color="0.3", **AS_IS)
    return figure


def _say_axes(page: Any, box: Box) -> None:
    look: Any = {"fontsize": 8, "fontweight": "bold", "ha": "center"}
    page.text(box[0] + box[2] / 2, box[1] - 0.27, "fidelity", va="baseline", **look)
    page.text(0.13, box[1] + box[3] / 2, "readability", va="center", rotation=90, **look)


def _say_signs(page: Any, families: Sequence[Family], corner: Point, step: float) -> None:
    """Explain the signs, in two columns."""
    for n, family in enumerate(families):
        x, y = corner[0] + step * (n % 2), corner[1] - _SIGNS * (n // 2 + 0.5)
        look: Any = {"color": family.colour, "markeredgewidth": 0, "markersize": 0.85 * family.size}
        page.plot(x, y, family.marker, **look)
        page.text(x + 0.1, y, family.name, fontsize=_SIZE, va="center_baseline", color="0.2")


def _wrap(text: str, size: float, room: float) -> list[str]:
    """Break a text into lines that fit."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer, size) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
