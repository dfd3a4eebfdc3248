"""The summary tables of a run: every method's scores with intervals, and all pairs of methods."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..evaluation.statistics import Comparison, Interval, compare_pairs, interval
from ..experiment import RunFolder
from ..experiment.folder import read_csv, write_csv
from ..runtime.files import make_folder
from .score_values import (
    COSTS,
    GROUPS,
    HEADLINES,
    Row,
    controls_of,
    cost_values,
    limits,
    read_scores,
    score_values,
)
from .table_files import Block, rounded, write_documents, written_effect, written_p


class MethodSummary(NamedTuple):
    """A method's scores.

    Args:
        method: its name.
        scores: mean and interval by name, in the order of :data:`GROUPS`; of what is not known the
            mean is NaN.
    """

    method: str
    scores: dict[str, Interval]


def summarise(
    rows: Sequence[Row], cost: Sequence[Row], control: str | None = None
) -> list[MethodSummary]:
    """Sum up the scores of trained networks, or those of a control.

    Args:
        rows: of scores.csv. The best image of every target counts, sample 0; restarts are no
            networks.
        cost: of cost.csv.
        control: name of the control network; None for those that were trained.

    Returns:
        One line a method, in the order of the rows.

    Raises:
        JaxbqError: a column is missing or a cell is no number.
    """
    values, costs = score_values(rows, control), cost_values(cost, control)
    nothing = np.full((1, 1), math.nan)
    return [
        MethodSummary(
            method,
            {
                name: interval(
                    costs.get(method, {}).get(name, nothing) if name in COSTS else own[name],
                    within=limits(name),
                )
                for names in GROUPS.values()
                for name in names
            },
        )
        for method, own in values.items()
    ]


def compare_methods(rows: Sequence[Row]) -> dict[str, list[Comparison]]:
    """Compare all pairs of methods by the headline scores that are known.

    Args:
        rows: of scores.csv.

    Returns:
        By score; p-values with Holm's correction over all pairs of one score.
    """
    values = score_values(rows)
    return {
        name: compare_pairs({m: own[name] for m, own in values.items()}, within=limits(name))
        for name in HEADLINES
        if not all(np.isnan(own[name]).all() for own in values.values())
    }


def known_scores(summaries: Sequence[MethodSummary]) -> list[str]:
    """List the scores that are known of any method."""
    names = [name for group in GROUPS.values() for name in group]
    return [n for n in names if any(line.scores[n].number for line in summaries)]


def write_tables(folder: RunFolder) -> list[Path]:
    """Write the tables of a run: summary, controls where there are any, and pairs of methods.

    Args:
        folder: of a finished run.

    Returns:
        The files: CSV with all digits beside the rounded text, Markdown and LaTeX.

    Raises:
        JaxbqError: a file of the run is missing, damaged or of an older version.
    """
    rows, cost = read_scores(folder), read_csv(folder.path / "cost.csv")
    where = make_folder(folder.path / "tables")
    trained = summarise(rows, cost)
    name = folder.path.resolve().name
    paths = _write_summaries(where / "summary", f"Scores of {name}", {"": trained})
    controls = {control: summarise(rows, cost, control) for control in controls_of(rows)}
    if controls:
        paths += _write_summaries(where / "controls", f"Controls of {name}", controls)
    return paths + _write_pairs(where / "pairs", name, compare_methods(rows))


def _write_summaries(
    stem: Path, title: str, summaries: Mapping[str, Sequence[MethodSummary]]
) -> list[Path]:
    """Write summaries, by the name of the network, empty for those that were trained."""
    every = [line for lines in summaries.values() for line in lines]
    known = known_scores(every)
    columns = [f"{n}{end}" for n in known for end in ("", "_mean", "_low", "_high", "_number")]
    table = [
        [
            *([network] if network else []),
            line.method,
            line.scores["fidelity"].unit,
            *(cell for n in known for cell in _cells(line.scores[n])),
        ]
        for network, lines in summaries.items()
        for line in lines
    ]
    csv = stem.with_suffix(".csv")
    write_csv(csv, [*(["network"] if any(summaries) else []), "method", "unit", *columns], table)
    blocks = [
        Block(
            f"{network}: {title}" if network else title,
            ["method", *(n.replace("_", " ") for n in shown)],
            [[line.method, *(rounded(line.scores[n]) for n in shown)] for line in lines],
        )
        for network, lines in summaries.items()
        for title, names in GROUPS.items()
        if (shown := [n for n in names if n in known])
    ]
    return [csv, *write_documents(stem, title, _note(every), blocks)]


def _cells(found: Interval) -> list[Any]:
    return [rounded(found), *found[:3], found.number]


def _note(lines: Sequence[MethodSummary]) -> str:
    found = max((line.scores["fidelity"] for line in lines), key=lambda each: each.number)
    kind = "networks" if found.unit == "networks" else "classes of one network"
    return (
        f"Mean and 95 % interval over {found.number} {kind}, the best image of each target. "
        "Percentiles are among real test images; seconds and operations are of all images of a "
        "network."
    )


def _write_pairs(stem: Path, name: str, pairs: Mapping[str, Sequence[Comparison]]) -> list[Path]:
    columns = ["score", "first", "second", "difference", "mean", "low", "high"]
    csv = stem.with_suffix(".csv")
    write_csv(
        csv,
        [*columns, "number", "unit", "p", "p_holm", "effect"],
        [
            [
                *(score, one.first, one.second, rounded(one.difference)),
                *(*one.difference, one.p, one.p_holm, one.effect),
            ]
            for score, found in pairs.items()
            for one in found
        ],
    )
    blocks = [
        Block(
            score,
            ["methods", "difference", "p (Holm)", "effect"],
            [
                [
                    f"{one.first} − {one.second}",
                    rounded(one.difference),
                    written_p(one.p_holm),
                    written_effect(one),
                ]
                for one in found
            ],
        )
        for score, found in pairs.items()
    ]
    note = (
        "Difference of means and its 95 % interval; p of a paired t-test with Holm's correction "
        "over all pairs of one score; effect: difference in standard deviations of the "
        "differences, with Hedges' correction."
    )
    return [csv, *write_documents(stem, f"Pairs of methods of {name}", note, blocks)]
