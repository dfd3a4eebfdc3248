"""What the page shows first: head, files, summary, chart, and which differences hold."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from ...evaluation.statistics import FEWEST_NETWORKS, Comparison, Interval
from ...experiment.finished import SCORES, Run
from ...network.mlp import MLP
from ..plane import ASKS_NOTHING, family_of, plane_figure, points_of
from ..style import to_svg
from ..words import (
    UNKNOWN,
    UNTESTED,
    accuracy,
    count,
    estimate,
    listed,
    plain,
    plural,
    share,
)
from .gallery import CONTROL_NAMES
from .sections import Table

LEVEL = 0.05
_MOST_CLASSES, _MOST_NAMED = 20, 3
_LEAST = 0.05  # seconds of a phase that is shown
# Inches of the plane: on a wide screen, and on a narrow one.
_PLANES = {"wide": 5.4, "narrow": 3.4}
_PLANE = "Fidelity and readability of every method; the same numbers are in the list and the table."
_FILES = {
    "config.json": "every option, resolved",
    "environment.json": "versions, device, checksum of the data",
    "scores.csv": "all scores, one row an image",
    "cost.csv": "seconds, steps and operations of every network and method",
    "timing.json": "seconds that the run took, by phase",
    "spread.csv": "how the samples of a target differ",
    "judges.json": "the judges, and what they do with noise",
    "transfer.json": "the networks that transfer is measured with",
    "naturalness.json": "what real test images score",
    "autoencoders.json": "what autoencoders make of test images",
    "nearest.npz": "the training images nearest to every image",
    "certificates.csv": "what is found and proven of the largest logits",
    "certificates": "the proofs, which jaxbq certify --verify computes anew",
    "traces.json": "the way back through the layers",
    "networks": "weights, and what every epoch of training gave",
    "inversions": "images, outputs and diagnostics of every network and method",
    "figures": "pictures",
    "tables": "tables as CSV, Markdown and LaTeX",
}


class Column(NamedTuple):
    """A column of the summary: of which score, what it is called and is, how it is written."""

    key: str
    label: str
    about: str
    write: Callable[[float], str] = share
    large_is_good: bool = True


_QUALITIES = (
    Column("fidelity", "Fidelity", "1 − largest output error, as a share of the range"),
    Column("readability", "Readability", "share of judges that accept it and read the class"),
    Column("naturalness", "Naturalness", "share of real test images that are at least as unusual"),
    Column("transfer", "Transfer", "share of independent networks that read the class"),
    Column(
        "specificity",
        "Specificity",
        "fidelity less what other networks let expect; 0 if not its own",
    ),
)
_RIGHT = Column("right", "Read as asked", "share of the images that the network reads as asked")
_BOUND = (
    Column(
        "below_bound",
        "Below the bound",
        "logits that it lacks of what no image in the pixel range can exceed, proven",
        plain,
        False,
    ),
    Column(
        "share_of_bound",
        "Share of the bound",
        "the same as a share; unknown where a logit is below 0, of which a share says nothing",
    ),
)
_SCORES = (_QUALITIES[0], _RIGHT, *_QUALITIES[1:], *_BOUND)
_COSTS = (
    Column("run", "Seconds", "computing, a network, compilation left out", plain, False),
    Column("compile", "Compiling", "seconds a network", plain, False),
    Column("steps", "Steps", "the most that an image took", plain, False),
    Column(
        "operations", "Operations", "floating-point, of matrix products, estimated", count, False
    ),
)


def head(run: Run) -> dict[str, Any]:
    """Say what was asked, and on what, and what is needed to repeat it."""
    command = run.environment.get("command")
    control = f" (and {plural(len(run.controls), 'control')})" if run.controls else ""
    lines = {
        "Data": _data(run),
        "Classes": _classes(run.class_names),
        "Network": _network(run),
        "Training": _training(_table(run.config.get("training"))),
        "Controls": listed([CONTROL_NAMES.get(name, name) for name in run.controls]),
        "Targets": _targets(run),
        "Not applicable": listed(run.environment.get("not_applicable", [])),
        "Environment": _environment(run.environment),
    }
    about = {key: value for key, value in run.environment.items() if key != "command"}
    targets = len(run.titles)
    asked = "one target" if targets == 1 else f"each of {targets:,} targets"
    return {
        "title": str(run.config.get("name") or run.path.name),
        "lead": f"{plural(len(run.methods), 'method')} asked "
        f"{plural(len(run.trained), 'trained network')}{control}, for {asked}: "
        "what image makes you answer this?",
        "lines": [line for line in lines.items() if line[1]],
        "command": command if isinstance(command, str) else "",
        "config": json.dumps(run.config, indent=2, ensure_ascii=False) if run.config else "",
        "environment": json.dumps(about, indent=2, ensure_ascii=False) if about else "",
        "files": list(_files(run)),
    }


def _table(value: Any) -> Mapping[str, Any]:
    """Take a table of a config, which is empty where there is none."""
    return value if isinstance(value, Mapping) else {}


def _data(run: Run) -> str:
    table = _table(run.config.get("data"))
    said = [str(table.get("kind", ""))]
    # Its defaults say nothing.
    said += [
        f"{key.replace('_', ' ')} {_word(value)}"
        for key, value in table.items()
        if key != "kind" and value not in (None, False, "", [], ())
    ]
    said.append(f"images of {' × '.join(map(str, run.space.shape))}")
    said.append(f"pixels from {run.space.low:g} to {run.space.high:g}")
    return ", ".join(filter(None, said))


def _classes(names: Sequence[str]) -> str:
    more = len(names) - _MOST_CLASSES
    shown = ", ".join(names[:_MOST_CLASSES])
    return f"{len(names)}: {shown}" + (f" and {more} more" if more > 0 else "")


def _network(run: Run) -> str:
    model, table = run.network.model, _table(run.config.get("network"))
    said = [repr(model)]
    if isinstance(model, MLP):
        inner = f"{model.hidden} hidden units, " if len(model.sizes) > 2 else ""
        biases = "with" if model.bias else "without"
        said = [
            f"{'–'.join(map(str, model.sizes))}, {inner}{model.output} outputs, {biases} biases"
        ]
    said += [f"from {table['file']}"] if table.get("file") else []
    if table.get("control", "none") != "none":
        said.append(CONTROL_NAMES.get(str(table["control"]), str(table["control"])))
    known = [run.histories[k][-1].test_accuracy for k in run.trained if k in run.histories]
    if known:
        ends = dict.fromkeys((accuracy(min(known)), accuracy(max(known))))
        each = f" ({len(run.trained)} networks)" if len(run.trained) > 1 else ""
        said.append(f"test accuracy {' to '.join(ends)}{each}")
    return "; ".join(said)


def _training(table: Mapping[str, Any]) -> str:
    optimiser = _table(table.get("optimiser"))
    said = [f"{table['loss']} loss"] if table.get("loss") else []
    said += [f"{table['rule']} rule"] if table.get("rule") not in (None, "gradient") else []
    said += [plural(table["epochs"], "epoch")] if isinstance(table.get("epochs"), int) else []
    if optimiser:
        said.append(f"{optimiser.get('name')} at {optimiser.get('learning_rate')}")
    elif table.get("learning_rate") is not None:
        said.append(f"learning rate {table['learning_rate']}")
    for key in ("adversary", "noise", "jacobian"):
        said += [f"{key}: {_word(table[key])}"] if table.get(key) is not None else []
    return ", ".join(said)


def _targets(run: Run) -> str:
    targets = run.first[0].targets
    on, off = float(targets.max()), float(targets.min())
    highest = np.isclose(targets.max(axis=1), on, rtol=1e-9, atol=0)
    others = np.isclose(targets, off, rtol=0, atol=1e-9).sum(axis=1) == targets.shape[1] - 1
    if (highest & others).all() and targets.shape[1] > 1:
        ends = f"{plain(on)} of the class asked for, {plain(off)} of every other"
    else:
        ends = f"outputs between {plain(off)} and {plain(on)}"
    return f"{listed(run.titles)}: {ends}"


def _environment(table: Mapping[str, Any]) -> str:
    packages, device = _table(table.get("packages")), table.get("device")
    said = [f"Python {table['python']}"] if table.get("python") else []
    said += [f"{name} {packages[name]}" for name in ("jaxbq", "jax") if packages.get(name)]
    said += [str(device.get("kind", UNKNOWN))] if isinstance(device, Mapping) else []
    said += [str(table["precision"])] if table.get("precision") else []
    commit, _, changed = str(table.get("commit") or "").partition("-")
    said += [f"commit {commit[:12]}" + (" with changes" if changed else "")] if commit else []
    return ", ".join(said)


def _word(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_word(v)}" for key, v in value.items() if v is not None)
    return ", ".join(map(_word, value)) if isinstance(value, list | tuple) else str(value)


_PHASES = {
    "import": "importing Python packages",
    "data": "reading the data",
    "products": "measuring which matrix products are fastest",
    "training": "training the networks",
    "compile": "compiling programs",
    "autoencoders": "training autoencoders, or reading them",
    "invert": "computing the images",
    "certify": "proving what no image exceeds",
    "judges": "training judges, or reading them",
    "panel": "training the panel of transfer, or reading it",
    "naturalness": "measuring real test images",
    "score": "scoring the images",
    "figures": "drawing figures",
    "tables": "writing tables",
}


def timing(run: Run) -> Table | None:
    """Say where the seconds of the run went, the longest first; None where that was not kept."""
    # What goes on while this is written would be another number afterwards.
    shown = {name: seconds for name, seconds in run.timing.items() if name in _PHASES}
    total = sum(shown.values())
    if not total:
        return None
    lines = [
        [_PHASES[name], f"{seconds:.1f}", f"{100 * seconds / total:.0f} %"]
        for name, seconds in sorted(shown.items(), key=lambda each: -each[1])
        if seconds >= _LEAST
    ]
    caption = "Seconds that one waited for the run"
    total_line = ["together", f"{total:.1f}", "100 %"]
    return Table.of(caption, ["Phase", "Seconds", "Share"], [*lines, total_line])


def _files(run: Run) -> Iterator[tuple[str, str, str]]:
    """Give the address from the page, the name and the content of every file of the run."""
    for path in sorted(run.path.iterdir()):
        if not path.name.startswith(".") and path.name != "report":
            name = f"{path.name}/" if path.is_dir() else path.name
            yield f"../{quote(name)}", name, _FILES.get(path.name, "")


def first_rows(run: Run) -> list[dict[str, Any]]:
    """Choose what the page shows first: the best method that asks the network, and the book's.

    The best has the largest sum of fidelity and, where judges read, readability. The book's is the
    first transpose.

    Returns:
        Number of the method, from 0, and words about it, one or two.
    """
    if not has_all_scores(run):
        return []
    found = list(run.intervals().values())
    methods: list[Any] = [result.method for result in run.first]
    keys = ("fidelity", "readability") if found[0]["readability"].number else ("fidelity",)
    asking = [
        n
        for n, method in enumerate(methods)
        if family_of(method.kind).name not in ASKS_NOTHING
        and getattr(method, "source", None) != "codes"  # a decoder of labels alone
    ]
    best = max(asking, key=lambda n: sum(found[n][key].mean for key in keys), default=None)
    book = next((n for n, method in enumerate(methods) if method.kind == "transpose"), None)
    about = {
        best: f"the best by {listed(keys)} of all that ask the network",
        book: "the way back of Rashid’s book",
    }
    return [
        {
            "method": n,
            "words": f"{words}: {', '.join(f'{key} {share(found[n][key].mean)}' for key in keys)}",
        }
        for n, words in about.items()
        if n is not None
    ]


def has_all_scores(run: Run) -> bool:
    """Whether scores.csv has every column; runs of older versions lack some."""
    return set(SCORES) <= set(run.scores.columns)


def summary(run: Run) -> dict[str, Any]:
    """Sum up the best images of the trained networks.

    Returns:
        ``columns`` of which anything is known, ``lines`` of cells a method, each a text, an
        interval and what it is sorted by; ``qualities``, who has most and least of each, and
        ``basis``, what the intervals are over.
    """
    scores = list(run.intervals().values()) if has_all_scores(run) else []
    known = [c for c in _SCORES if any(own[c.key].number for own in scores)]
    costs = run.cost[run.cost["network"].isin(run.trained)].groupby("method")
    dear = [c for c in _COSTS if c.key in run.cost and run.cost[c.key].notna().any()]
    spent = {c.key: costs[c.key].max() if c.key == "steps" else costs[c.key].mean() for c in dear}
    lines = []
    for n, name in enumerate(run.methods):
        cells = [(*estimate(scores[n][c.key]), _value(scores[n][c.key].mean)) for c in known]
        for column in dear:
            mean = float(spent[column.key].get(name, math.nan))
            cells.append((column.write(mean), "", _value(mean)))
        lines.append({"number": n + 1, "name": name, "cells": cells})
    return {
        "columns": [*known, *dear],
        "lines": lines,
        "qualities": [_quality(c, run.methods, scores) for c in _QUALITIES if c in known],
        "basis": _basis(scores, len(run.trained)),
    }


def _value(number: float) -> str:
    return "" if math.isnan(number) else repr(number)


def _quality(
    column: Column, methods: Sequence[str], scores: Sequence[Mapping[str, Interval]]
) -> tuple[str, str, str]:
    """Name the methods with most and with least of something, by the number that is written."""
    means = [own[column.key].mean for own in scores]

    def who(value: float) -> str:
        text = column.write(value)
        names = [m for m, mean in zip(methods, means, strict=True) if column.write(mean) == text]
        more = len(names) - _MOST_NAMED
        if more > 1:
            names = [*names[:_MOST_NAMED], f"{more} more"]
        return f"{text} ({listed(names)})"

    return column.label, who(float(np.nanmax(means))), who(float(np.nanmin(means)))


def _basis(scores: Sequence[Mapping[str, Interval]], networks: int) -> str:
    """Say what intervals are over; nothing where there are none."""
    known = [one for own in scores for one in own.values() if one.number > 1]
    if not known:
        return ""
    most = max(known, key=lambda one: one.number)
    if most.unit == "networks":
        return f"over {most.number} networks, each by its mean over targets"
    return f"over {most.number} targets of {plural(networks, 'network')}; {UNTESTED}"


def chart(run: Run) -> dict[str, Any]:
    """Draw the plane for a wide and for a narrow screen, and list the methods that are in it."""
    found: dict[str, Any] = {"planes": [], "list": []}
    if not has_all_scores(run):
        return found
    points = points_of(run)
    for n, (point, own) in enumerate(zip(points, run.intervals().values(), strict=True), 1):
        if point.place is not None:
            said = ", ".join(
                f"{key} {' '.join(estimate(own[key])).strip()}"
                for key in ("fidelity", "readability", "naturalness")
            )
            each = {"number": n, "name": point.label, "words": f"{n}. {point.label}: {said}"}
            found["list"].append(each | {"strip": _strip(*own["naturalness"][:3])})
    for name, width in _PLANES.items() if found["list"] else ():
        figure = plane_figure(points, run.space, width=width, listed=False)
        found["planes"].append(Markup(to_svg(figure, f"plane {name}", name, _PLANE)))
    return found


def _strip(*ends: float) -> list[float] | None:
    """Say where a mean and its interval lie in percent: the mean, the low end, the width."""
    mean, low, high = (100 * float(min(max(end, 0), 1)) for end in ends)
    low, high = (mean if math.isnan(end) else end for end in (low, high))
    return None if math.isnan(mean) else [round(v, 1) for v in (mean, low, high - low)]


def differences(run: Run) -> list[dict[str, Any]]:
    """Make a table a score, every method against every; without rows where nothing holds.

    There is none below five networks, of which nothing is tested.
    """
    if not has_all_scores(run) or len(run.methods) < 2 or len(run.trained) < FEWEST_NETWORKS:
        return []
    squares = []
    for score, pairs in run.pairs.items():
        both = [side for one in pairs for side in (one, _turned(one))]
        signs = {(side.first, side.second): _sign(side) for side in both}
        rows = [
            (n, first, [signs.get((first, second), ("", "")) for second in run.methods])
            for n, first in enumerate(run.methods, 1)
        ]
        holds = any(sign in "+−" for sign, _ in signs.values())
        squares.append({"score": score.capitalize(), "rows": rows if holds else []})
    return squares


def _turned(one: Comparison) -> Comparison:
    """Compare the second with the first."""
    mean, high, low = (-value for value in one.difference[:3])
    back = one.difference._replace(mean=mean, low=low, high=high)
    return one._replace(first=one.second, second=one.first, difference=back, effect=-one.effect)


def _sign(one: Comparison) -> tuple[str, str]:
    """Say by a sign whether a difference holds, and in words how large it is."""
    # NaN is not below the level either.
    sign = "+−"[one.difference.mean < 0] if one.p_holm < LEVEL else "·"
    said = f"{one.first} less {one.second}: {' '.join(estimate(one.difference))}"
    p = f"p {plain(one.p_holm)} after Holm’s correction"
    return sign, f"{said}, {p}, effect {plain(one.effect)}"
