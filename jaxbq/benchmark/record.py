"""The record of a benchmark: plain data, one JSON file, written whole.

{"environment", "peak", "cases": [{"case", "part", "x", "unit", "work", "flops", "bytes",
"peak_gflops", "rows": […], "curves": […]}]}; a row is what :func:`row_of` makes. ``share_of_peak``
is that of the peak measured while the case ran, ``peak.matrix_gflops`` the largest of the run.
"""

import datetime
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import JaxbqError
from ..experiment.environment import environment
from ..runtime.cache import version_of
from ..runtime.files import write_text
from .timing import Contender, Timing

_PEERS = {"scipy": "scipy", "torch": "torch", "lucent": "torch-lucent", "sklearn": "scikit-learn"}
# What may differ between two commands that fill one record.
_PASSING = ("date", "command", "load")


def environment_of(precision: str, command: str | None = None) -> dict[str, Any]:
    """Describe what the figures depend on: versions, device, cores, and how busy they are."""
    found = environment(precision)
    found["packages"] |= {package: version_of(package) for package in _PEERS.values()}
    return found | {
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command,
    }


def same_machine(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two environments may stand in one record."""

    def lasting(about: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in about.items() if key not in _PASSING}

    return lasting(one) == lasting(other)


def case_of(
    part: str,
    title: str,
    rows: Sequence[dict[str, Any]],
    *,
    unit: str,
    work: float,
    x: int | None = None,
    flops: float | None = None,
    bytes_moved: float | None = None,
    peak: float | None = None,
) -> dict[str, Any]:
    """Put a case together; ratios are to the first row of jaxbq's that has a time."""
    ours = next((r["median"] for r in rows if not r["peer"] and r["median"]), None)
    for row in rows:
        row["ratio"] = row["median"] / ours if row["median"] and ours else None
    return {
        "case": title,
        "part": part,
        "x": x,
        "unit": unit,
        "work": work,
        "flops": flops,
        "bytes": bytes_moved,
        "peak_gflops": peak,
        "rows": list(rows),
        "curves": [],
    }


def row_of(
    contender: Contender,
    timing: Timing | None = None,
    *,
    flops: float | None = None,
    peak: float | None = None,
    bytes_peak: int | None = None,
) -> dict[str, Any]:
    """Say of one contender what was measured, in plain data."""
    timing = timing or Timing()
    seconds = timing.seconds
    median = float(np.median(seconds)) if seconds else None
    quality = contender.quality(timing.last) if seconds or bytes_peak is not None else {}
    share = flops / median / (peak * 1e9) if flops and median and peak else None
    return {
        "contender": contender.name,
        "peer": contender.peer,
        "seconds": seconds,
        "median": median,
        "low": min(seconds, default=None),
        "high": max(seconds, default=None),
        "ratio": None,
        "quality": {name: _finite(value) for name, value in quality.items()},
        "first_call": timing.first,
        "share_of_peak": share,
        "bytes_peak": bytes_peak,
        "note": timing.fault or contender.note,
    }


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record, whole or not at all."""
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_record(path: Path) -> dict[str, Any] | None:
    """Read a record; None where there is none.

    Raises:
        JaxbqError: it is damaged.
    """
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not {"environment", "peak", "cases"} <= set(record):
            raise ValueError("it is no record of a benchmark")
    except (OSError, ValueError) as fault:
        raise JaxbqError(f"{path}: damaged ({fault}); delete it and measure again") from None
    return record
