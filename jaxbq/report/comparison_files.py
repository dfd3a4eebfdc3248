"""A comparison of runs as files: tables, and a figure a method."""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..evaluation.statistics import Comparison
from ..experiment import RunFolder, locked
from ..experiment.folder import write_csv
from ..runtime.files import clear_leftovers, make_folder
from .comparison import Line, RunComparison
from .effects_figure import Effect, effects_figure
from .style import save_figure
from .table_files import Block, rounded, write_documents, written_effect, written_p

_SIGNIFICANT = 0.05


def comparison_folder(folders: Sequence[RunFolder], out: Path) -> Path:
    """Name a folder for the comparison of these runs, under ``out``."""
    names = [folder.path.resolve().name for folder in folders]
    digest = hashlib.sha256(" ".join(names).encode()).hexdigest()[:8]
    return out / f"{names[0].rpartition('-')[0] or names[0]}-{digest}"


def write_comparison(comparison: RunComparison, where: Path) -> list[Path]:
    """Write a comparison as tables and, for every method, a figure of the differences.

    Args:
        comparison: what :func:`compare_runs` found.
        where: folder; it is made.

    Returns:
        The files: comparison.csv, .md and .tex, and effects-NN.png and .pdf by the method's place.

    Raises:
        JaxbqError: one cannot be written.
    """
    make_folder(where)
    with locked(where, wait=True) as alone:
        if alone:
            clear_leftovers(where)
        paths = _write_tables(comparison, where / "comparison")
        for number, method in enumerate(comparison.methods):
            effects = _effects(comparison, method)
            figure = effects_figure(method, comparison.runs[0][0], effects)
            for suffix in (".png", ".pdf"):
                paths.append(where / f"effects-{number:02d}{suffix}")
                save_figure(figure, paths[-1])
    return paths


def _effects(comparison: RunComparison, method: str) -> dict[str, list[Effect]]:
    """Collect the differences of a method by the scores that are known of it."""
    found: dict[str, list[Effect]] = {}
    for line in comparison.lines:
        if line.method == method and line.change:
            clear = line.change.p_holm < _SIGNIFICANT
            effect = Effect(line.run, line.change.difference, clear)
            found.setdefault(line.score, []).append(effect)
    return found


def _write_tables(comparison: RunComparison, stem: Path) -> list[Path]:
    names = {label: folder.path.resolve().name for label, folder in comparison.runs}
    columns = ["method", "score", "run", "folder", "value", "mean", "low", "high", "number", "unit"]
    columns += ["difference", *(f"difference_{end}" for end in ("mean", "low", "high", "number"))]
    columns += ["difference_unit", "paired", "p", "p_holm", "effect"]
    csv = stem.with_suffix(".csv")
    write_csv(
        csv,
        columns,
        [
            [
                *(line.method, line.score, line.run, names[line.run]),
                *(rounded(line.value), *line.value),
                *_change_cells(line.change),
            ]
            for line in comparison.lines
        ],
    )
    blocks = [
        Block(
            f"{method}: {score}",
            ["run", "value", "difference", "p (Holm)", "effect"],
            [
                [line.run, *shown_cells(line)]
                for line in comparison.lines
                if (line.method, line.score) == (method, score)
            ],
        )
        for method in comparison.methods
        for score in comparison.scores
    ]
    title = f"Runs against {comparison.runs[0][0]}"
    return [csv, *write_documents(stem, title, describe_comparison(comparison), blocks)]


def _change_cells(change: Comparison | None) -> list[Any]:
    if change is None:
        return [""] * 10
    rest = [change.paired, change.p, change.p_holm, change.effect]
    return [rounded(change.difference), *change.difference, *rest]


def shown_cells(line: Line) -> list[str]:
    """Write value, difference, p and effect of a line for a table."""
    if line.change is None:
        return [rounded(line.value), "", "", ""]
    change = line.change
    shown = rounded(change.difference), written_p(change.p_holm), written_effect(change)
    return [rounded(line.value), *shown]


def describe_comparison(comparison: RunComparison) -> str:
    """Say in one line what the numbers are, and of how many."""
    changes = [line.change for line in comparison.lines if line.change]
    tests = sum(not math.isnan(change.p) for change in changes)
    how = {
        (True, "networks"): "networks of the same seeds, paired t-test",
        (False, "networks"): "networks of other seeds, Welch's t-test",
        (True, "classes"): "classes of single networks, paired t-test",
    }
    kinds = dict.fromkeys(how.get((c.paired, c.unit), "") for c in changes)
    said = "; ".join(filter(None, kinds)) or "too few networks for a test"
    return (
        f"Mean and 95 % interval, best image of each target; difference to {comparison.runs[0][0]} "
        f"({said}; p with Holm's correction over all {tests} tests; effect in standard deviations; "
        "each interval is of one difference alone)"
    )
