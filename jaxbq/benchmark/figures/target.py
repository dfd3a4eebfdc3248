"""How long until all images answer what was asked: error against seconds."""

from typing import Any

from matplotlib.figure import Figure

from ...report.style import styled
from .canvas import (
    FAINT,
    head,
    log_scale,
    panels,
    short_error,
    short_number,
    short_time,
    text_points,
)
from .lines import End, name_lines
from .looks import Look, looks_in
from .record import Case, Curve, Record

TARGET = 1e-3


@styled()
def target_figure(
    record: Record, peers: dict[str, Look], width: float | None = None
) -> Figure | None:
    """Draw error against wall time, a line a contender, a large mark where it is at the target.

    Args:
        record: what was measured.
        peers: looks of the peers.
        width: inches.

    Returns:
        One plot a case; None where there are no curves.
    """
    cases = [case for case in record.of("target") if any(map(_timed, case.curves))]
    if not cases:
        return None
    figure, axes = panels(width, len(cases))
    points = text_points(width)
    for axis, case in zip(axes, cases, strict=True):
        ends: list[End] = []
        looks = looks_in([case], peers)
        for curve in filter(_timed, case.curves):
            look, known = looks[curve.contender], _timed(curve)
            seconds, error = zip(*known, strict=True)
            often = max(len(seconds) // 6, 1)
            axis.plot(
                seconds, error, label=curve.contender, markevery=often, **look.of_line(points)
            )
            when = reached(curve)
            if when is not None:
                there: dict[str, Any] = {"markersize": 1.05 * points, "zorder": 6}
                there |= {} if look.open else {"markeredgecolor": "0.1"}
                axis.plot(*when, **look.of_line(points) | there)
            said = "not reached" if when is None else short_time(when[0])
            ends.append((f"{curve.contender}\n{said}", look, error[-1]))
        axis.axhline(TARGET, color="0.2", linewidth=0.9, linestyle=(0, (6, 3)), zorder=2)
        head(axis, "Time to the target", _below(case, record), points)
        axis.set_xlabel("seconds", fontsize=points)
        axis.set_ylabel("error still left", fontsize=points)
        log_scale(axis, "x", short_number)
        log_scale(axis, "y", short_error)
        axis.annotate(
            f"target {short_error(TARGET)}",
            (0, TARGET),
            xytext=(3, 2.5),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=points - 1,
            color=FAINT,
        )
        name_lines(figure, axis, ends, width)
    return figure


def reached(curve: Curve) -> tuple[float, float] | None:
    """Find the seconds and error of a curve when it is first at the target, None if it never is."""
    return next((pair for pair in _timed(curve) if pair[1] <= TARGET), None)


def _timed(curve: Curve) -> list[tuple[float, float]]:
    """Leave out what is at no time, which a logarithmic axis has no place for."""
    pairs = zip(curve.seconds, curve.error, strict=True)
    return [(when, error) for when, error in pairs if when > 0]


def _below(case: Case, record: Record) -> str:
    return "; ".join(part for part in (case.title, record.machine()) if part)
