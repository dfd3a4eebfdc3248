"""Figures of the benchmark, from a small record whose numbers are made up for these tests."""

import copy
import math
from itertools import pairwise

import numpy as np
import pytest

from jaxbq.benchmark.figures import draw
from jaxbq.benchmark.figures.canvas import (
    short_bytes,
    short_error,
    short_number,
    short_rate,
    short_time,
    times,
)
from jaxbq.benchmark.figures.lines import spread
from jaxbq.benchmark.figures.looks import looks_in, peer_looks
from jaxbq.benchmark.figures.memory import memory_figure
from jaxbq.benchmark.figures.ratios import bars_of, ratios_figure
from jaxbq.benchmark.figures.record import read_record
from jaxbq.benchmark.figures.roofline import mark_of, roof, roofline_figure
from jaxbq.benchmark.figures.target import TARGET, reached, target_figure
from jaxbq.benchmark.figures.throughput import throughput_figure
from jaxbq.errors import JaxbqError
from jaxbq.report.style import BLUE, Style

SINGLE = ("training", "book", "ascent", "methods", "target")
FILES = {
    "throughput-batch",
    "throughput-width",
    "throughput-depth",
    "throughput-image",
    "time-to-target",
    "roofline",
    "memory",
    "ratios",
}


def row(contender, median=None, *, peer=True, ratio=None, memory=None):
    spread = (None, None) if median is None else (0.8 * median, 1.5 * median)
    return {
        "contender": contender,
        "peer": peer,
        "seconds": [] if median is None else [spread[0], median, spread[1]],
        "median": median,
        "low": spread[0],
        "high": spread[1],
        "ratio": ratio,
        "quality": {},
        "share_of_peak": None,
        "bytes_peak": memory,
        "note": "" if median else "not installed",
    }


def case(part, x=None, scale=1.0, **changes):
    rows = [
        row("jaxbq", 0.01 * scale, peer=False, ratio=1.0),
        row("PyTorch eager", 0.05 * scale, ratio=5.0),
        row("Lucent"),
    ]
    return {
        "case": f"{part} of $x$, {x}",
        "part": part,
        "x": x,
        "unit": "image-steps",
        "work": 40.0 * scale,
        "flops": 2e8 * scale,
        "bytes": 1e8,
        "rows": rows,
        "curves": [],
    } | changes


CURVES = [
    {"contender": "jaxbq", "seconds": [0.0, 0.1, 0.2, 0.4], "error": [0.9, 0.1, 5e-4, 0.0]},
    {"contender": "PyTorch, Adam", "seconds": [0.5, 5.0], "error": [0.7, 0.02]},
]


@pytest.fixture
def record():
    cases = [case(part, curves=CURVES if part == "target" else []) for part in SINGLE]
    for part in ("batch", "width", "depth", "image"):
        cases += [case(part, x, scale) for x, scale in ((100, 9.0), (1, 1.0), (10, 2.0))]
    for images in (1, 100):
        rows = [
            row("jaxbq", peer=False, memory=1000 * images),
            row("PyTorch eager", memory=10**6 + images),
        ]
        cases.append(case("memory", images, rows=rows, flops=None, bytes=None))
    return {
        "environment": {
            "device": {"platform": "cpu", "kind": "cpu", "count": 1},
            "cores": 2,
            "precision": "float32",
        },
        "peak": {"matrix_gflops": 50.0, "bandwidth_gb_s": 10.0, "seconds": [1.0]},
        "cases": cases,
    }


def only(record, *parts):
    return record | {"cases": [each for each in record["cases"] if each["part"] in parts]}


def drawn(axis):
    """What is plotted as data, by label."""
    return {
        line.get_label(): np.asarray(line.get_xydata())
        for line in axis.lines
        if line.get_label() and not line.get_label().startswith("_")
    }


def words(figure):
    return [text.get_text() for axis in figure.axes for text in axis.texts] + [
        text.get_text() for text in figure.texts
    ]


def test_every_part_has_its_files(record, tmp_path):
    paths = draw(record, tmp_path / "new")
    assert {path.name for path in paths} == {f"{name}.png" for name in FILES}
    assert all(path.stat().st_size > 5000 for path in paths)
    assert set((tmp_path / "new").iterdir()) == set(paths)


@pytest.mark.parametrize(
    ("parts", "files"),
    [
        ((), set()),
        (("memory",), {"memory"}),
        (("batch",), {"throughput-batch", "roofline"}),
        (("target",), {"time-to-target", "roofline", "ratios"}),
    ],
)
def test_what_was_not_measured_is_not_drawn(record, tmp_path, parts, files):
    paths = draw(only(record, *parts), tmp_path, Style(formats=("svg",)))
    assert {path.stem for path in paths} == files


def test_rows_without_seconds_draw_nothing(record, tmp_path):
    for each in record["cases"]:
        each["rows"] = [row("jaxbq", peer=False), row("PyTorch eager")]
    assert [path.stem for path in draw(only(record, "batch", "ascent", "memory"), tmp_path)] == []


@pytest.mark.parametrize("width", [None, 3.4, 7.0])
def test_throughput_is_work_by_median(record, width):
    known = read_record(record)
    figure = throughput_figure(known, "batch", peer_looks(known), width)
    (axis,) = figure.axes
    lines = drawn(axis)
    assert set(lines) == {"jaxbq", "PyTorch eager"}
    np.testing.assert_allclose(lines["jaxbq"], [(1, 4000), (10, 4000), (100, 4000)])
    np.testing.assert_allclose(lines["PyTorch eager"], [(1, 800), (10, 800), (100, 800)])
    bands = [band.get_paths()[0].vertices[:, 1] for band in axis.collections]
    np.testing.assert_allclose(
        [(band.min(), band.max()) for band in bands],
        [(4000 / 1.5, 4000 / 0.8), (800 / 1.5, 800 / 0.8)],
    )
    assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
    assert axis.get_ylabel() == "image-steps a second"
    # 40 image-steps are 0.2 billion operations, of which the machine does 50 a second.
    reference = next(line for line in axis.lines if line.get_linestyle() == ":")
    np.testing.assert_allclose(reference.get_ydata(), 3 * [10_000])
    assert "batch of $x$; cpu, 2 cores, float32" in words(figure)


def test_units_are_not_mixed_in_one_plot(record):
    record = only(record, "depth")
    record["cases"].append(case("depth", 1, unit="images"))
    known = read_record(record)
    figure = throughput_figure(known, "depth", peer_looks(known))
    labels = [axis.get_ylabel() for axis in figure.axes]
    assert labels == ["image-steps a second", "images a second"]
    assert len(drawn(figure.axes[1])["jaxbq"]) == 1


def test_target_curves_and_when_they_arrive(record):
    known = read_record(record)
    figure = target_figure(known, peer_looks(known))
    (axis,) = figure.axes
    lines = drawn(axis)
    # Time 0 has no place on the axis.
    np.testing.assert_array_equal(lines["jaxbq"], [(0.1, 0.1), (0.2, 5e-4), (0.4, 0.0)])
    np.testing.assert_array_equal(lines["PyTorch, Adam"], [(0.5, 0.7), (5.0, 0.02)])
    assert [0.2, 5e-4] in [np.asarray(line.get_xydata())[0].tolist() for line in axis.lines]
    assert any(set(line.get_ydata()) == {TARGET} for line in axis.lines)
    said = words(figure)
    assert "jaxbq\n200 ms" in said
    assert "PyTorch, Adam\nnot reached" in said
    assert "target 1e-3" in said
    curves = known.of("target")[0].curves
    assert [reached(curve) for curve in curves] == [(0.2, 5e-4), None]


def test_roofline_marks_are_where_the_numbers_are(record):
    known = read_record(record)
    mark = mark_of(known.cases[0])
    assert mark.intensity == pytest.approx(2.0)
    assert (mark.gflops, mark.low, mark.high) == pytest.approx((20, 20 / 1.5, 20 / 0.8))
    assert mark_of(known.of("memory")[0]) is None
    assert [roof(known.peak, x) for x in (1, 5, 100)] == [10, 50, 50]
    figure = roofline_figure(known)
    axis = figure.axes[0]
    lines = drawn(axis)
    np.testing.assert_allclose(
        lines["roof"][:, 1], [roof(known.peak, x) for x in lines["roof"][:, 0]]
    )
    np.testing.assert_allclose(lines["batch"], [(2, 20), (4, 20), (18, 20)])
    marks = [container.lines[0].get_xydata()[0] for container in axis.containers]
    np.testing.assert_allclose(marks, len(SINGLE) * [(2, 20)])
    said = words(figure)
    assert {str(n + 1) for n in range(len(SINGLE))} <= set(said)
    assert "Roofline, peak 50 GFLOP/s" in said
    assert said.count("40 %") == len(SINGLE) + 4
    assert said.count("100 %") == len(SINGLE) + 4
    # Five marks in one place: their numbers do not cover each other.
    figure.draw_without_rendering()
    numbers = [text for text in axis.texts if text.get_text().isdecimal()]
    boxes = [np.array(super(type(text), text).get_window_extent()) for text in numbers]
    assert len(boxes) == len(SINGLE)
    for number, one in enumerate(boxes):
        for two in boxes[:number]:
            assert (one[0] >= two[1]).any() or (two[0] >= one[1]).any()


def test_memory_and_what_is_in_proportion(record):
    known = read_record(record)
    (axis,) = memory_figure(known, peer_looks(known)).axes
    lines = drawn(axis)
    np.testing.assert_array_equal(lines["jaxbq"], [(1, 1000), (100, 100_000)])
    np.testing.assert_array_equal(lines["PyTorch eager"], [(1, 10**6 + 1), (100, 10**6 + 100)])
    (x1, y1), (x2, y2) = next(li for li in axis.lines if li.get_linestyle() == ":").get_xydata()
    assert math.log(y2 / y1) / math.log(x2 / x1) == pytest.approx(1)
    assert (x2, y2) == (100, 100_000)


def test_ratios_begin_at_jaxbq(record):
    record["cases"][0]["rows"] += [
        row("SciPy", 0.008, ratio=0.8),
        row("jaxbq, again", 0.02, peer=False, ratio=2.0),
    ]
    known = read_record(record)
    bars = bars_of(known.cases[0])
    assert [(bar.peer, bar.ratio) for bar in bars] == [("PyTorch eager", 5.0), ("SciPy", 0.8)]
    assert (bars[0].low, bars[0].high) == pytest.approx((5 * 0.8 / 1.5, 5 * 1.5 / 0.8))
    figure = ratios_figure(known, peer_looks(known))
    (axis,) = figure.axes
    ends = [(p.get_x(), p.get_x() + p.get_width()) for c in axis.containers for p in c]
    np.testing.assert_allclose(ends, [(1, 5), (0.8, 1), *4 * [(1, 5)]])
    said = words(figure)
    assert said.count("5.0 ×") == len(SINGLE)
    assert said.count("0.80 ×") == 1
    assert "training of $x$, None" in said
    assert "Lucent" not in said
    # Dollars of a title are no formula.
    assert not [t for t in axis.texts if "$" in t.get_text() and t.get_parse_math()]


def test_a_contender_looks_the_same_everywhere(record):
    known = read_record(record)
    peers = peer_looks(known)
    colours = set()
    for figure in (
        throughput_figure(known, "width", peers),
        memory_figure(known, peers),
        target_figure(known, peers),
    ):
        lines = {line.get_label(): line for line in figure.axes[0].lines}
        assert lines["jaxbq"].get_color() == BLUE
        if "PyTorch eager" in lines:
            colours.add(lines["PyTorch eager"].get_color())
    assert colours == {peers["PyTorch eager"].colour}
    assert len({(look.colour, look.marker) for look in peers.values()}) == len(peers) == 3
    # A peer that is missing keeps its colour for when it is there.
    assert read_record(only(record, "batch")).cases[0].contenders["Lucent"]
    assert looks_in(known.cases, peers)["jaxbq"].own


def test_labels_stand_apart():
    sizes = np.full(5, 0.1)
    places = spread(np.array([0.5, 0.5, 0.99, 0.0, 1.0]), sizes)
    np.testing.assert_allclose(places, [0.45, 0.55, 0.85, 0.05, 0.95])
    for low, high in pairwise(sorted(spread(np.random.default_rng(0).random(9), np.full(9, 0.11)))):
        assert high - low >= 0.11 - 1e-9


def test_numbers_are_short():
    assert [short_number(n) for n in (0.3, 640, 10_000, 999_999, 2.5e6)] == [
        "0.3", "640", "10,000", "1M", "2.5M",
    ]  # fmt: skip
    assert [short_time(n) for n in (2e-5, 0.012, 1.5, 2000)] == [
        "20 µs",
        "12 ms",
        "1.5 s",
        "2,000 s",
    ]
    assert [short_bytes(n) for n in (12, 1e6, 3.4e9)] == ["12 B", "1 MB", "3.4 GB"]
    assert [short_error(n) for n in (0, 1e-6, 1e-3, 0.01, 1)] == ["0", "1e-6", "1e-3", "0.01", "1"]
    assert [times(n) for n in (0.02, 0.83, 4.21, 16.2, 1600)] == [
        "0.02 ×", "0.83 ×", "4.2 ×", "16 ×", "1,600 ×",
    ]  # fmt: skip
    assert [short_rate(n) for n in (98.44, 3350)] == ["98.4 G", "3.35 T"]


def damage(record, how):
    record = copy.deepcopy(record)
    how(record)
    return record


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda r: r.clear(), "environment: field required"),
        (lambda r: r.pop("peak"), "peak: field required"),
        (lambda r: r["peak"].update(matrix_gflops=0.0), "peak.matrix_gflops: input should be"),
        (lambda r: r["cases"][1].pop("flops"), r"cases\[1\].flops: field required"),
        (lambda r: r["cases"][1].update(part="batsh"), r"cases\[1\].part: input should be"),
        (lambda r: r["cases"][1].update(work="many"), r"cases\[1\].work: input should be"),
        (lambda r: r["cases"][5].update(x=None), "the part batch needs x"),
        (lambda r: r["cases"].append(r["cases"][5]), "two cases of the part batch have x = 100"),
        (lambda r: r["cases"][0]["rows"][1].update(median=math.nan), r"rows\[1\].median"),
        (lambda r: r["cases"][0]["rows"][1].update(low=9.0), r"rows\[1\]: low, median and high"),
        (lambda r: r["cases"][0]["rows"][1].update(low=None), r"rows\[1\]: low, median and high"),
        (lambda r: r["cases"][0]["rows"].append(row("jaxbq")), "a contender has two rows"),
        (lambda r: r["cases"][4]["curves"][0]["error"].pop(), r"curves\[0\]: a curve needs"),
        (lambda r: r["cases"][4]["curves"][0]["seconds"].reverse(), "a curve go back"),
        (lambda r: r.update(cases=3), "cases: input should be"),
        (lambda r: r.update(environment=object()), "not JSON serializable"),
    ],
)
def test_a_damaged_record_is_one_line(record, tmp_path, how, said):
    damaged = damage(record, how) if said != "not JSON serializable" else record
    if damaged is record:
        how(damaged)
    with pytest.raises(JaxbqError, match=said) as caught:
        draw(damaged, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert "jaxbq bench" in str(caught.value)
    assert not (tmp_path / "out").exists()
