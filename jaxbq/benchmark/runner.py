"""Doing a benchmark: whatever its record lacks."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..experiment import locked
from ..runtime.devices import computing
from ..runtime.files import clear_leftovers, make_folder
from .options import Benchmark, PartName
from .parts import PARTS
from .peak import Peak
from .record import environment_of, read_record, same_machine, write_record
from .session import Session
from .tables import write_tables

RECORD = "record.json"


def folder_of(options: Benchmark, out: Path) -> Path:
    """Name the folder of a benchmark by the digest of its options."""
    return out / f"benchmark-{options.digest}"


def run_benchmark(
    options: Benchmark,
    out: Path,
    *,
    say: Callable[[str], None],
    show: Callable[[dict[str, Any]], None],
    command: str | None = None,
    again: bool = False,
    peak: Peak | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Measure every part that the record lacks, and write record and tables after each.

    A record of another machine or other versions is begun anew, since its figures could not be
    compared.

    Args:
        options: what is measured.
        out: folder that the benchmark's folder is made in.
        say: is given one line, from time to time.
        show: is given every case as soon as it is measured.
        command: to repeat it with; kept in the record.
        again: measure what is there already, too.
        peak: measures the machine; by default with large matrices.

    Returns:
        The folder and the record.

    Raises:
        JaxbqError: something cannot be measured or written; parts that were finished stay.
    """
    options = options.settled()
    folder = make_folder(folder_of(options, out))
    with computing(options.precision), locked(folder) as alone:
        if alone:
            clear_leftovers(folder)
        about = environment_of(options.precision, command)
        record = read_record(folder / RECORD)
        if record is not None and not same_machine(record["environment"], about):
            say(f"{folder / RECORD}: of another machine or other versions; measured anew")
            record = None
        record = record or {"environment": about, "options": options.resolved(), "cases": []}
        record["peak"] = record.get("peak")
        session = Session(options, peak or Peak(options.dtype), say)
        for part in options.parts:
            if not again and any(case["part"] == part for case in record["cases"]):
                say(f"{part}: measured already; --again measures it anew")
                continue
            cases = list(_cases(part, session, show))
            record["cases"] = _in_order(
                [case for case in record["cases"] if case["part"] != part] + cases
            )
            record["environment"] = about
            record["peak"] = _larger(record["peak"], session.peak.summary())
            write_record(folder / RECORD, record)
            write_tables(record, folder)
    return folder, record


def _cases(
    part: PartName, session: Session, show: Callable[[dict[str, Any]], None]
) -> Iterator[dict[str, Any]]:
    session.peak.measure_memory()
    for case in PARTS[part](session):
        show(case)
        yield case


def _in_order(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(cases, key=lambda case: list(PARTS).index(case["part"]))


def _larger(known: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """Keep the largest rates of all commands that filled a record."""
    if known is None:
        return new
    rates = {
        key: max((peak[key] for peak in (known, new) if peak[key]), default=None)
        for key in ("matrix_gflops", "bandwidth_gb_s")
    }
    return new | rates | {"seconds": known["seconds"] + new["seconds"]}
