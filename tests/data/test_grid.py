import itertools

import numpy as np
import pytest

from jaxbq.data import ImageSpace
from jaxbq.report import curve_figure, image_grid, training_curve
from jaxbq.report.curves import CurvePoint
from jaxbq.report.images import ImageRow
from jaxbq.report.style import SMALLEST
from jaxbq.training import EpochMetrics

DIGITS = [str(n) for n in range(10)]
CLOTHES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker"]
CLOTHES += ["Bag", "Ankle boot"]


def row(label, names, pixels=30):
    images = np.linspace(0, 1, len(names) * pixels).reshape(len(names), pixels)
    return ImageRow(label, images, np.eye(len(names)), names, [True] * len(names))


def texts(figure):
    """All text that is shown, with its box in pixels."""
    figure.draw_without_rendering()
    found = [
        text for axis in figure.axes for text in axis.findobj(lambda a: hasattr(a, "get_text"))
    ]
    return [(t, t.get_window_extent()) for t in found if t.get_text() and t.get_visible()]


def pictures(figure):
    """Where the pictures are, in inches: left, right, below, above."""
    return [picture.get_extent() for picture in figure.axes[0].images]


def said(figure, kind):
    every = figure.axes[0].texts
    return [text.get_text() for text in every if str(text.get_gid()).startswith(kind)]


def test_ten_digits_fit_a_column_with_labels_over_their_rows():
    rows = [row("whitened", DIGITS), row("pseudo_inverse(pixel_policy=clip)", DIGITS)]
    figure = image_grid(rows, ImageSpace((6, 5)), DIGITS, width=3.4)
    assert figure.get_size_inches()[0] == 3.4
    shown = pictures(figure)
    assert len(shown) == 20
    assert len({round(below, 6) for _, _, below, _ in shown}) == 2
    assert said(figure, "answer")[:2] == ["✓ 0\n1.00", "✓ 1\n1.00"]
    named = [text for text, _ in texts(figure) if text.get_text() == rows[1].label]
    assert len(named) == 1
    assert named[0].get_window_extent().y0 >= shown[10][3] * figure.dpi


@pytest.mark.parametrize(("names", "width", "bands"), [(CLOTHES, 3.4, 2), (DIGITS, 7.0, 1)])
def test_no_text_is_small_or_covers_another(names, width, bands):
    rows = [row("decoder(source=outputs)", names), row("class_mean", names)]
    figure = image_grid(rows, ImageSpace((6, 5)), names, width=width)
    found = texts(figure)
    assert min(text.get_fontsize() for text, _ in found) >= SMALLEST
    for (one, a), (other, b) in itertools.combinations(found, 2):
        # Boxes are a pixel or two larger than the ink.
        apart = a.x1 - 2 <= b.x0 or b.x1 - 2 <= a.x0 or a.y1 - 2 <= b.y0 or b.y1 - 2 <= a.y0
        assert apart, (one.get_text(), other.get_text())
    wide, high = figure.bbox.size
    assert all(
        b.x0 >= -1 and b.x1 <= wide + 1 and b.y0 >= -1 and b.y1 <= high + 1 for _, b in found
    )
    assert len({round(below, 6) for _, _, below, _ in pictures(figure)}) == 2 * bands


def test_a_page_has_labels_before_the_rows_and_what_never_fits_is_cut():
    figure = image_grid([row("class_mean", DIGITS)], ImageSpace((6, 5)), DIGITS, width=7.0)
    (left, *_), *_ = pictures(figure)
    (label,) = [text for text, _ in texts(figure) if text.get_text() == "class_mean"]
    assert label.get_window_extent().x1 < left * figure.dpi
    assert left > 0.5
    name = "a class with a name that fits nowhere at all"
    narrow = image_grid([row("x", [name])], ImageSpace((6, 5)), [name], width=1.0)
    assert said(narrow, "title")[0].endswith("…")


def test_colours_have_no_scale_and_the_room_for_it():
    space = ImageSpace((2, 5, 3))
    figure = image_grid([row("x", DIGITS)], space, DIGITS, width=3.4)
    assert len(figure.axes) == 1
    assert len(pictures(figure)) == 10
    assert pictures(figure)[9][1] / 3.4 > 0.95


def test_curves_keep_their_width():
    history = [EpochMetrics(n, 1 / n, 0.5, 0.5, 0.1) for n in range(1, 4)]
    points = [CurvePoint(float(n), 0.9, 0.1, 5.0 * n, 0.5) for n in (1, 2)]
    for width in (3.4, 7.0):
        assert training_curve([history], width).get_size_inches()[0] == width
        assert curve_figure("a.b", points, (1.0, 2.0, 3.0), width).get_size_inches()[0] == width
    assert tuple(training_curve([history]).get_size_inches()) == (7.0, 2.8)
    assert tuple(curve_figure("a.b", points, (1.0, 2.0, 3.0)).get_size_inches()) == (9.0, 3.6)
