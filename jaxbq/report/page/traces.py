"""Tables of the way back through the layers, of analytic methods."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .checked import damaged
from .numbers import UNKNOWN, plain
from .reading import Run

_COLUMNS = (
    "layer",
    "units",
    "rank",
    "condition",
    "inputs found",
    "share outside",
    "residual before",
    "residual after",
    "asked − given",
)


class Layer(NamedTuple):
    """One layer's numbers, in the order of the columns."""

    cells: Sequence[str]


class TargetTrace(NamedTuple):
    """The way back from one target, the output layer first."""

    title: str
    layers: Sequence[Layer]


class TraceTable(NamedTuple):
    """What is known of the way back of a method, for the first network."""

    columns: Sequence[str]
    targets: Sequence[TargetTrace]


def trace_table(run: Run, method: int, titles: Sequence[str]) -> TraceTable | None:
    """Make a method's table; None where it has no trace.

    Raises:
        JaxbqError: the file is damaged.
    """
    found = []
    try:
        for each in run.traces:
            if each["method_number"] == method:
                layers = [_layer(layer) for layer in reversed(each["layers"])]
                found.append(TargetTrace(titles[each["target"]], layers))
    except (KeyError, IndexError, TypeError, ValueError) as fault:
        raise damaged(run.folder.path / "traces.json", fault) from None
    return TraceTable(_COLUMNS, found) if found else None


def _layer(layer: Mapping[str, Any]) -> Layer:
    facts = layer.get("facts") or {}
    wide = [facts.get("fan_in"), facts.get("fan_out")]
    ends = layer.get("found_range")
    share = layer.get("outside_share")
    return Layer(
        (
            f"{layer['number']} ({layer['activation']})",
            f"{wide[0]} → {wide[1]}" if None not in wide else UNKNOWN,
            _number(facts.get("rank")),
            _number(facts.get("condition")),
            f"{_number(ends[0])} to {_number(ends[1])}" if ends else UNKNOWN,
            UNKNOWN if share is None else f"{100 * share:.0f} %",
            _number(layer.get("residual_before")),
            _number(layer.get("residual_after")),
            _number(layer.get("apart")),
        )
    )


def _number(value: Any) -> str:
    return UNKNOWN if value is None else plain(float(value))
