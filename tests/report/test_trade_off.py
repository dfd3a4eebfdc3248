import numpy as np
import pytest

from jaxbq.report import save_all
from jaxbq.report.curves import TradeOff, trade_off_figure
from jaxbq.report.style import Style

LINES = [
    TradeOff("whitened, weight", [10.0, 30.0, 60.0], [1.0, 0.9, 0.4], [0.01, 1.0, 100.0]),
    TradeOff("$ridge$", [2.0, 3.0], [0.5, 0.2], [0.1, 1.0]),
    TradeOff("transpose", [8.0], [0.5]),
]


def test_lines_are_where_the_numbers_are(tmp_path):
    figure = trade_off_figure(LINES, 5.0)
    (axis,) = figure.axes
    drawn = {tuple(line.get_xdata()): line for line in axis.lines}
    for line in LINES:
        np.testing.assert_array_equal(drawn[tuple(line.percentile)].get_ydata(), line.fidelity)
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in axis.lines}
    assert len(looks) == 3
    words = [text.get_text() for text in axis.texts]
    assert words == ["0.01", "100", "0.1", "1", "transpose"]
    assert figure.get_size_inches()[0] == pytest.approx(5.0)
    one = save_all(figure, tmp_path / "a", Style(formats=("png", "pdf")))
    two = save_all(trade_off_figure(LINES, 5.0), tmp_path / "b", Style(formats=("png", "pdf")))
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]
