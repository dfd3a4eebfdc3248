"""The picture of this project: what is faithful, what is readable, what looks natural."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import textalloc
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.path import Path

from ..data import ImageSpace
from ..errors import JaxbqError
from ..experiment.finished import Run
from .images import check_drawable, draw_image, proportion
from .style import (
    AS_IS,
    BLUE,
    DPI,
    GREEN,
    ORANGE,
    PURPLE,
    SMALLEST,
    WIDTHS,
    axes_at,
    shorten,
    styled,
    text_width,
)

# Mean, and the two ends of its interval.
Estimate = tuple[float, float, float]
Line = Sequence[Sequence[float]]  # its two ends

# Narrower than this the list stands below the plane, inches; the figure is never narrower than the
# second, where names would have no room.
_BESIDE, _NARROWEST = 5.5, 3.0
# Inches: left of the plane for its axis, below for the other, above; a line of signs, of words.
_LEFT, _BELOW, _ABOVE, _SIGNS, _LINE = 0.48, 0.4, 0.04, 0.145, 0.115
# Of the list: a line, the titles over it, the axis below it, what a number, a sign and a gap take.
_ROW, _TITLES, _FOOT, _NUMBER, _SIGN, _GAP = 0.185, 0.18, 0.4, 0.2, 0.15, 0.03
_SCALE = 0.31  # share of the list's width for naturalness
_DISTANCES = (0.03, 0.035, 0.04, 0.045, 0.05, 0.06)  # of numbers from signs; the first that does
_MARK = 0.1  # inches that a sign covers
_ENDS, _UP = (-0.06, 1.1), (-0.06, 1.14)
_SIZE, _SMALL = 7.0, 6.2  # points
_EXPLAINED = (
    "Readability: which share of judges, networks that never saw this one, read what was asked? "
    "Naturalness: the share of real test images that are at least as unusual; of real ones it is "
    "0.5 on average. Signs are means, lines 95 % intervals."
)
_CONTROLS = " Small hollow signs: the same methods on networks that have learnt nothing."
# What can lie across: what it means, and each quadrant with its centre.
ACROSS: Mapping[str, tuple[str, Mapping[str, tuple[float, float]]]] = {
    "fidelity": (
        "Fidelity: does the network answer what was asked? 1 is exactly. ",
        {
            "faithful\nand readable": (0.75, 0.8),
            "readable,\nnot faithful": (0.22, 0.8),
            "faithful,\nnot readable": (0.75, 0.25),
            "neither": (0.22, 0.25),
        },
    ),
    "specificity": (
        "Specificity: how much more does this network answer it than others trained on the same "
        "data? 0 is no more. ",
        {
            "its own\nand readable": (0.75, 0.8),
            "readable, but\nof any network": (0.22, 0.8),
            "its own,\nnot readable": (0.75, 0.25),
            "neither": (0.22, 0.25),
        },
    ),
}


@dataclass(frozen=True, eq=False)
class PlanePoint:
    """A method's place in the plane.

    Args:
        label: its name.
        kind: of the method, like ``transpose``; says which sign it gets.
        across: mean, low and high end of the interval of the score that lies across, as fidelity
            from 0 to 1; None where unknown.
        readability: likewise, the share of judges that accept the image and read what was asked.
        naturalness: likewise, a p-value from 0 to 1.
        images: what it gave for some targets, shape (shown, pixels).
    """

    label: str
    kind: str
    across: Estimate | None
    readability: Estimate | None
    naturalness: Estimate | None = None
    images: Float[np.ndarray, "shown pixels"] | None = None

    @property
    def place(self) -> tuple[float, float] | None:
        """Means across and up; None where one is unknown."""
        if self.across is None or self.readability is None:
            return None
        x, y = self.across[0], self.readability[0]
        return (x, y) if math.isfinite(x) and math.isfinite(y) else None

    @property
    def shown(self) -> Sequence[np.ndarray]:
        """Its images; none where there are none."""
        return () if self.images is None else list(self.images)


class Family(NamedTuple):
    """Methods of one idea, and the sign that they share: marker, its points across, its colour."""

    name: str
    kinds: tuple[str, ...]
    marker: str
    size: float
    colour: str


_ORIGIN = PlanePoint("", "", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
FAMILIES = (
    Family("layers run backwards", ("transpose", "pseudo_inverse"), "o", 6.0, BLUE),
    Family("image searched for", ("preimage", "ascent"), "^", 6.6, ORANGE),
    Family("learned from images", ("decoder", "projected"), "s", 5.4, GREEN),
    Family(
        "taken from the data",
        ("exemplars", "exemplar_mean", "class_mean", "linear_discriminant", "logistic"),
        "D",
        5.0,
        PURPLE,
    ),
    Family("nothing asked", ("grey", "noise"), "X", 6.2, "0.3"),
)
ASKS_NOTHING = ("taken from the data", "nothing asked")
"""Families of methods that do not ask the network for an image."""
_OTHER = Family("another way", (), "P", 6.2, "0")


def family_of(kind: str) -> Family:
    """Find the family of a kind of method."""
    return next((family for family in FAMILIES if kind in family.kinds), _OTHER)


@styled()
def plane_figure(
    points: Sequence[PlanePoint],
    space: ImageSpace,
    *,
    across: str = "fidelity",
    titles: Sequence[str] = (),
    controls: Sequence[PlanePoint] = (),
    width: float | None = None,
    listed: bool = True,
) -> Figure:
    """Draw methods in the plane of a score and readability, and how natural each is.

    Marks of method n, from 1 in the order given, have the gids ``sign-n``, ``whisker-n``,
    ``number-n`` and ``leader-n``.

    Args:
        points: one a method.
        space: of their images.
        across: the score that lies across, one of :data:`ACROSS`.
        titles: what each of a point's images asks for.
        controls: the same methods on networks that have learnt nothing: small and hollow, without
            a number.
        width: inches, 7 by default and at least 3; the list stands beside the plane, or below it
            where that is too narrow.
        listed: whether the list of names, images and naturalness, and what the words mean, are
            drawn too.

    Returns:
        The figure.

    Raises:
        JaxbqError: there is no method, or images cannot be drawn.
    """
    if not points:
        raise JaxbqError("no methods to draw in the plane; give at least one")
    check_drawable(space)
    width = max(width or WIDTHS["page"], _NARROWEST)
    meaning, quadrants = ACROSS[across]
    said = meaning + _EXPLAINED + _CONTROLS * bool(controls)
    if any(text_width(title, 6.5, "bold") > _picture(space) + _GAP for title in titles):
        said, titles = f"{said} Images, from the left: {', '.join(titles)}.", ()
    words = _wrap(said, _SMALL, width - 0.2) if listed else []
    found = {family_of(point.kind) for point in points}
    families = [family for family in (*FAMILIES, _OTHER) if family in found]
    beside = listed and width >= _BESIDE
    long = (_TITLES + _FOOT + _ROW * len(points)) * listed
    wide = (0.53 * width if beside else width - 0.1) - _LEFT
    below = _BELOW + -(-len(families) // 2) * _SIGNS + 0.05
    # Beside a long list the plane grows with it, within reason.
    tall = min(max(0.85 * wide, long - below), 1.2 * wide) if beside else 0.9 * wide
    high = _ABOVE + (max(tall + below, long) if beside else tall + below + long)
    high += 0.06 + _LINE * len(words)
    figure = Figure(figsize=(width, high), dpi=DPI)
    box = (_LEFT, high - _ABOVE - tall, wide, tall)
    axis = axes_at(figure, box, xlim=_ends([*points, *controls]), ylim=_UP, label="plane")
    _draw_frame(axis, across, families, below / tall)
    _draw_plane(axis, points, controls, quadrants)
    if listed:
        corner = (_LEFT + wide + 0.18, 0.0) if beside else (0.05, tall + below)
        room = (corner[0], high - _ABOVE - corner[1] - long, width - corner[0], long)
        _draw_list(figure, room, points, space, titles)
    for n, line in enumerate(reversed(words)):
        look: Any = {"fontsize": _SMALL, "color": "0.3", **AS_IS}
        figure.text(0.1 / width, (0.06 + _LINE * n) / high, line, **look)
    return figure


def points_of(run: Run, shown: Sequence[int] = (), across: str = "fidelity") -> list[PlanePoint]:
    """Place the methods of a run, each with its best images for some targets.

    Args:
        run: that is finished.
        shown: numbers of the targets whose images are shown.
        across: the score that lies across.

    Raises:
        JaxbqError: a file of the run is damaged or of an older version.
    """
    return [
        PlanePoint(
            method,
            result.method.kind,  # type: ignore[attr-defined]
            found[across][:3],
            found["readability"][:3],
            found["naturalness"][:3],
            result.images[list(shown), 0],
        )
        for (method, found), result in zip(run.intervals().items(), run.first, strict=True)
    ]


def _ends(points: Sequence[PlanePoint]) -> tuple[float, float]:
    """Find the ends of the axis across: below 0 and above 1 only where something is there."""
    places = [point.place[0] for point in (*points, _ORIGIN) if point.place is not None]
    low, high = min(places), max(places)
    return (
        math.floor(10 * low - 0.6) / 10 if low < _ENDS[0] else _ENDS[0],
        math.ceil(10 * high + 0.6) / 10 if high > 1 else _ENDS[1],
    )


def _dress(axis: Any) -> None:
    """Draw axes thin and grey."""
    axis.tick_params(labelsize=_SIZE, length=2.5, color="0.4")
    axis.spines[:].set_color("0.4")


def _draw_frame(axis: Any, across: str, families: Sequence[Family], below: float) -> None:
    """Draw the axes of the plane and, under them, what the signs mean."""
    ends = axis.get_xlim()
    look: Any = {"color": "0.88", "linewidth": 0.8, "zorder": 0, "clip_on": False}
    axis.plot((0.5, 0.5), _UP, **look)
    axis.plot(ends, (0.5, 0.5), **look)
    axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axis.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    _dress(axis)
    axis.set_xlabel(across, fontweight="bold", labelpad=1)
    axis.set_ylabel("readability", fontweight="bold", labelpad=2.5)
    signs = [
        Line2D([], [], color=f.colour, marker=f.marker, ms=0.85 * f.size, ls="none", mew=0)
        for f in families
    ]
    look = {"ncols": 2, "fontsize": 6.5, "handletextpad": 0.1, "borderpad": 0, "labelspacing": 0.4}
    names = [family.name for family in families]
    axis.legend(signs, names, loc="lower left", bbox_to_anchor=(-0.06, -below), **look)


def _draw_plane(
    axis: Any,
    points: Sequence[PlanePoint],
    controls: Sequence[PlanePoint],
    quadrants: Mapping[str, tuple[float, float]],
) -> None:
    for control in controls:
        if control.place is not None:
            look: Any = {"markersize": 3.5, "markerfacecolor": "none", "markeredgewidth": 0.7}
            look |= {"markeredgecolor": "0.45", "zorder": 2, "clip_on": False, "gid": "control"}
            axis.plot(*control.place, family_of(control.kind).marker, **look)
    numbered = {n: point for n, point in enumerate(points, 1) if point.place is not None}
    if not numbered:
        return
    taken = [part for n, point in numbered.items() for part in _draw_mark(axis, n, point)]
    shown = np.array([p.place for p in (*numbered.values(), *controls) if p.place is not None])
    # What a sign covers, as a cross.
    wide, high = 0.5 * _MARK * np.array([np.ptp(axis.get_xlim()), np.ptp(_UP)])
    wide, high = (wide, high) / (axis.get_position().size * axis.figure.get_size_inches())
    for x, y in shown:
        taken += [((x - wide, y), (x + wide, y)), ((x, y - high), (x, y + high))]
    texts, leaders = _number(axis, numbered, shown, taken)
    for n, text, leader in zip(numbered, texts, leaders, strict=True):
        text.set_gid(f"number-{n}")
        if leader is not None:
            leader.set_gid(f"leader-{n}")
            taken.append(leader.get_xydata().tolist())
        (left, low), (right, high) = axis.transData.inverted().transform(text.get_window_extent())
        taken += [((left, low), (right, high)), ((left, high), (right, low))]
    _say_quadrants(axis, quadrants, shown, taken)


def _draw_mark(axis: Any, n: int, point: PlanePoint) -> list[Line]:
    """Draw a point at its means, and the whiskers of its intervals, which are returned."""
    assert point.place is not None
    assert point.across is not None
    assert point.readability is not None
    (x, y), family = point.place, family_of(point.kind)
    (_, left, right), (_, low, high) = point.across, point.readability
    line: Any = {"color": family.colour, "linewidth": 0.9, "alpha": 0.5, "zorder": 1}
    across, up = (left, right, math.nan, x, x), (y, y, math.nan, low, high)
    axis.plot(across, up, gid=f"whisker-{n}", clip_on=False, **line)
    look: Any = {"markersize": family.size, "markeredgecolor": "white", "markeredgewidth": 0.6}
    look |= {"zorder": 3, "clip_on": False, "gid": f"sign-{n}", "markerfacecolor": family.colour}
    axis.plot([x], [y], family.marker, **look)
    whiskers = ((left, y), (right, y)), ((x, low), (x, high))
    return [whisker for whisker in whiskers if np.isfinite(whisker).all()]


def _number(
    axis: Any, numbered: Mapping[int, PlanePoint], points: np.ndarray, taken: Sequence[Line]
) -> tuple[Sequence[Any], Sequence[Any]]:
    """Write the numbers; textalloc does not see that a line crosses a text that was there before.

    So several distances from the signs are tried, for the one with the fewest crossings.
    """
    places = {str(n): point.place for n, point in numbered.items()}
    best: tuple[Sequence[Any], Sequence[Any]] = ((), ())
    fewest = math.inf
    for distance in _DISTANCES:
        found = _allocate(axis, places, points, taken, textsize=_SIZE, min_distance=distance)
        boxes = [text.get_window_extent().padded(-1, -3) for text in found[0]]
        crossed = sum(
            Path(axis.transData.transform(leader.get_xydata())).intersects_bbox(box, False)
            for n, leader in enumerate(found[1])
            for k, box in enumerate(boxes)
            if leader is not None and k != n
        )
        worse = found
        if crossed < fewest:
            fewest, worse, best = crossed, best, found
        for artist in filter(None, (*worse[0], *worse[1])):
            artist.remove()
        if not fewest:
            break
    return best


def _allocate(
    axis: Any,
    texts: Mapping[str, Any],
    points: Float[np.ndarray, "m 2"],
    taken: Sequence[Line],
    **more: Any,
) -> tuple[Sequence[Any], Sequence[Any]]:
    """Write texts beside their places, where they cover no point, line or each other if possible.

    Returns:
        The texts, and the lines that lead from them to their places.
    """
    options: Any = {
        "fontweight": "bold",
        "max_distance": 0.3,
        "margin": 0.01,
        "nbr_candidates": 600,
        "linecolor": "0.4",
        "linewidth": 0.6,
        "avoid_label_lines_overlap": True,
        "avoid_crossing_label_lines": True,
        "plot_kwargs": {"zorder": 1.5, "clip_on": False},
        "xlims": axis.get_xlim(),
        "ylims": _UP,
    }
    x, y = np.transpose(list(texts.values()))
    lines: Any = dict(zip(("x_lines", "y_lines"), np.transpose(taken, (2, 0, 1)), strict=True))
    scatter: Any = {"x_scatter": points[:, 0], "y_scatter": points[:, 1]}
    _, _, written, leaders = textalloc.allocate(
        axis, x, y, list(texts), **scatter, **lines, **(options | more)
    )
    return written, leaders


def _say_quadrants(
    axis: Any,
    quadrants: Mapping[str, tuple[float, float]],
    points: Float[np.ndarray, "m 2"],
    taken: Sequence[Line],
) -> None:
    """Write what each quadrant means into it, where nothing stands."""
    look: Any = {"draw_lines": False, "draw_all": False, "textcolor": "0.72", "min_distance": 0.001}
    look |= {"linespacing": 1.1, "zorder": 0.5, "max_distance": 0.15, "auto_ha": False}
    look |= {"avoid_label_lines_overlap": False, "avoid_crossing_label_lines": False}
    written, _ = _allocate(axis, quadrants, points, taken, textsize=8, **look)
    for text in filter(None, written):
        text.set_gid(f"quadrant-{'-'.join(text.get_text().split())}")


def _draw_list(
    figure: Figure,
    box: tuple[float, float, float, float],
    points: Sequence[PlanePoint],
    space: ImageSpace,
    titles: Sequence[str],
) -> None:
    """Draw number, sign, images, name and naturalness of every method into a box of inches."""
    wide, tall, picture = box[2] - 0.17, box[3], _picture(space)
    page = axes_at(figure, box)
    start = wide - _SCALE * box[2]
    first, step = _NUMBER + _SIGN, picture + _GAP
    columns = min(int((start - first - 0.7) / step), max(len(point.shown) for point in points))
    names = first + columns * step + 0.05
    bar = (box[0] + start, box[1] + _FOOT, wide - start, tall - _FOOT)
    axis = axes_at(figure, bar, xlim=(0, 1), ylim=(_FOOT, tall), label="list", zorder=2)
    axis.axvline(0.5, color="0.85", linewidth=0.8, zorder=0)
    axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axis.set_yticks([])
    _dress(axis)
    axis.spines["left"].set_visible(False)
    axis.set_xlabel("naturalness", fontweight="bold", labelpad=1)
    for column, title in enumerate(titles[:columns]):
        middle, look = first + column * step + picture / 2, {"ha": "center", **AS_IS}
        page.text(middle, tall - _TITLES + 0.05, title, fontsize=6.5, fontweight="bold", **look)
    page.plot((0, wide), (tall - _TITLES,) * 2, color="0.85", linewidth=0.6)
    for n, point in enumerate(points, 1):
        middle, family = tall - _TITLES - (n - 0.5) * _ROW, family_of(point.kind)
        bold: Any = {"ha": "right", "va": "center_baseline", "fontweight": "bold"}
        page.text(_NUMBER - 0.04, middle, str(n), fontsize=_SIZE, gid=f"row-{n}", **bold)
        sign: Any = {"color": family.colour, "markeredgewidth": 0, "markersize": 0.85 * family.size}
        page.plot(_NUMBER + _SIGN / 2 - 0.02, middle, family.marker, **sign)
        for column, image in enumerate(point.shown[:columns]):
            left, high = first + column * step, picture * proportion(space)
            drawn = draw_image(page, image, space)
            drawn.set_extent((left, left + picture, middle - high / 2, middle + high / 2))
            # Pixels of the picture are few to a pixel of the image: nearest ones would tear it.
            drawn.set_interpolation("antialiased")
            corner = (left, middle - high / 2)
            page.add_patch(Rectangle(corner, picture, high, fill=False, ec="0.7", lw=0.4))
        _write_name(page, point.label, (names, middle), start - 0.08 - names)
        _draw_naturalness(axis, point, middle)
    page.set(xlim=(0, box[2]), ylim=(0, tall), aspect="auto")
    page.set_axis_off()


def _picture(space: ImageSpace) -> float:
    """Say how wide an image of the list is, inches."""
    return (_ROW - 0.015) / max(proportion(space), 1)


def _draw_naturalness(axis: Any, point: PlanePoint, height: float) -> None:
    found, family = point.naturalness, family_of(point.kind)
    if found is None or not math.isfinite(found[0]):
        look: Any = {"fontsize": SMALLEST + 0.5, "color": "0.5", "va": "center_baseline"}
        axis.text(0.03, height, "not measured", **look)
        return
    axis.axhline(height, color="0.93", linewidth=0.5, zorder=0)
    axis.plot(found[1:], (height, height), color=family.colour, linewidth=1.2, alpha=0.5)
    sign: Any = {"markeredgecolor": "white", "markeredgewidth": 0.4, "clip_on": False, "zorder": 3}
    sign |= {"markersize": 0.85 * family.size, "gid": "naturalness"}
    axis.plot([found[0]], [height], family.marker, color=family.colour, **sign)


def _write_name(page: Any, label: str, place: tuple[float, float], room: float) -> None:
    """Write a name on one line, smaller or on two where it is long."""
    text, size = " ".join(label.split()), _SIZE
    while size > SMALLEST + 0.5 and text_width(text, size) > room:
        size -= 0.25
    lines = [text]
    if text_width(text, size) > room:
        size = SMALLEST
        first, *rest = _wrap(text.replace("(", " ("), size, room)
        lines = [first, " ".join(rest)] if rest else [first]
    for n, line in enumerate(lines):
        y = place[1] + 0.088 * ((len(lines) - 1) / 2 - n)
        look: Any = {"va": "center_baseline", "fontsize": size, "gid": "name", **AS_IS}
        page.text(place[0], y, shorten(line, size, room), **look)


def _wrap(text: str, size: float, room: float) -> list[str]:
    """Break a text into lines that fit."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines[-1:] = [longer] if text_width(longer, size) <= room else [lines[-1], word]
    return lines
