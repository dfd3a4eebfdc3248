"""The benchmark's record as its figures read it: checked once, at the door."""

import json
from collections.abc import Mapping
from typing import Any, Literal

import pydantic
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from ...errors import JaxbqError

# Parts whose cases differ in one number, x.
SWEEPS = ("batch", "width", "depth", "image", "memory")


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class Row(_Part):
    """One contender of a case: seconds of a call, or none of them where there is no such peer."""

    contender: str
    peer: bool
    median: PositiveFloat | None
    low: PositiveFloat | None
    high: PositiveFloat | None
    ratio: PositiveFloat | None
    bytes_peak: NonNegativeInt | None

    @pydantic.model_validator(mode="after")
    def _check_order(self) -> "Row":
        times = (self.low, self.median, self.high)
        known = [time for time in times if time is not None]
        if len(known) not in (0, 3) or known != sorted(known):
            raise ValueError("low, median and high are not in this order")
        return self

    @property
    def seconds(self) -> tuple[float, float, float] | None:
        """Median, least and most; None where nothing was timed."""
        if self.median is None or self.low is None or self.high is None:
            return None
        return self.median, self.low, self.high


class Curve(_Part):
    """What error a contender had reached after how many seconds."""

    contender: str
    seconds: tuple[NonNegativeFloat, ...]
    error: tuple[NonNegativeFloat, ...]

    @pydantic.model_validator(mode="after")
    def _check_lengths(self) -> "Curve":
        if len(self.seconds) != len(self.error) or not self.seconds:
            raise ValueError("a curve needs as many errors as seconds, and at least one")
        if list(self.seconds) != sorted(self.seconds):
            raise ValueError("the seconds of a curve go back")
        return self


class Case(_Part):
    """What was measured, and by whom."""

    title: str = Field(alias="case")
    part: Literal[
        "training", "book", "ascent", "methods", "target", "batch", "width", "depth", "image",
        "memory",
    ]  # fmt: skip
    x: PositiveFloat | None
    unit: str
    work: PositiveFloat
    flops: PositiveFloat | None
    moved: PositiveFloat | None = Field(alias="bytes")
    rows: tuple[Row, ...]
    curves: tuple[Curve, ...] = ()

    @pydantic.model_validator(mode="after")
    def _check_rows(self) -> "Case":
        if self.part in SWEEPS and self.x is None:
            raise ValueError(f"a case of the part {self.part} needs x")
        names = [row.contender for row in self.rows]
        if len(set(names)) < len(names):
            raise ValueError("a contender has two rows")
        return self

    @property
    def contenders(self) -> dict[str, bool]:
        """All names of rows and curves, and whether each is a peer."""
        curves = {c.contender: not c.contender.startswith("jaxbq") for c in self.curves}
        rows = {row.contender: row.peer for row in self.rows}
        return rows | {name: peer for name, peer in curves.items() if name not in rows}

    @property
    def own(self) -> Row | None:
        """The first row of jaxbq's, which the others are compared with."""
        return next((row for row in self.rows if not row.peer), None)


class Peak(_Part):
    """What the machine can do at most, measured."""

    matrix_gflops: PositiveFloat
    bandwidth_gb_s: PositiveFloat


class Record(_Part):
    """All that one run of the benchmark measured."""

    environment: dict[str, Any]
    peak: Peak | None
    cases: tuple[Case, ...]

    @pydantic.field_validator("peak", mode="before")
    @classmethod
    def _need_both(cls, peak: Any) -> Any:
        """Do without a peak where the parts that were measured have no use for one of its rates."""
        rates = [peak.get(name, 0) for name in Peak.model_fields] if isinstance(peak, dict) else []
        return None if None in rates else peak

    @pydantic.model_validator(mode="after")
    def _check_sweeps(self) -> "Record":
        places = [(case.part, case.unit, case.x) for case in self.cases if case.part in SWEEPS]
        twice = next((place for place in places if places.count(place) > 1), None)
        if twice is not None:
            raise ValueError(f"two cases of the part {twice[0]} have x = {twice[2]:g}")
        return self

    def of(self, part: str) -> tuple[Case, ...]:
        """Pick the cases of a part, by x where it is a sweep."""
        chosen = [case for case in self.cases if case.part == part]
        return tuple(sorted(chosen, key=lambda case: case.x or 0.0))

    def machine(self) -> str:
        """Say in a few words what was measured on: device, cores, precision."""
        known = self.environment
        device, cores = known.get("device") or {}, known.get("cores")
        # Of a GPU, the host's cores say nothing.
        cores = f"{cores} cores" if cores and device.get("platform", "cpu") == "cpu" else None
        several = f"{device['count']} ×" if device.get("count", 1) > 1 else None
        kind = " ".join(word for word in (several, device.get("kind")) if word)
        words = [kind, cores, known.get("precision")]
        return ", ".join(str(word) for word in words if word)


def read_record(record: Mapping[str, Any]) -> Record:
    """Check a record, as it is or would be in ``record.json``.

    Args:
        record: what the benchmark wrote.

    Raises:
        JaxbqError: something is missing in it or damaged.
    """
    try:
        return Record.model_validate_json(json.dumps(record))
    except pydantic.ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        place = where.lstrip(".") or "as a whole"
        reason = f"{place}: {what[:1].lower()}{what[1:]}"
    except (TypeError, ValueError) as fault:
        reason = " ".join(str(fault).split())
    raise JaxbqError(
        f"this benchmark record is damaged, {reason}; measure again with `jaxbq bench`"
    )
