"""The list beside the plane: number, images, name and naturalness of every method."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from ...data import ImageSpace
from ..drawing import draw_image, proportion
from ..style import AS_IS, SMALLEST, shorten, text_width
from .marks import axes_at, sheet
from .placement import Box, Point
from .points import Entry, Group

# Inches: a line of the list, the words over a group, the axis below all.
_ROW, _WORDS, _FOOT = 0.185, 0.18, 0.4
_NUMBER, _SIGN, _GAP, _RIGHT = 0.2, 0.15, 0.03, 0.17
_SCALE, _NAME = 0.31, 0.7  # share of the width for naturalness; inches of a name, at least
_SIZE, _WORDS_SIZE = 7.0, 6.5


def list_height(groups: Sequence[Group]) -> float:
    """Say how high the list of some groups is, inches."""
    return _FOOT + sum(_WORDS + _ROW * len(group.entries) for group in groups)


def draw_list(
    figure: Figure, box: Box, groups: Sequence[Group], space: ImageSpace, titles: Sequence[str]
) -> None:
    """Draw the list into a box of a figure, in inches.

    Args:
        figure: to draw in.
        box: where.
        groups: the methods.
        space: of the images.
        titles: what each column of images asks for.
    """
    left, right, top = box[0], box[0] + box[2] - _RIGHT, box[1] + box[3]
    entries = [entry for group in groups for entry in group.entries]
    start, picture = right - _SCALE * box[2], picture_width(space)
    room = int((start - left - _NUMBER - _SIGN - _NAME) / (picture + _GAP))
    columns = min(room, max(entry.shown for entry in entries))
    names = left + _NUMBER + _SIGN + columns * (picture + _GAP) + 0.05
    page, bottom = sheet(figure, 1), box[1] + _FOOT
    axis = axes_at(figure, (start, bottom, right - start, top - bottom), zorder=2, label="list")
    axis.set(xlim=(0, 100), ylim=(0, top - bottom), facecolor="none")
    _draw_scale(axis)
    if any(entry.point.naturally is not None for entry in entries):
        axis.axvline(50, color="0.85", linewidth=0.8, zorder=0)
    for column, title in enumerate(titles[:columns]):
        middle = left + _NUMBER + _SIGN + column * (picture + _GAP) + picture / 2
        look: Any = {"ha": "center", "va": "baseline", "fontweight": "bold"}
        page.text(middle, top - _WORDS + 0.05, title, fontsize=_WORDS_SIZE, **look, **AS_IS)
    line = top
    for group in groups:
        line -= _WORDS
        grey: Any = {"fontsize": _WORDS_SIZE, "color": "0.4", "fontstyle": "italic"}
        page.text(names, line + 0.05, group.words, **grey)
        page.plot((left, right), (line, line), color="0.85", linewidth=0.6)
        for entry in group.entries:
            middle = line - _ROW / 2
            _draw_sign(page, entry, (left, middle))
            corner = (left + _NUMBER + _SIGN, middle)
            images = () if entry.point.images is None else entry.point.images[:columns]
            _draw_images(figure, images, corner, picture, space)
            _write_name(page, entry.point.label, (names, middle), start - 0.08 - names)
            _draw_naturalness(axis, entry, middle - bottom)
            line -= _ROW


def _draw_scale(axis: Any) -> None:
    axis.set_xticks([0, 50, 100], ["0", "50", "100 %"])
    axis.set_yticks([])
    axis.tick_params(labelsize=7, length=2.5, color="0.4")
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color("0.4")
    axis.set_xlabel("naturalness", fontsize=8, fontweight="bold", labelpad=1)


def picture_width(space: ImageSpace) -> float:
    """Say how wide an image of the list is, inches."""
    return (_ROW - 0.015) / max(proportion(space), 1)


def title_fits(title: str, space: ImageSpace) -> bool:
    """Say whether a column of images is wide enough for its title."""
    return text_width(title, _WORDS_SIZE, "bold") <= picture_width(space) + _GAP


def _draw_sign(page: Any, entry: Entry, place: Point) -> None:
    left, middle = place
    look: Any = {"ha": "right", "va": "center_baseline", "fontweight": "bold", "fontsize": _SIZE}
    page.text(left + _NUMBER - 0.04, middle, str(entry.number), gid="row", **look)
    sign: Any = {"color": entry.family.colour, "markeredgewidth": 0}
    sign["markersize"] = 0.85 * entry.family.size
    page.plot(left + _NUMBER + _SIGN / 2 - 0.02, middle, entry.family.marker, **sign)


def _draw_images(
    figure: Figure,
    images: Iterable[Float[np.ndarray, " pixels"]],
    place: Point,
    picture: float,
    space: ImageSpace,
) -> None:
    for column, image in enumerate(images):
        x, high = place[0] + column * (picture + _GAP), picture * proportion(space)
        axis = axes_at(figure, (x, place[1] - high / 2, picture, high), xticks=[], yticks=[])
        # Pixels of the picture are few to a pixel of the image: nearest ones would tear it.
        draw_image(axis, image, space).set_interpolation("antialiased")
        for spine in axis.spines.values():
            spine.set(color="0.7", linewidth=0.4)


def _write_name(page: Any, label: str, place: Point, room: float) -> None:
    """Write a name on one line, smaller or on two where it is long."""
    text, size = " ".join(label.split()), _SIZE
    while size > SMALLEST + 0.5 and text_width(text, size) > room:
        size -= 0.25
    lines = [text]
    if text_width(text, size) > room:
        size = SMALLEST
        lines = [shorten(part, size, room) for part in _halves(text, size, room)]
    for n, line in enumerate(lines):
        y = place[1] + 0.088 * ((len(lines) - 1) / 2 - n)
        page.text(place[0], y, line, va="center_baseline", fontsize=size, gid="name", **AS_IS)


def _halves(text: str, size: float, room: float) -> tuple[str, str]:
    """Break a line before its bracket, else at the last place between words that fits."""
    cuts = [n for n in range(1, len(text)) if text[n - 1] in " ,=" or text[n] == "("]
    fitting = [n for n in cuts if text_width(text[:n].rstrip(), size) <= room]
    bracket = [n for n in fitting if text[n] == "("]
    if not fitting:
        fitting = [max(n for n in range(1, len(text)) if text_width(text[:n], size) <= room)]
    cut = (bracket or fitting)[-1]
    return text[:cut].rstrip(), text[cut:].lstrip()


def _draw_naturalness(axis: Any, entry: Entry, height: float) -> None:
    found, family = entry.point.naturalness, entry.family
    if found is None or entry.point.naturally is None:
        look: Any = {"fontsize": SMALLEST + 0.5, "color": "0.5", "va": "center_baseline"}
        axis.text(3, height, "not measured", **look)
        return
    axis.axhline(height, color="0.93", linewidth=0.5, zorder=0)
    axis.plot(found[1:], (height, height), color=family.colour, linewidth=1.2, alpha=0.5)
    sign: Any = {"markeredgecolor": "white", "markeredgewidth": 0.4, "clip_on": False, "zorder": 3}
    sign |= {"markersize": 0.85 * family.size, "gid": "naturalness"}
    axis.plot([found[0]], [height], family.marker, color=family.colour, **sign)
