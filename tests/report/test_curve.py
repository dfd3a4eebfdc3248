import numpy as np

from jaxbq.report import CurvePoint, curve_figure


def test_the_curve_draws_its_points_in_order():
    points = [
        CurvePoint(float(value), 0.9 - value / 100, 0.1, 10.0 * value, 0.5) for value in (3, 1, 2)
    ]
    left, right = curve_figure("regularisers.0.weight", points, (1.0, 2.0, 3.0)).axes
    np.testing.assert_allclose(left.lines[1].get_xdata(), [10, 20, 30])
    np.testing.assert_allclose(left.lines[1].get_ydata(), [0.89, 0.88, 0.87])
    assert right.get_xlabel() == "regularisers.0.weight"
    assert right.get_xscale() == "linear"
    assert len(right.lines) == 2


def test_wide_ranges_are_logarithmic_and_a_judge_gets_its_line():
    points = [CurvePoint(10.0**n, 0.9, 0.1, 5.0, 0.5, judged=0.7) for n in range(4)]
    _, right = curve_figure("weight", points, (1.0, 2.0, 3.0)).axes
    assert right.get_xscale() == "log"
    assert len(right.lines) == 3
