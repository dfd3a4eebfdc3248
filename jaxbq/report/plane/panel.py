"""The plane itself: points, whiskers, numbers, a magnified crowd, an image where there is room."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ...data import ImageSpace
from ..style import text_width
from .marks import (
    LINE,
    MARK,
    Frame,
    around,
    lead,
    mark,
    mark_control,
    number_size,
    pairs,
    picture_size,
    sheet,
    show,
    write,
)
from .placement import Board, Box, Placed, Point, emptiest, grouped
from .points import QUADRANTS, Entry, PlanePoint, say_numbers
from .zoom import magnify

_ACROSS, _UP = (-0.05, 1.05), (-0.06, 1.1)
_IMAGE = 0.42  # inches
# Lines and points of a quadrant's words; the first that finds room.
_WORDINGS = ((2, 8.0), (1, 8.0), (2, 6.5), (1, 6.5))


def draw_plane(
    figure: Figure,
    box: Box,
    entries: Sequence[Entry],
    controls: Sequence[PlanePoint],
    space: ImageSpace,
) -> None:
    """Draw the plane into a box of a figure, in inches."""
    frame = Frame(box, _ACROSS, _UP)
    axis, under = frame.axes(figure, zorder=2, label="plane"), sheet(figure, 1)
    _draw_frame(axis, under, frame)
    for control in controls:
        mark_control(axis, control)
    for entry in reversed(entries):
        mark(axis, entry.point)
    known = [entry for entry in entries if entry.point.place is not None]
    places = frame.places(entry.point for entry in known)
    board = Board(box, taken=[*around(places), *around(frame.places(controls))])
    board.avoided += frame.whiskers(entry.point for entry in known)
    if known:
        _name_all(figure, under, frame, known, board, space)
    _say_quadrants(under, board, frame)


def _draw_frame(axis: Any, under: Any, frame: Frame) -> None:
    for ends in (((0.5, _UP[0]), (0.5, _UP[1])), ((_ACROSS[0], 0.5), (_ACROSS[1], 0.5))):
        under.plot(*frame.inches(ends).T, color="0.88", linewidth=0.8, zorder=0)
    axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axis.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axis.tick_params(labelsize=7, length=2.5, color="0.4")
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color("0.4")


def _name_all(
    figure: Figure,
    under: Any,
    frame: Frame,
    known: Sequence[Entry],
    board: Board,
    space: ImageSpace,
) -> None:
    crowd = magnify(figure, frame, known, board, space)
    if crowd:
        x, y = frame.places(entry.point for entry in crowd)[0]
        _name(figure, under, board, (float(x), float(y)), crowd, space)
    rest = [entry for entry in known if entry not in crowd]
    places = frame.places(entry.point for entry in rest)
    for members in sorted(grouped(places, 0.8 * MARK), key=lambda group: (-len(group), group[0])):
        x, y = places[members].mean(axis=0)
        own = [rest[n] for n in members]
        _name(figure, under, board, (float(x), float(y)), own, space)


def _name(
    figure: Figure,
    under: Any,
    board: Board,
    anchor: Point,
    members: Sequence[Entry],
    space: ImageSpace,
) -> None:
    """Write the numbers of a group near it, over the image of its first where there is room."""
    text, first = say_numbers(member.number for member in members), members[0]
    size, picture = number_size(text), picture_size(space, _IMAGE)
    placed = None
    if first.shown:
        whole = (max(picture[0] + 0.02, size[0]), picture[1] + size[1] + 0.03)
        placed = board.place(anchor, whole, MARK * 0.8, 0.45, plainly=True)
    if placed is not None:
        left, bottom, width, height = placed.box
        # The numbers stand on the far side of the image, so that the line leads to the image.
        below = anchor[1] > bottom + height / 2
        corner = left + (width - picture[0]) / 2, bottom + below * (height - picture[1])
        show(figure, first, corner, _IMAGE, space)
        end = [min(max(a, c), c + p) for a, c, p in zip(anchor, corner, picture, strict=True)]
        lead(under, anchor, (end[0], end[1]))
        write(under, (left + width / 2, bottom + (LINE / 2 if below else height - LINE / 2)), text)
        return
    placed = board.place(anchor, size, MARK * 0.55, 1.5)
    if placed is None:  # No room anywhere: on the sign, rather than nowhere.
        placed = Placed((anchor[0] - size[0] / 2, anchor[1] - size[1] / 2, *size), anchor)
    left, bottom, width, height = placed.box
    write(under, (left + width / 2, bottom + height / 2), text)
    lead(under, anchor, placed.end)


def _say_quadrants(under: Any, board: Board, frame: Frame) -> None:
    """Write what each quadrant means into it, where nothing stands."""
    (x0, y0), (x, y), (x1, y1) = pairs(
        frame.inches([(_ACROSS[0], _UP[0]), (0.5, 0.5), (_ACROSS[1], _UP[1])])
    )
    lines_there = [spot for start, end in board.leaders for spot in _along(start, end)]
    for (faithful, readable), words in QUADRANTS.items():
        left, right = (x, x1) if faithful else (x0, x)
        bottom, top = (y, y1) if readable else (y0, y)
        part = (left + 0.06, bottom + 0.06, right - left - 0.12, top - bottom - 0.12)
        centre = ((left + right) / 2, (bottom + top) / 2)
        for lines, size in _WORDINGS:
            text = words if lines == 1 else words.replace(", ", ",\n").replace(" and ", "\nand ")
            wide = max(text_width(line, size, "bold") for line in text.splitlines())
            room = (wide, 0.0175 * size * (1 + text.count("\n")))
            free = emptiest(room, part, [*board.taken, *board.avoided, *lines_there], centre)
            if free is not None:
                board.taken.append(free)
                look: Any = {"ha": "center", "va": "center", "fontweight": "bold", "color": "0.76"}
                look |= {"fontsize": size, "linespacing": 1.1, "gid": "words"}
                under.text(free[0] + free[2] / 2, free[1] + free[3] / 2, text, **look)
                break


def _along(start: Point, end: Point) -> list[Box]:
    """Cover a line with small boxes."""
    return [(x, y, 0.01, 0.01) for x, y in np.linspace(start, end, 16).tolist()]
