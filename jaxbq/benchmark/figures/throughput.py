"""How much work a second, along a sweep: of images at once, units, layers or pixels."""

from itertools import takewhile

from matplotlib.figure import Figure

from ...report.style import styled
from .canvas import head, log_scale, panels, short_number, text_points
from .lines import REFERENCE, End, draw_line, lines_of, name_lines
from .looks import Look, looks_in
from .record import Case, Record, Row

_SWEPT = {
    "batch": ("Throughput against batch size", "images at once"),
    "width": ("Throughput against width", "units in a layer"),
    "depth": ("Throughput against depth", "layers"),
    "image": ("Throughput against image size", "pixels in an image"),
}
PARTS = tuple(_SWEPT)
# A limit far above everything would press what was measured together.
_SHOWN = 30.0


@styled()
def throughput_figure(
    record: Record, part: str, peers: dict[str, Look], width: float | None = None
) -> Figure | None:
    """Draw work a second with a line a contender, bands from the slowest round to the fastest.

    Where a case says its operations, a dotted line is what the machine's matrix peak would do.

    Args:
        record: what was measured.
        part: batch, width, depth or image.
        peers: looks of the peers.
        width: inches.

    Returns:
        One plot a unit of work; None where nothing was measured.
    """
    cases = [case for case in record.of(part) if any(row.seconds for row in case.rows)]
    units = list(dict.fromkeys(case.unit for case in cases))
    if not units:
        return None
    figure, axes = panels(width, len(units))
    points = text_points(width)
    looks = looks_in(cases, peers)
    for axis, unit in zip(axes, units, strict=True):
        chosen = [case for case in cases if case.unit == unit]
        lines = lines_of(chosen, looks, _rate)
        for line in lines:
            draw_line(axis, line, points)
        ends: list[End] = [(line.name, line.look, line.end) for line in lines]
        most = _limit(chosen, record.peak.matrix_gflops * 1e9) if record.peak else []
        if most and most[-1][1] < _SHOWN * max(point[1] for li in lines for point in li.points):
            axis.plot(*zip(*most, strict=True), **REFERENCE)
            ends.append(("matrix peak", None, most[-1][1]))
        title, label = _SWEPT[part]
        head(axis, title, _subject(chosen, record.machine()), points)
        axis.set_xlabel(label, fontsize=points)
        axis.set_ylabel(f"{unit} a second", fontsize=points, parse_math=False)
        log_scale(axis, "x", short_number, [case.x for case in chosen if case.x])
        log_scale(axis, "y", short_number)
        name_lines(figure, axis, ends, width)
    return figure


def _rate(case: Case, row: Row) -> tuple[float, float, float] | None:
    if row.seconds is None:
        return None
    median, low, high = row.seconds
    return case.work / median, case.work / high, case.work / low


def _limit(cases: list[Case], peak: float) -> list[tuple[float, float]]:
    """Say what the peak allows at every x, in units of work a second."""
    return [(case.x, case.work * peak / case.flops) for case in cases if case.x and case.flops]


def _subject(cases: list[Case], machine: str) -> str:
    """Say what was measured in all cases, as far as their titles do, and on what."""
    first, *others = [case.title.split(", ") for case in cases]
    common = [phrase for phrase in first if all(phrase in other for other in others)]
    if first[0] not in common:
        heads = zip(first[0].split(), *(other[0].split() for other in others), strict=False)
        common.insert(0, " ".join(same[0] for same in takewhile(lambda w: len(set(w)) == 1, heads)))
    subject = ", ".join(phrase for phrase in common if phrase)
    return "; ".join(part for part in (subject, machine) if part)
