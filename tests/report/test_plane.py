import dataclasses
import itertools
import math
import re

import numpy as np
import pytest
from matplotlib.path import Path
from matplotlib.text import Text

from jaxbq.data import ImageSpace
from jaxbq.errors import JaxbqError
from jaxbq.report.plane import PlanePoint, family_of, plane_figure
from jaxbq.report.style import SMALLEST, Style, save_all, to_svg

SPACE = ImageSpace((6, 5))
# Label, kind, fidelity, readability, naturalness.
METHODS = [
    ("transpose", "transpose", 0.3, 0.9, 0),
    ("pseudo_inverse", "pseudo_inverse", 1.0, 0.1, 0),
    ("preimage", "preimage", 1.0, 0.9, 0.01),
    ("whitened", "ascent", 0.996, 1.0, 1),
    ("$x_1$ \\frac ^", "ascent", 0.995, 1.0, 0.99),
    ("decoder(source=outputs)", "decoder", 0.982, 1.0, 0.97),
    ("a label of many words that goes on and on and on (with=options)", "decoder", 0.99, 1.0, 0.96),
    ("class_mean", "class_mean", 0.976, 1.0, 0.98),
    ("exemplars", "exemplars", 0.97, 1.0, 0.58),
    ("grey", "grey", 0.1, 0.1, 0),
    ("noise", "noise", 0.1, 0.1, 0),
    ("mine", "of_my_own", 0.6, 0.4, 0.2),
]


def around(value):
    return value, max(0.0, value - 0.1), min(1.0, value + 0.05)


def point(label, kind, x, y, natural):
    images = np.linspace(0, 1, 60).reshape(2, 30)
    return PlanePoint(label, kind, around(x), around(y), around(natural), images)


POINTS = [point(*each) for each in METHODS]


@pytest.fixture(scope="module")
def page():
    figure = plane_figure(POINTS, SPACE, titles=["a", "b"])
    figure.draw_without_rendering()
    return figure


@pytest.fixture(scope="module")
def column():
    figure = plane_figure(POINTS, SPACE, titles=["a class with a name", "b"], width=3.4)
    figure.draw_without_rendering()
    return figure


def texts(figure, gid=None):
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_text())
    return [
        text
        for text in found
        if gid is None or re.fullmatch(rf"{gid}(-\d+)?", text.get_gid() or "")
    ]


def lines(axis, gid):
    return [line for line in axis.lines if re.fullmatch(rf"{gid}(-\d+)?", line.get_gid() or "")]


def panel(figure, label):
    return next(axis for axis in figure.axes if axis.get_label() == label)


def overlap(a, b, slack=1.0):
    wide = min(a.x1, b.x1) - max(a.x0, b.x0)
    high = min(a.y1, b.y1) - max(a.y0, b.y0)
    return wide > slack and high > slack


def test_points_and_whiskers_are_where_the_numbers_say(page):
    axis = panel(page, "plane")
    at = [tuple(line.get_xydata()[0]) for line in lines(axis, "sign")]
    assert sorted(at) == sorted((x, y) for _, _, x, y, _ in METHODS)
    for n, one in enumerate(POINTS, 1):
        (line,) = [each for each in axis.lines if each.get_gid() == f"whisker-{n}"]
        (x, *across), (y, *up) = one.across, one.readability
        np.testing.assert_array_equal(line.get_xdata(), [*across, math.nan, x, x])
        np.testing.assert_array_equal(line.get_ydata(), [y, y, math.nan, *up])


def test_a_point_stands_where_the_axis_says(page):
    axis = panel(page, "plane")
    line = next(n for n in lines(axis, "sign") if tuple(n.get_xydata()[0]) == (0.3, 0.9))
    x, _ = line.get_transform().transform((0.3, 0.9))
    zero, half = (axis.transData.transform((v, 0))[0] for v in (0, 0.5))
    assert x == pytest.approx(zero + 0.6 * (half - zero))


def test_the_list_names_every_method_once_with_its_naturalness(page):
    names = texts(page, "name")
    said = " ".join(text.get_text() for text in names).replace(" (", "(")
    for label, *_ in METHODS:
        assert label[:30] in said
    assert not any(text.get_parse_math() for text in names)
    axis = panel(page, "list")
    dots = sorted(line.get_xdata()[0] for line in lines(axis, "naturalness"))
    assert dots == sorted(each[-1] for each in METHODS)
    # Each dot is level with the name of its method.
    level = {}
    for line in lines(axis, "naturalness"):
        level[round(axis.transData.transform((0, line.get_ydata()[0]))[1])] = line.get_xdata()[0]
    for label, *_, natural in METHODS[:4]:
        name = next(text for text in names if text.get_text() == label)
        y = name.get_transform().transform(name.get_position())[1]
        assert level[min(level, key=lambda other: abs(other - y))] == natural


@pytest.mark.parametrize("name", ["page", "column"])
def test_every_number_stands_in_the_plane_and_covers_nothing(name, request):
    figure = request.getfixturevalue(name)
    numbers = texts(figure, "number")
    assert [text.get_text() for text in numbers] == [str(n) for n in range(1, 13)]
    boxes = [text.get_window_extent() for text in numbers]
    for a, b in itertools.combinations(boxes, 2):
        assert not overlap(a, b)
    axis = panel(figure, "plane")
    for line in lines(axis, "sign"):
        x, y = axis.transData.transform(line.get_xydata()[0])
        assert not any(b.x0 < x < b.x1 and b.y0 < y < b.y1 for b in boxes)
    # A line leads from each number to its own sign, and across no other number.
    for leader in (line for line in axis.lines if str(line.get_gid()).startswith("leader-")):
        n = int(leader.get_gid().removeprefix("leader-"))
        assert tuple(leader.get_xydata()[1]) == pytest.approx(POINTS[n - 1].place)
        way = Path(axis.transData.transform(leader.get_xydata()))
        others = [box.padded(-1, -3) for k, box in enumerate(boxes, 1) if k != n]
        assert not any(way.intersects_bbox(box, False) for box in others)


@pytest.mark.parametrize(("name", "width"), [("page", 7.0), ("column", 3.4)])
def test_the_width_is_kept_and_all_text_is_in_it_and_legible(name, width, request):
    figure = request.getfixturevalue(name)
    assert figure.get_size_inches()[0] == width
    wide, high = figure.bbox.size
    for text in texts(figure):
        if text.get_visible() and text.axes is not None:
            box = text.get_window_extent()
            assert text.get_fontsize() >= SMALLEST
            assert box.x0 >= 0, text.get_text()
            assert box.x1 <= wide, text.get_text()
            assert box.y0 >= 0, text.get_text()
            assert box.y1 <= high, text.get_text()


def test_beside_or_below(page, column):
    plane, names = panel(page, "plane").get_position(), panel(page, "list").get_position()
    assert names.x0 > plane.x1
    plane, names = panel(column, "plane").get_position(), panel(column, "list").get_position()
    assert names.y1 < plane.y0
    said = " ".join(text.get_text() for text in texts(column))
    assert "Images, from the left: a class with a name, b." in said
    assert plane_figure(POINTS[:1], SPACE, width=1.0).get_size_inches()[0] == 3.0


def test_numbers_go_in_the_order_given_in_the_plane_and_the_list(page):
    for gid in ("number", "row"):
        assert [text.get_text() for text in texts(page, gid)] == [str(n) for n in range(1, 13)]
    words = {text.get_text() for text in texts(page) if "faithful" in text.get_text()}
    assert "readable,\nnot faithful" in words


def test_a_page_finds_the_marks_by_their_names():
    def drawn():
        return to_svg(plane_figure(POINTS, SPACE, width=6.0, listed=False), "plane", "wide", "w")

    svg = drawn()
    for part in ("sign", "whisker", "number"):
        found = re.findall(rf'id="wide-{part}-(\d+)"', svg)
        assert sorted(map(int, found)) == list(range(1, 13))
    ids = re.findall(r' id="([^"]*)"', svg)
    assert len(ids) == len(set(ids))
    assert "a label of many words" not in svg
    assert svg == drawn()


def test_the_same_figure_is_the_same_bytes(tmp_path):
    style = Style("column", ("png", "pdf", "svg"))
    both = [
        save_all(plane_figure(POINTS[:4], SPACE, width=style.inches), tmp_path / name, style)
        for name in "ab"
    ]
    for one, other in zip(*both, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_what_is_not_known_is_left_out_or_said():
    unknown = dataclasses.replace(POINTS[0], readability=None, naturalness=None, images=None)
    open_ended = dataclasses.replace(POINTS[1], across=(0.5, math.nan, math.nan))
    nowhere = dataclasses.replace(POINTS[2], readability=(math.nan,) * 3)
    figure = plane_figure([unknown, open_ended, nowhere], SPACE)
    assert len(lines(panel(figure, "plane"), "sign")) == 1
    assert [text.get_text() for text in texts(figure)].count("not measured") == 1
    with pytest.raises(JaxbqError, match="no methods to draw"):
        plane_figure([], SPACE)
    with pytest.raises(JaxbqError, match="cannot be drawn"):
        plane_figure([unknown], ImageSpace((2, 3, 2)))


def test_controls_are_hollow_and_have_no_number():
    control = dataclasses.replace(POINTS[3], readability=(0.1, 0.0, 0.2))
    figure = plane_figure(POINTS[:2], SPACE, controls=[control])
    (drawn,) = lines(panel(figure, "plane"), "control")
    assert tuple(drawn.get_xydata()[0]) == (0.996, 0.1)
    assert drawn.get_markerfacecolor() == "none"
    assert {text.get_text() for text in texts(figure, "number")} == {"1", "2"}
    assert any("learnt nothing" in text.get_text() for text in texts(figure))


def test_kinds_share_the_sign_of_their_family():
    assert family_of("transpose") == family_of("pseudo_inverse")
    assert family_of("what").name == "another way"
    families = [family_of(each.kind) for each in POINTS]
    assert len({f.marker for f in families}) == len({f.colour for f in families}) == 6


def test_specificity_lies_across_and_may_be_below_0(tmp_path):
    points = [dataclasses.replace(POINTS[0], across=around(0.4)), POINTS[3]]
    below = dataclasses.replace(POINTS[7], across=(-0.23, -0.3, -0.1))
    for more in ([], [below]):
        figure = plane_figure([*points, *more], SPACE, across="specificity")
        axis = panel(figure, "plane")
        assert axis.get_xlabel() == "specificity"
        low, high = axis.get_xlim()
        assert all(low < line.get_xdata()[0] < high for line in lines(axis, "sign"))
        assert (low < -0.2) == bool(more)
    words = " ".join(text.get_text() for text in texts(figure))
    assert "others trained on the same data" in words
    assert "does the network answer" not in words
    save_all(figure, tmp_path / "plane", Style())
