"""What was measured: the record, its file, and its tables."""

import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from pydantic import NonNegativeFloat, PositiveFloat

from jaxbq import JaxbqError
from jaxbq.experiment.environment import environment
from jaxbq.runtime.cache import version_of
from jaxbq.runtime.devices import Precision

from .options import PartName
from .timing import Contender, Timing

# Parts whose cases differ in one number, x.
SWEEPS = ("target", "batch", "width", "depth", "image")
_PEERS = ("scipy", "torch", "torchvision", "torch-lucent", "scikit-learn")
# What may differ between two commands that fill one record.
_PASSING = ("date", "command", "load")


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Row(_Part):
    """One contender of a case: the seconds of its rounds, none where it could not be timed."""

    contender: str
    peer: bool
    seconds: tuple[PositiveFloat, ...] = ()
    first_call: NonNegativeFloat | None = None
    quality: dict[str, float | None] = {}
    note: str = ""

    @property
    def median(self) -> float | None:
        """Median of the rounds, in seconds."""
        return float(np.median(self.seconds)) if self.seconds else None


class Case(_Part):
    """One piece of work and all who did it; ``x`` is the number that a sweep changes."""

    part: PartName
    title: str
    unit: str
    work: PositiveFloat
    x: PositiveFloat | None = None
    rows: tuple[Row, ...]

    @pydantic.model_validator(mode="after")
    def _check(self) -> "Case":
        if self.part in SWEEPS and self.x is None:
            raise ValueError(f"a case of the part {self.part} needs x")
        names = [row.contender for row in self.rows]
        if len(set(names)) < len(names):
            raise ValueError("a contender has two rows")
        return self

    @property
    def own(self) -> Row | None:
        """The first row of jaxbq's with a time; ratios are to it."""
        return next((row for row in self.rows if not row.peer and row.seconds), None)

    def ratio(self, row: Row) -> float | None:
        """How many times as long as jaxbq a contender takes."""
        own = self.own and self.own.median
        return row.median / own if row.median and own else None


class Record(_Part):
    """All that was measured with one set of options on one machine."""

    environment: dict[str, Any]
    options: dict[str, Any]
    cases: tuple[Case, ...] = ()

    def of(self, part: str) -> tuple[Case, ...]:
        """Cases of a part, by x where it is a sweep."""
        return tuple(sorted((c for c in self.cases if c.part == part), key=lambda c: c.x or 0))

    def machine(self) -> str:
        """Device, cores and precision, in a few words."""
        known, device = self.environment, self.environment["device"]
        # Of a GPU, the host's cores say nothing.
        cores = f"{known['cores']} cores" if device["platform"] == "cpu" else None
        words = (device["kind"], cores, known["precision"])
        return ", ".join(word for word in words if word)


def row_of(contender: Contender, timing: Timing | None = None) -> Row:
    """Put together what was measured of one contender."""
    timing = timing or Timing()
    judged = contender.quality(timing.last) if contender.quality and timing.seconds else {}
    return Row(
        contender=contender.name,
        peer=contender.peer,
        seconds=tuple(timing.seconds),
        first_call=timing.first,
        quality={k: float(v) if np.isfinite(v) else None for k, v in judged.items()},
        note=timing.fault or contender.note,
    )


def environment_of(precision: Precision, command: str) -> dict[str, Any]:
    """Describe what the times depend on: versions, device, cores, and how busy they are."""
    found = environment(precision)
    found["packages"] |= {name: version_of(name) for name in _PEERS}
    return found | {
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command,
    }


def same_machine(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether figures of two environments may stand in one record."""
    return all(one.get(k) == other.get(k) for k in {*one, *other} - set(_PASSING))


def read_record(path: Path) -> Record:
    """Read and check a record.

    Raises:
        JaxbqError: it cannot be read, or is damaged; one line says where.
    """
    try:
        return Record.model_validate_json(path.read_bytes())
    except OSError as fault:
        raise JaxbqError(f"{path}: cannot be read: {fault.strerror}") from None
    except pydantic.ValidationError as faults:
        first = faults.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "as a whole"
        what = first["msg"].removeprefix("Value error, ")
        raise JaxbqError(f"{path}: damaged, {where}: {what}; delete it and measure again") from None


_COLUMNS = (
    *("contender", "seconds", "spread", "× jaxbq", "rate", "first call, s"),
    *("quality", "note"),
)


def table_of(case: Case) -> tuple[list[str], list[list[str]]]:
    """Write a case's rows as text; columns that are empty are left out."""
    lines = [_cells(case, row) for row in case.rows]
    kept = [n for n in range(len(_COLUMNS)) if n == 0 or any(line[n] for line in lines)]
    return [_COLUMNS[n] for n in kept], [[line[n] for n in kept] for line in lines]


def _cells(case: Case, row: Row) -> list[str]:
    median, ratio = row.median, case.ratio(row)
    return [
        row.contender,
        "" if median is None else f"{median:.4g}",
        "" if median is None else f"{min(row.seconds):.3g} to {max(row.seconds):.3g}",
        "" if ratio is None else f"{ratio:.2f}",
        "" if median is None else f"{_number(case.work / median)} {case.unit}/s",
        "" if row.first_call is None else f"{row.first_call:.3g}",
        ", ".join(f"{name} {_number(value)}" for name, value in row.quality.items()),
        row.note,
    ]


def _number(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == round(value) else f"{value:.4g}"


def aligned(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Write a table for a terminal."""
    widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]
    rows = (zip(line, widths, strict=True) for line in (columns, *lines))
    return "\n".join("  ".join(cell.ljust(wide) for cell, wide in row).rstrip() for row in rows)


def markdown(record: Record) -> str:
    """Write a record as Markdown: the machine, then a table a case."""
    about = record.environment
    versions = ", ".join(f"{name} {v}" for name, v in about["packages"].items() if v)
    blocks = [f"{record.machine()}; {versions}; {about['date']}"]
    for case in record.cases:
        columns, lines = table_of(case)
        cells = [[cell.replace("|", "\\|") for cell in line] for line in (columns, *lines)]
        head, *body = ["| " + " | ".join(line) + " |" for line in cells]
        blocks += [f"## {case.title}", "\n".join([head, "|" + "---|" * len(columns), *body])]
    return "\n\n".join(blocks) + "\n"
