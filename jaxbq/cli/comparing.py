"""Commands about finished runs: compare."""

import argparse
from pathlib import Path
from typing import Any


def add_compare(commands: Any) -> None:
    """Add ``jaxbq compare``."""
    compare = commands.add_parser(
        "compare",
        help="set finished runs side by side: differences with intervals",
        description="Compare runs with the first of them, method by method: means with intervals, "
        "differences, tests with Holm's correction, effect sizes. Runs on other data, with other "
        "targets or scored otherwise are refused.",
        epilog="example: jaxbq compare runs/small-1f2e3d4c runs/small-5a6b7c8d --score readability",
    )
    compare.add_argument("first", metavar="RUN", help="run folder that others are compared with")
    compare.add_argument("others", metavar="RUN", nargs="+", help="run folders to compare with it")
    compare.add_argument(
        "--out",
        metavar="DIR",
        help="where tables and figures are written (default: a folder in runs/comparisons)",
    )
    compare.add_argument(
        "--score",
        metavar="NAME",
        action="append",
        default=[],
        help="column of scores.csv, as often as wanted (default: fidelity, readability, "
        "naturalness, transfer)",
    )
    compare.add_argument(
        "--label",
        metavar="TEXT",
        action="append",
        default=[],
        help="what to call a run, once for each in their order (default: what its config has "
        "otherwise than the first's)",
    )
    compare.set_defaults(command=_compare)


def _compare(chosen: argparse.Namespace) -> None:
    from ..console import Terminal
    from ..errors import JaxbqError
    from ..experiment import RunFolder
    from ..report.comparable import label_runs
    from ..report.comparison import compare_runs
    from ..report.comparison_files import (
        comparison_folder,
        describe_comparison,
        shown_cells,
        write_comparison,
    )
    from ..report.score_values import HEADLINES

    folders = [RunFolder(Path(path)) for path in (chosen.first, *chosen.others)]
    labels = chosen.label or label_runs(folders)
    if len(labels) != len(folders):
        raise JaxbqError(
            f"{len(labels)} --label for {len(folders)} runs; give one for each, or none"
        )
    scores = tuple(dict.fromkeys(chosen.score)) or HEADLINES
    comparison = compare_runs(list(zip(labels, folders, strict=True)), scores)
    where = Path(chosen.out) if chosen.out else comparison_folder(folders, Path("runs/comparisons"))
    paths = write_comparison(comparison, where)
    terminal = Terminal()
    terminal.table(
        describe_comparison(comparison),
        ["method", "score", "run", "value", "difference", "p", "effect"],
        [[line.method, line.score, line.run, *shown_cells(line)] for line in comparison.lines],
    )
    for path in paths:
        terminal.say(f"comparison: {path}")
