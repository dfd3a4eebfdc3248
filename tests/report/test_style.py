import math
from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

import jaxbq.report
from jaxbq.errors import JaxbqError
from jaxbq.report.style import (
    WIDTHS,
    Style,
    save_all,
    save_figure,
    shorten,
    styled,
    text_width,
    two_plots,
)


@styled()
def drawn(width=2.0):
    figure = Figure(figsize=(width, 1.5))
    axis = figure.subplots()
    axis.plot([0, 1], [-1, 2])
    axis.set_xlabel("✓ a name", parse_math=False)
    return figure


def test_widths_of_papers():
    assert Style().inches is None
    assert Style("column").inches == 3.4 == WIDTHS["column"]
    assert Style("page").inches == 7.0
    assert Style(5.5).inches == 5.5
    assert Style(12).inches == 12.0
    assert (Style().dpi, Style("page").dpi) == (200, 300)


@pytest.mark.parametrize("width", ["wide", "", 0.5, 21, math.nan, -3.0])
def test_other_widths_are_refused(width):
    with pytest.raises(JaxbqError, match=r"figure width .*: use .*natural") as found:
        Style(width)
    assert "\n" not in str(found.value)


def test_other_formats_are_refused():
    with pytest.raises(JaxbqError, match="figure formats gif, bmp: use some of png, pdf, svg"):
        Style(formats=("png", "gif", "bmp"))
    with pytest.raises(JaxbqError, match="figure formats none"):
        Style(formats=())


def test_a_figure_is_the_same_bytes_whoever_draws_it(tmp_path):
    style = Style("column", ("png", "pdf", "svg"))
    first = save_all(drawn(), tmp_path / "a.b", style)
    assert [path.name for path in first] == ["a.b.png", "a.b.pdf", "a.b.svg"]
    own = {"font.size": 30, "axes.facecolor": "red", "pdf.fonttype": 3, "savefig.bbox": "tight"}
    with matplotlib.rc_context(own):
        second = save_all(drawn(), tmp_path / "c", style)
        assert matplotlib.rcParams["font.size"] == 30
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert imread(first[0]).shape[:2] == (450, 600)
    pdf = first[1].read_bytes()
    assert b"CreationDate" not in pdf
    assert b"/FontFile2" in pdf  # the fonts are in it, and as TrueType
    assert b"/Type3" not in pdf


def test_the_check_of_bytes_can_fail(tmp_path):
    save_figure(drawn(2.0), tmp_path / "a.png")
    save_figure(drawn(2.1), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_nothing_global_is_left_changed():
    before = dict(matplotlib.rcParams)
    with styled():
        assert matplotlib.rcParams["pdf.fonttype"] == 42
    with pytest.raises(JaxbqError), styled():
        raise JaxbqError("on the way")
    assert dict(matplotlib.rcParams) == before
    folder = Path(jaxbq.report.__file__).parent
    assert not [path for path in folder.rglob("*.py") if "pyplot" in path.read_text()]


@pytest.mark.parametrize("text", ["whitened", "✓ 3  0.90", "$x_1$ ^ \\frac", "Ankle boot"])
@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_text_is_as_wide_as_it_is_drawn(text, weight):
    figure = Figure(dpi=400)
    drawn_text = figure.text(0, 0, text, fontsize=8, fontweight=weight, parse_math=False)
    figure.draw_without_rendering()
    wide = drawn_text.get_window_extent().width / 400
    assert text_width(text, 8, weight) == pytest.approx(wide, rel=0.03)


def test_long_text_is_cut_to_its_room():
    assert shorten("short", 7, 1.0) == "short"
    cut = shorten("a label that is much too long", 7, 0.8)
    assert cut.endswith("…")
    assert "a label".startswith(cut[:6])
    assert 0.6 < text_width(cut, 7) <= 0.8


def test_two_plots_stand_beside_each_other_where_there_is_room():
    for width, beside in ((7.0, True), (3.4, False)):
        figure, first, second = two_plots(width, 2.0)
        figure.draw_without_rendering()
        assert figure.get_size_inches()[0] == width
        one, other = first.get_position(), second.get_position()
        assert (one.x1 <= other.x0) == beside
        assert (other.y1 <= one.y0) == (not beside)
