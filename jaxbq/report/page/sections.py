"""What the page shows in detail: controls, a section a method, and a section a class."""

import contextlib
import dataclasses
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup

from ...experiment.finished import Run, damaged
from ...methods import Result
from ..curves import steps_figure
from ..images import shared_start
from ..style import to_svg
from ..words import UNKNOWN, accuracy, count, flat, listed, plain, plural, share
from .gallery import COLUMNS, PageImage, PageImages, PageRow, cell, data_uri, network_name

# Bytes of a page beyond which no more images of further networks are taken in.
ROOM = 6_500_000
_MOST_SAMPLES, _MOST_STEPS, _MOST_SCORES = 10, 12, 5
_LARGEST_FIGURE = 400_000
_BASELINES = ("grey", "noise", "class_mean")
_BY_CLASS = {
    "fidelity": "fidelity",
    "right": "read as asked",
    "target_probability": "probability",
    "largest_error": "largest error",
    "readability": "readability",
    "accepted": "accepted",
    "evidence": "evidence",
    "judged_right": "read by the judge",
    "judge_probability": "judges’ probability",
    "naturalness": "naturalness",
    "mahalanobis_percentile": "Mahalanobis percentile",
    "nearest": "to nearest image",
    "transfer": "transfer",
    "iterations": "steps",
}
_CARD = {
    "fidelity": "fidelity",
    "readability": "readability",
    "judged_right": "judge reads it",
    "naturalness": "naturalness",
    "transfer": "transfer",
    "nearest": "to the nearest",
    "correlation_own": "correlation with the mean",
}
_JUDGED = ("test_accuracy", "noise_accepted", "noise_right", "noise_confidence")
_REASONS = {
    "computed": "a closed form, nothing to iterate",
    "reached": "reached the target",
    "stationary": "at a stationary point",
    "stalled": "no further gain",
    "flat": "no gradient at the start: nothing there excites what is to be raised",
    "max_iterations": "all steps allowed were taken",
    "diverged": "numbers overflowed; the best image before that",
    "constant": "a vector with all values equal could not be rescaled; the image means nothing",
}
_LAYER = ["layer", "units", "rank", "condition", "inputs found", "share outside"]
_LAYER += ["residual before", "residual after", "asked − given"]


class Table(NamedTuple):
    """A table of text: its headings, and cells by the heading that lines share."""

    caption: str
    heads: Sequence[str]
    groups: Sequence[tuple[str, Sequence[Sequence[str]]]]

    @classmethod
    def of(
        cls, caption: str, heads: Sequence[str], lines: Iterable[Sequence[str]], share: bool = False
    ) -> "Table":
        """Take lines, the first cell of each its heading, which those that follow may share."""
        if not share:
            return cls(caption, heads, [(head, [cells]) for head, *cells in lines])
        groups = itertools.groupby(lines, key=operator.itemgetter(0))
        return cls(caption, heads, [(head, [own[1:] for own in same]) for head, same in groups])


def method_sections(images: PageImages) -> list[dict[str, Any]]:
    """Make a section a method, with the images of as many networks as there is room for."""
    run, first = images.run, images.run.trained[0]
    numbers = range(len(run.methods))
    samples = [
        [
            images.row(_sample_name(result, k), first, n, k)
            for k in range(min(result.images.shape[1], _MOST_SAMPLES))
        ]
        for n, result in enumerate(run.first)
    ]
    ways = [_way(images, n) if images.size < ROOM else None for n in numbers]
    several = run.networks if len(run.networks) > 1 else []
    networks: list[list[PageRow]] = []  # by network, then by method
    for name in several:
        if images.size <= ROOM or not networks:
            networks.append([images.row(network_name(name), name, n) for n in numbers])
    sections = []
    for n in numbers:
        more = run.first[n].images.shape[1] - len(samples[n])
        missing = len(several) - len(networks)
        left_out = [plural(more, "more sample")] if more > 0 else []
        left_out += [plural(missing, "more network")] if missing > 0 else []
        options = flat(dataclasses.asdict(run.first[n].method))  # type: ignore[call-overload]
        sections.append(
            {
                "number": n + 1,
                "name": run.methods[n],
                "options": [(name, _option(value)) for name, value in options.items()],
                "samples": samples[n],
                "networks": [rows[n] for rows in networks],
                "left_out": listed(left_out) + " in inversions/, not on this page" * bool(left_out),
                "by_class": _by_class(run, n),
                "sentences": list(_sentences(run, n)),
                "drawings": list(_drawings(run, n)),
                "way": ways[n],
                "figures": list(_figures(run, n)),
                "trace": _trace(run, n),
            }
        )
    return sections


def class_sections(images: PageImages) -> list[dict[str, Any]]:
    """Make a section a class: all methods of the first network, nearest training images beside."""
    run, network = images.run, images.run.trained[0]

    def card(n: int, target: int) -> dict[str, Any]:
        row = images.scores[network, n, target, 0]
        known = [
            (label, cell(name, row[name], run.class_names, 3))
            for name, label in _CARD.items()
            if name in row
        ]
        return {
            "number": n + 1,
            "name": run.methods[n],
            "image": images.image(network, n, target),
            "neighbours": images.neighbours(network, n, target),
            "scores": [each for each in known if each[1] != UNKNOWN][:_MOST_SCORES],
        }

    return [
        {"number": k, "title": title, "cards": [card(n, k) for n in range(len(run.methods))]}
        for k, title in enumerate(run.titles)
    ]


def _option(value: Any) -> str:
    if value is None or value in ("", (), []) or (isinstance(value, float) and math.isnan(value)):
        return UNKNOWN
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(_option, value)) if isinstance(value, list | tuple) else str(value)


def _of_method(table: pd.DataFrame, run: Run, n: int) -> pd.DataFrame:
    """Take the rows of a method, of the trained networks."""
    return table[(table["method"] == run.methods[n]) & table["network"].isin(run.trained)]


def _best(run: Run, n: int) -> pd.DataFrame:
    """Take the scores of the best images of a method, of the trained networks."""
    own = _of_method(run.scores, run, n)
    return own[own["sample"] == 0]


def _by_class(run: Run, n: int) -> Table:
    """Write the means over trained networks of every target."""
    columns = [name for name in _BY_CLASS if name in run.scores]
    means = _best(run, n).groupby("target")[columns].mean().dropna(axis="columns", how="all")
    over = f", means over {len(run.trained)} networks" if len(run.trained) > 1 else ""
    heads = ["Target", *(_BY_CLASS[str(name)] for name in means)]
    rows = zip(run.titles, means.itertuples(index=False), strict=True)
    lines = [[title, *map(plain, row)] for title, row in rows]
    return Table.of(f"Scores by class{over}", heads, lines)


def _sample_name(result: Result, sample: int) -> str:
    start = shared_start(result, sample)
    if result.images.shape[1] == 1:
        return ""
    more = ": best" * (sample == 0) if start is None else f": start {start}"
    return f"sample {sample}{more}"


def _sentences(run: Run, n: int) -> Iterator[str]:
    """Say why a method stopped, what it took for the first network, and how samples differ."""
    if "reason" in run.scores:
        found = _best(run, n)["reason"].value_counts()
        ordered = sorted(found.items(), key=lambda each: (-each[1], str(each[0])))
        words = [
            f"{_REASONS.get(str(reason), str(reason))} ({number} of {found.sum()} images)"
            for reason, number in ordered
        ]
        yield f"Why it stopped: {'; '.join(words)}."
    cost = _of_method(run.cost, run, n)
    for _, row in cost[cost["network"] == run.trained[0]].head(1).iterrows():
        known = row.dropna()
        phases = {"prepare": "preparing", "compile": "compiling", "run": "running"}
        words = [f"{label} {plain(known[key])} s" for key, label in phases.items() if key in known]
        words += [f"{plural(int(known['steps']), 'step')} at most"] if "steps" in known else []
        words += [f"about {count(known['operations'])} operations"] if "operations" in known else []
        yield f"Cost for {network_name(run.trained[0])}: {', '.join(words)}."
    spread = _of_method(run.spread, run, n)
    for column, what in (
        ("distinct", "distinct images among its samples, mean over targets"),
        ("mean_correlation", "mean correlation between samples"),
        ("diversity", "diversity: mean distance of samples, as a share of that of real images"),
    ):
        if column in spread and spread[column].notna().any():
            yield f"{plain(spread[column].mean())}: {what}."


def _drawings(run: Run, n: int) -> Iterator[tuple[str, Markup]]:
    """Draw the objective over steps, of every target."""
    for name, title in (
        ("curve", "Objective over steps"),
        ("training_curve", "Training loss over epochs"),
    ):
        curves = run.first[n].diagnostics.get(name)
        if curves is not None and curves.ndim == 3 and np.isfinite(curves[:, 0]).any():
            lines, names = curves[:, 0], run.titles
            if (lines == lines[:1]).all():
                lines, names = lines[:1], ["all targets"]
            svg = to_svg(steps_figure(lines, names), "lines", f"{name}-{n}", title)
            yield title, Markup(svg)


def _way(images: PageImages, n: int) -> dict[str, Any] | None:
    """Show the images on their way, at no more steps than a row holds."""
    run, result = images.run, images.run.first[n]
    path, steps = result.diagnostics.get("path"), getattr(result.method, "path", ())
    if path is None or path.ndim != 4 or path.shape[2] != len(steps) or not steps:
        return None
    chosen = np.linspace(0, len(steps) - 1, min(len(steps), _MOST_STEPS)).round().astype(int)
    rows = []
    for k, title in enumerate(run.titles):
        words = f"{run.methods[n]}, {title}, at step "
        pictures = [(images.pictures.add(path[k, 0, at]), f"{words}{steps[at]}") for at in chosen]
        rows.append(PageRow(title, [PageImage(*each) for each in pictures]))
    name = f"path-{n + 1:02d}.gif"
    link = f"../figures/{name}" if (run.folder.figures / name).exists() else ""
    return {"steps": [steps[at] for at in chosen], "rows": rows, "animation": link}


def _figures(run: Run, n: int) -> Iterator[tuple[str, str]]:
    path = run.folder.figures / f"curve-{n + 1:02d}.png"
    if path.exists() and path.stat().st_size <= _LARGEST_FIGURE:
        words = "Fidelity against distance to the data, for every value that was tried"
        yield data_uri(path.read_bytes()), words


def _trace(run: Run, n: int) -> Table | None:
    """Make the table of the way back through the layers, the output first; None without a trace."""
    with _named_damage(run, "traces.json"):
        lines = [
            [title, *_layer(layer)]
            for each in run.traces
            if each["method_number"] == n
            for title in [run.titles[each["target"]]]
            for layer in reversed(each["layers"])
        ]
    which = "the first network" if len(run.trained) > 1 else "the network"
    caption = f"The way back through the layers of {which}, output first"
    return Table.of(caption, ["Target", *_LAYER], lines, share=True) if lines else None


@contextlib.contextmanager
def _named_damage(run: Run, file: str) -> Iterator[None]:
    """Say which file is damaged where its content is not what is expected of it."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as fault:
        raise damaged(run.path / file, fault) from None


def _layer(layer: Mapping[str, Any]) -> list[str]:
    facts, ends = layer.get("facts") or {}, layer.get("found_range")
    wide, outside = [facts.get("fan_in"), facts.get("fan_out")], layer.get("outside_share")
    return [
        f"{layer['number']} ({layer['activation']})",
        f"{wide[0]} → {wide[1]}" if None not in wide else UNKNOWN,
        plain(facts.get("rank")),
        plain(facts.get("condition")),
        f"{plain(ends[0])} to {plain(ends[1])}" if ends else UNKNOWN,
        UNKNOWN if outside is None else f"{100 * outside:.0f} %",
        *(plain(layer.get(name)) for name in ("residual_before", "residual_after", "apart")),
    ]


def controls(images: PageImages, found: Mapping[str, Any]) -> dict[str, Any]:
    """Gather what a result is to be held against: networks that learnt nothing, noise, judges.

    Args:
        images: of the page.
        found: the summary of all methods.

    Raises:
        JaxbqError: a file is damaged.
    """
    run = images.run
    known = [name for name in ("readability", "judged_right") if name in run.scores]
    best = run.scores[run.scores["sample"] == 0]
    methods = []
    for n, name in enumerate(run.methods if run.controls else ()):
        rows: list[tuple[PageRow, str]] = []
        for network in (run.trained[0], *run.controls):
            label = "trained" if network in run.trained else network.replace("_", " ")
            own = best[(best["network"] == network) & (best["method"] == name)]
            mean = share(own[known[0]].mean()) if known else UNKNOWN
            rows.append((images.row(label, network, n), mean))
        methods.append({"number": n + 1, "name": name, "rows": rows})
    kinds = [getattr(result.method, "kind", "") for result in run.first]
    lines = [[line["name"], *(text for text, *_ in line["cells"])] for line in found["lines"]]
    baselines = Table.of(
        "Methods that ask no network: what is to be beaten",
        ["Method", *(column.label for column in found["columns"])],
        [line for line, kind in zip(lines, kinds, strict=True) if kind in _BASELINES],
    )
    return {
        "score": "readability" if known else "",
        "methods": methods,
        "baselines": baselines if baselines.groups and found["columns"] else None,
        "tables": list(_control_tables(run)),
    }


def certificates(images: PageImages) -> dict[str, Any]:
    """Show the pictures of certificates, of the first network, and hold the methods against them.

    Raises:
        JaxbqError: a file is damaged.
    """
    run, known, reached = images.run, images.run.certificates, images.run.reached
    own = known[known["network"] == run.trained[0]]
    if own.empty:
        return {}
    with _named_damage(run, "certificates.csv"):
        what, targets = own["objective"].iloc[0], list(own["target"])
        titles, cards = [run.titles[target] for target in targets], []
        for title, target, words in zip(titles, targets, own["sentence"], strict=True):
            found = run.folder.certified_image(run.trained[0], target, run.space.pixels)
            alt = f"best picture that the search found for {title}"
            said = words.replace(" -", " −")
            cards.append((title, PageImage(images.pictures.add(found), alt), said))
    reached = reached[reached["network"] == run.trained[0]]
    lines = []
    for name, rows in reached.groupby("method", sort=False):
        values = dict(zip(rows["target"], rows["reached"], strict=True))
        lines.append([name, *(_hundredths(values.get(k, math.nan)) for k in targets)])
    lines.append(["best that the search found", *map(_hundredths, own["found"])])
    lines.append(["proven: no image exceeds", *(_hundredths(v, math.ceil) for v in own["proven"])])
    caption = f"The {what} that images reach, by target"
    table = Table.of(caption, ["Image", *titles], lines)
    return {"what": what, "cards": cards, "table": table, "held": not reached.empty}


def _hundredths(value: float, rounded: Callable[[float], int] = math.floor) -> str:
    """Write a number with two decimals, rounded down, or up where that is the safe side."""
    return (
        UNKNOWN
        if not math.isfinite(value)
        else f"{rounded(100 * value) / 100:.2f}".replace("-", "−")
    )


def _control_tables(run: Run) -> Iterator[Table]:
    """Write the tables of who measured, and of what: the first is wide, the others are not."""

    def table(
        file: str, caption: str, heads: Sequence[str], entries: Any, make: Any
    ) -> Iterator[Table]:
        with _named_damage(run, file):
            lines = [make(each) for each in entries]
        if lines:
            yield Table.of(caption, heads, lines)

    chance = share(1 / len(run.class_names))
    noise = [
        "Noise accepted",
        "Noise read as a class asked at random",
        "Mean largest probability on noise",
    ]
    yield from table(
        "judges.json",
        f"Judges. Of noise, a class asked at random is named by chance with probability {chance}",
        ["Judge", "What it is", "Parameters", "Test accuracy", *noise, "Noise read as"],
        run.judges,
        lambda each: _judge(each, run.class_names),
    )
    yield from table(
        "transfer.json",
        "Independently trained networks that transfer is measured with",
        ["Network", "Test accuracy"],
        run.transfer,
        lambda each: [str(each["name"]), accuracy(each.get("test_accuracy"))],
    )
    yield from table(
        "networks",
        "Networks of this run",
        ["Network", "Test accuracy", *["The same under attack"] * bool(run.robustness)],
        run.networks,
        lambda name: _network(run, name),
    )
    yield from table(
        "naturalness.json",
        "What real test images score",
        ["Measure", "5 %", "median", "95 %"],
        run.naturalness,
        lambda name: [
            COLUMNS["Naturalness"].get(name, name.replace("_", " ")),
            *map(plain, run.naturalness[name]),
        ],
    )
    yield from table(
        "autoencoders.json",
        "Autoencoders that methods use: mean squared error of test images, a pixel",
        ["Autoencoder", "its own", "of as many principal components", "of the mean image"],
        run.autoencoders,
        lambda each: [
            f"code of {plural(each['autoencoder']['code'], 'number')}",
            *(plain(each[key]) for key in ("error", "pca", "mean_image")),
        ],
    )


def _network(run: Run, name: str) -> list[str]:
    reached = run.histories[name][-1].test_accuracy if name in run.histories else None
    found = [network_name(name), accuracy(reached)]
    attacked = accuracy(run.robustness.get(name, {}).get("attacked"))
    return [*found, attacked] if run.robustness else found


def _judge(each: Mapping[str, Any], class_names: Sequence[str]) -> list[str]:
    shares = zip(class_names, each.get("noise_shares") or [], strict=False)
    return [
        str(each["name"]),
        str(each.get("description", "")),
        plain(each.get("parameters")),
        *(accuracy(each.get(key)) for key in _JUDGED),
        ", ".join(f"{name}: {accuracy(value)}" for name, value in shares if value >= 0.005),
    ]
