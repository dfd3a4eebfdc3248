"""How much memory the images take, against memory in proportion to them."""

from matplotlib.figure import Figure

from ...report.style import styled
from .canvas import head, log_scale, panels, short_bytes, short_number, text_points
from .lines import REFERENCE, End, draw_line, lines_of, name_lines
from .looks import Look, looks_in
from .record import Case, Record, Row


@styled()
def memory_figure(
    record: Record, peers: dict[str, Look], width: float | None = None
) -> Figure | None:
    """Draw peak memory against images; dotted, what grows as they do.

    Args:
        record: what was measured.
        peers: looks of the peers.
        width: inches.

    Returns:
        The figure; None where no memory was measured.
    """
    cases = record.of("memory")
    lines = lines_of(cases, looks_in(cases, peers), _bytes)
    if not lines:
        return None
    figure, axes = panels(width, 1)
    points = text_points(width)
    axis = axes[0]
    for line in lines:
        draw_line(axis, line, points)
    ends: list[End] = [(line.name, line.look, line.end) for line in lines]
    anchor = next((line for line in lines if line.look.own), lines[0]).points
    if len(anchor) > 1:
        # Through the last of jaxbq's, down to where memory does not depend on images any more.
        last, size = anchor[-1][:2]
        bottom = 0.5 * min(point[1] for line in lines for point in line.points)
        first = max(anchor[0][0], bottom * last / size)
        axis.plot([first, last], [size * first / last, size], **REFERENCE)
        ends.append(("in proportion\nto the images", None, size))
    head(axis, "Memory against images", record.machine(), points)
    axis.set_xlabel("images at once", fontsize=points)
    axis.set_ylabel("peak memory", fontsize=points)
    log_scale(axis, "x", short_number, [case.x for case in cases if case.x])
    log_scale(axis, "y", short_bytes)
    name_lines(figure, axis, ends, width)
    return figure


def _bytes(case: Case, row: Row) -> tuple[float, float, float] | None:
    # A process may not have grown at all beyond what it held; logarithms know no zero.
    return (row.bytes_peak,) * 3 if row.bytes_peak else None
