"""Runs side by side: what changed against the first of them, with intervals."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import JaxbqError
from ..evaluation.statistics import Comparison, Interval, compare_groups, corrected, interval
from ..experiment.finished import HEADLINES, SCORES, Run, limits
from ..experiment.frames import Values
from .words import flat

_MOST_CHANGES = 3  # of a config in a label; more are hinted at


class Compared(NamedTuple):
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
        found: by method, score and run, for the runs that have the method.
    """

    runs: tuple[tuple[str, Run], ...]
    methods: tuple[str, ...]
    scores: tuple[str, ...]
    found: tuple[Compared, ...]


def compare_runs(
    labelled: Sequence[tuple[str, Run]], scores: Sequence[str] = HEADLINES
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
        JaxbqError: runs are not comparable, or one is damaged; the message says why.
    """
    _check_distinct(labelled)
    unknown = [name for name in scores if name not in SCORES]
    if unknown:
        raise JaxbqError(f"no score is called {unknown[0]}; known: {', '.join(SCORES)}")
    values = [run.values() for _, run in labelled]
    for (_, run), own in zip(labelled[1:], values[1:], strict=True):
        _check_alike(labelled[0][1], run)
        _check_shapes(labelled[0][1], values[0], run, own)
    cells = itertools.product(values[0], scores)
    found = [one for cell in cells for one in _compare(labelled, values, *cell)]
    changes = iter(corrected([one.change for one in found if one.change is not None]))
    found = [one._replace(change=next(changes)) if one.change else one for one in found]
    shown = tuple(name for name in scores if any(one.score == name for one in found))
    if not shown:
        raise JaxbqError(f"none of {', '.join(scores)} is known in these runs; choose others")
    methods = tuple(dict.fromkeys(one.method for one in found))
    return RunComparison(tuple(labelled), methods, shown, tuple(found))


def _compare(
    labelled: Sequence[tuple[str, Run]], values: Sequence[Values], method: str, score: str
) -> Iterator[Compared]:
    within = limits(score)
    having = [
        (label, run, table[method][score])
        for (label, run), table in zip(labelled, values, strict=True)
        if method in table
    ]
    (label, first, own), *others = having
    if not others or all(np.isnan(table).all() for _, _, table in having):
        return
    yield Compared(method, score, label, interval(own, within=within), None)
    for other, run, table in others:
        paired = _seeds(run) == _seeds(first) and len(table) == len(own)
        names = (other, label)
        change = compare_groups(table, own, paired=paired, names=names, within=within)
        yield Compared(method, score, other, interval(table, within=within), change)


def _seeds(run: Run) -> list[int] | None:
    """List the seeds that networks were trained from; None, which equals itself, for a file's."""
    if "file" in run.config.get("network", {}):
        return None
    seed, number = run.config.get("seed", 0), run.config.get("networks", {}).get("seeds", 1)
    return list(range(seed, seed + number))


def _check_distinct(labelled: Sequence[tuple[str, Run]]) -> None:
    """Refuse one run alone, a run that is named twice, and labels that are."""
    if len(labelled) < 2:
        raise JaxbqError("only one run; name two or more to compare")
    paths = [run.path.resolve() for _, run in labelled]
    labels = [label for label, _ in labelled]
    for number, (label, run) in enumerate(labelled):
        if paths[number] in paths[:number]:
            raise JaxbqError(f"{run.path} is named twice; a run does not differ from itself")
        if label in labels[:number]:
            raise JaxbqError(f"two runs have the label {label!r}; give each its own label")


def _check_alike(first: Run, other: Run) -> None:
    """Refuse two runs whose scores mean different things: data, targets or scoring differ."""
    both = (first, other)
    data = [run.environment.get("data_sha256") for run in both]
    if None in data:
        raise JaxbqError(f"{both[data.index(None)].path} does not say on what data; run it again")
    if data[0] != data[1]:
        about = [run.config.get("data") for run in both]
        kinds = [str(t.get("kind")) if isinstance(t, Mapping) else "unknown" for t in about]
        said = f" ({kinds[1]}, not {kinds[0]})" if kinds[0] != kinds[1] else ""
        raise JaxbqError(
            f"{other.path} is about other data than {first.path}{said}; "
            "compare runs on the same data"
        )
    for section, what in (("targets", "asks for other targets"), ("scores", "is scored otherwise")):
        pair = [run.config.get(section) for run in both]
        if pair[0] != pair[1]:
            raise JaxbqError(
                f"{other.path} {what} than {first.path} ({_first_change(section, *pair)}); "
                "run one again with the other's"
            )


def _check_shapes(first: Run, values: Values, other: Run, others: Values) -> None:
    """Refuse runs without a method in common, or with other targets in their scores."""
    if not others.keys() & values.keys():
        raise JaxbqError(
            f"{other.path} has no method in common with {first.path}; "
            "methods are matched by their names in scores.csv"
        )
    classes = [next(iter(own.values()))["fidelity"].shape[1] for own in (values, others)]
    if classes[0] != classes[1]:
        raise JaxbqError(
            f"{other.path} has scores of {classes[1]} targets, {first.path} of {classes[0]}; "
            "delete the damaged scores.csv and run its config again"
        )


def _first_change(section: str, old: Any, new: Any) -> str:
    """Say the first setting that differs."""
    before, after = flat(old, section), flat(new, section)
    keys = [key for key in {**after, **before} if before.get(key) != after.get(key)]
    key = keys[0] if keys else section
    return f"{key}={_setting(after.get(key))}, not {_setting(before.get(key))}"


def label_runs(runs: Sequence[Run]) -> list[str]:
    """Label runs by what their configs set otherwise than the first's, like ``training.epochs=3``.

    The first is labelled by the same settings where all others differ from it in the same ones.
    What has no label of its own by that has the name of its folder.

    Raises:
        JaxbqError: one has no readable config.
    """
    first, *others = [flat({k: v for k, v in run.config.items() if k != "name"}) for run in runs]
    changes = [[key for key in own if own[key] != first.get(key, ...)] for own in others]
    same = all(keys == changes[0] and first.keys() >= set(keys) for keys in changes)
    shared = changes[0] if changes and same else []
    labels = [_label(first, shared), *map(_label, others, changes)]
    for names in ([run.name for run in runs], [str(run.path) for run in runs]):
        both = zip(labels, names, strict=True)
        labels = [name if not own or labels.count(own) > 1 else own for own, name in both]
    return labels


def _label(settings: Mapping[str, Any], keys: Sequence[str]) -> str:
    said = [f"{key}={_setting(settings[key])}" for key in keys[:_MOST_CHANGES]]
    return ", ".join([*said, "…"] if len(keys) > _MOST_CHANGES else said)


def _setting(value: Any) -> str:
    """Write a value as a config does."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
