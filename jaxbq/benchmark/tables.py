"""A record as tables: for the terminal, as CSV, and as Markdown."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..runtime.files import write_text

COLUMNS = ("contender", "seconds", "spread", "× jaxbq", "rate", "of peak", "quality", "note")
_CSV = (
    *("part", "case", "x", "unit", "work", "contender", "peer", "median", "low", "high"),
    *("ratio", "first_call", "share_of_peak", "bytes_peak", "quality", "note"),
)


def table_of(case: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Write a case's rows as text; columns that say nothing are left out."""
    lines = [_line(case, row) for row in case["rows"]]
    kept = [n for n in range(len(COLUMNS)) if n == 0 or any(line[n] for line in lines)]
    return [COLUMNS[n] for n in kept], [[line[n] for n in kept] for line in lines]


def _line(case: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    median, share = row["median"], row["share_of_peak"]
    quality = {**row["quality"]}
    if row["bytes_peak"] is not None:
        quality = {"MB": row["bytes_peak"] / 1e6} | quality
    return [
        row["contender"],
        "" if median is None else f"{median:.4g}",
        "" if median is None else f"{row['low']:.3g} to {row['high']:.3g}",
        "" if row["ratio"] is None else f"{row['ratio']:.2f}",
        "" if median is None else f"{_short(case['work'] / median)} {case['unit']}/s",
        "" if share is None else f"{share:.0%}",
        ", ".join(f"{name} {_short(value)}" for name, value in quality.items()),
        row["note"],
    ]


def _short(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == round(value) else f"{value:.4g}"


def markdown(record: Mapping[str, Any]) -> str:
    """Write a record as Markdown, a table a case, the environment above."""
    about, peak = record["environment"], record["peak"]
    versions = ", ".join(f"{k} {v}" for k, v in about["packages"].items() if v)
    lines = [
        f"{about['device']['kind']} ({about['device']['platform']}), {about['cores']} cores, "
        f"{about['precision']}; {versions}; {about['date']}",
    ]
    if peak["matrix_gflops"] and peak["bandwidth_gb_s"]:
        lines.append(
            f"Most that was measured: {peak['matrix_gflops']:.0f} GFLOP/s in products of "
            f"{peak['side']}² matrices, {peak['bandwidth_gb_s']:.1f} GB/s of memory."
        )
    for case in record["cases"]:
        columns, rows = table_of(case)
        lines += [f"## {case['case']}", _markdown_table(columns, rows)]
    return "\n\n".join(lines) + "\n"


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in line] for line in (columns, *rows)]
    head, *body = ["| " + " | ".join(line) + " |" for line in cells]
    return "\n".join([head, "|" + "---|" * len(columns), *body])


def comma_separated(record: Mapping[str, Any]) -> str:
    """Write a record as CSV, one line a contender of a case."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _CSV, lineterminator="\n")
    writer.writeheader()
    for case in record["cases"]:
        for row in case["rows"]:
            quality = "; ".join(f"{k}={v}" for k, v in row["quality"].items())
            whole = {**case, **row, "quality": quality}
            writer.writerow({key: whole[key] for key in _CSV})
    return text.getvalue()


def write_tables(record: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write table.csv and table.md beside a record."""
    texts = {"table.csv": comma_separated(record), "table.md": markdown(record)}
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]
