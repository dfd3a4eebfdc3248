"""Runs side by side: what changed against the first of them, with intervals."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import JaxbqError
from ..evaluation.statistics import Comparison, Interval, compare_groups, corrected, interval
from ..experiment import RunFolder
from .comparable import About, check_alike, check_distinct
from .score_values import HEADLINES, SCORES, Values, limits, read_scores, score_values


class Line(NamedTuple):
    """One method of one run by one score.

    Args:
        method: its name.
        score: column of scores.csv.
        run: label of the run.
        value: mean and interval in this run.
        change: this run against the first; None for the first itself.
    """

    method: str
    score: str
    run: str
    value: Interval
    change: Comparison | None


class RunComparison(NamedTuple):
    """Runs side by side.

    Args:
        runs: each with its label; the first is what the others are compared with.
        methods: those that the first shares with any other, and of which any score is known, in
            its order.
        scores: those that are known of any.
        lines: by method, score and run, for the runs that have the method.
    """

    runs: tuple[tuple[str, RunFolder], ...]
    methods: tuple[str, ...]
    scores: tuple[str, ...]
    lines: tuple[Line, ...]


class _Run(NamedTuple):
    label: str
    config: dict[str, Any]
    values: Values


def compare_runs(
    labelled: Sequence[tuple[str, RunFolder]], scores: Sequence[str] = HEADLINES
) -> RunComparison:
    """Compare runs with the first of them, method by method, of the same name.

    Networks are paired where both runs trained them from the same seeds. Where their seeds differ,
    the runs are two groups; where either has one network alone, the units are classes. Restarts
    and controls do not count.

    Args:
        labelled: finished runs, each with a label of its own; see :func:`label_runs`.
        scores: columns of scores.csv.

    Returns:
        Values and differences; p-values with Holm's correction over all that are in it.

    Raises:
        JaxbqError: runs are not comparable, or one is not finished; the message says why.
    """
    folders = [folder for _, folder in labelled]
    check_distinct(folders, [label for label, _ in labelled])
    unknown = [name for name in scores if name not in SCORES]
    if unknown:
        raise JaxbqError(f"no score is called {unknown[0]}; known: {', '.join(SCORES)}")
    first, *others = about = [About.read(folder) for folder in folders]
    for other in others:
        check_alike(first, other)
    runs = [
        _Run(label, one.config, score_values(read_scores(folder)))
        for (label, folder), one in zip(labelled, about, strict=True)
    ]
    for run, folder in zip(runs[1:], folders[1:], strict=True):
        if not run.values.keys() & runs[0].values.keys():
            raise JaxbqError(
                f"{folder.path} has no method in common with {folders[0].path}; "
                "methods are matched by their names in scores.csv"
            )
        _check_shapes(runs[0], run, folders[0].path, folder.path)
    lines = _corrected([line for name in scores for line in _lines(runs, name)])
    shown = tuple(name for name in scores if any(line.score == name for line in lines))
    if not shown:
        raise JaxbqError(f"none of {', '.join(scores)} is known in these runs; choose others")
    methods = tuple(m for m in runs[0].values if any(line.method == m for line in lines))
    ordered = [
        line
        for m in methods
        for n in shown
        for line in lines
        if (line.method, line.score) == (m, n)
    ]
    return RunComparison(tuple(labelled), methods, shown, tuple(ordered))


def _lines(runs: Sequence[_Run], score: str) -> Iterator[Line]:
    first, *others = runs
    for method, own in first.values.items():
        having = [run for run in others if method in run.values]
        tables = [own[score], *(run.values[method][score] for run in having)]
        if not having or all(np.isnan(table).all() for table in tables):
            continue
        within = limits(score)
        for run, table in zip([first, *having], tables, strict=True):
            change = None
            if run is not first:
                change = compare_groups(
                    table,
                    own[score],
                    paired=_same_networks(run, first),
                    names=(run.label, first.label),
                    within=within,
                )
            yield Line(method, score, run.label, interval(table, within=within), change)


def _corrected(lines: list[Line]) -> list[Line]:
    """Correct the p-values of all changes together."""
    changes = iter(corrected([line.change for line in lines if line.change is not None]))
    return [line._replace(change=next(changes)) if line.change else line for line in lines]


def _same_networks(run: _Run, first: _Run) -> bool:
    """Tell whether networks belong together one by one."""
    tables = [next(iter(each.values.values()))["fidelity"] for each in (run, first)]
    return _seeds(run.config) == _seeds(first.config) and len(tables[0]) == len(tables[1])


def _seeds(config: Mapping[str, Any]) -> list[int] | None:
    """List the seeds that networks were trained from; None, which equals itself, for a file's."""
    if "file" in config.get("network", {}):
        return None
    seed, number = config.get("seed", 0), config.get("networks", {}).get("seeds", 1)
    return list(range(seed, seed + number))


def _check_shapes(first: _Run, other: _Run, path: Path, other_path: Path) -> None:
    classes = [next(iter(run.values.values()))["fidelity"].shape[1] for run in (first, other)]
    if classes[0] != classes[1]:
        raise JaxbqError(
            f"{other_path} has scores of {classes[1]} targets, {path} of {classes[0]}; "
            "delete the damaged scores.csv and run its config again"
        )
