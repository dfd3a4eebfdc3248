"""What the page shows in detail: controls, a section a method, and a section a class."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from ...experiment.finished import Run, damaged
from ...methods import Result
from ..curves import steps_figure
from ..style import to_svg
from ..tables import to_html
from .images import PageImages, PageRow, data_uri
from .words import (
    COLUMNS,
    UNKNOWN,
    accuracy,
    cell,
    count,
    flat_options,
    listed,
    network_name,
    plain,
    plural,
    share,
)

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
_REASONS = {
    "computed": "a closed form, nothing to iterate",
    "reached": "reached the target",
    "stationary": "at a stationary point",
    "stalled": "no further gain",
    "max_iterations": "all steps allowed were taken",
    "diverged": "numbers overflowed; the best image before that",
    "constant": "a vector with all values equal could not be rescaled; the image means nothing",
}
_LAYER = ["layer", "units", "rank", "condition", "inputs found", "share outside"]
_LAYER += ["residual before", "residual after", "asked − given"]


def method_sections(images: PageImages) -> list[dict[str, Any]]:
    """Make a section a method, with the images of as many networks as there is room for."""
    run, first = images.run, images.run.trained[0]
    numbers = range(len(run.methods))
    samples = [
        [
            images.row(_sample_name(run.first[n], k), first, n, k)
            for k in range(min(run.first[n].images.shape[1], _MOST_SAMPLES))
        ]
        for n in numbers
    ]
    ways = [_way(images, n) if images.size < ROOM else None for n in numbers]
    several = run.networks if len(run.networks) > 1 else []
    networks: list[list[PageRow]] = [[] for _ in numbers]
    shown = 0
    for name in several:
        if images.size > ROOM and shown:
            break
        shown += 1
        for n in numbers:
            networks[n].append(images.row(network_name(name), name, n))
    by_class = _by_class(run)
    sections = []
    for n in numbers:
        more, missing = run.first[n].images.shape[1] - len(samples[n]), len(several) - shown
        left_out = [plural(more, "more sample")] if more > 0 else []
        left_out += [plural(missing, "more network")] if missing > 0 else []
        options = dataclasses.asdict(run.first[n].method)  # type: ignore[call-overload]
        sections.append(
            {
                "number": n + 1,
                "name": run.methods[n],
                "options": list(flat_options(options)),
                "samples": samples[n],
                "networks": networks[n],
                "left_out": listed(left_out) + " in inversions/, not on this page" * bool(left_out),
                "by_class": by_class[run.methods[n]],
                "sentences": [*_reasons(run, n), *_cost(run, n), *_spread(run, n)],
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


def _by_class(run: Run) -> dict[str, tuple[list[str], list[tuple[str, list[str]]]]]:
    """Write the means over trained networks of every method and target: headings, and rows."""
    table = run.scores[run.scores["network"].isin(run.trained) & (run.scores["sample"] == 0)]
    columns = [name for name in _BY_CLASS if name in table]
    means = table.groupby(["method", "target"])[columns].mean()
    found = {}
    for method in run.methods:
        own = means.loc[method].dropna(axis="columns", how="all")
        rows = [[plain(float(value)) for value in row] for row in own.itertuples(index=False)]
        heads = [_BY_CLASS[str(name)] for name in own.columns]
        found[method] = heads, list(zip(run.titles, rows, strict=True))
    return found


def _sample_name(result: Result, sample: int) -> str:
    if result.images.shape[1] == 1:
        return ""
    starts = result.diagnostics.get("start", result.diagnostics.get("restart"))
    # Where the order differs by target, a row has no one start.
    if starts is not None and (starts[:, sample] == starts[0, sample]).all():
        return f"sample {sample}: start {starts[0, sample]}"
    return f"sample {sample}" + (": best" if sample == 0 else "")


def _reasons(run: Run, n: int) -> Iterator[str]:
    """Say why a method stopped, over the trained networks."""
    table = run.scores
    if "reason" not in table:
        return
    of = (table["method"] == run.methods[n]) & (table["sample"] == 0)
    found = table[of & table["network"].isin(run.trained)]["reason"].value_counts()
    ordered = sorted(found.items(), key=lambda each: (-each[1], str(each[0])))
    words = [
        f"{_REASONS.get(str(reason), str(reason))} ({number} of {found.sum()} images)"
        for reason, number in ordered
    ]
    yield f"Why it stopped: {'; '.join(words)}."


def _cost(run: Run, n: int) -> Iterator[str]:
    """Say what a method took for the first network."""
    table = run.cost
    mine = table[(table["method"] == run.methods[n]) & (table["network"] == run.trained[0])]
    for row in mine.to_dict("records")[:1]:
        known = {str(name): value for name, value in row.items() if value == value}  # noqa: PLR0124
        words = [
            f"{label} {plain(known[name])} s"
            for name, label in (
                ("prepare", "preparing"),
                ("compile", "compiling"),
                ("run", "running"),
            )
            if name in known
        ]
        words += [f"{plural(int(known['steps']), 'step')} at most"] if "steps" in known else []
        words += [f"about {count(known['operations'])} operations"] if "operations" in known else []
        yield f"Cost for {network_name(run.trained[0])}: {', '.join(words)}."


def _spread(run: Run, n: int) -> Iterator[str]:
    """Say how the samples of a target differ, over the trained networks."""
    table = run.spread
    mine = table[(table["method"] == run.methods[n]) & table["network"].isin(run.trained)]
    for column, words in (
        ("distinct", "distinct images among its samples, mean over targets"),
        ("mean_correlation", "mean correlation between samples"),
    ):
        if column in mine and mine[column].notna().any():
            yield f"{plain(float(mine[column].mean()))}: {words}."


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
    ends = np.linspace(0, len(steps) - 1, min(len(steps), _MOST_STEPS)).round().astype(int).tolist()
    words = [f"{run.methods[n]}, {title}, at step " for title in run.titles]
    rows = [
        PageRow(title, [images.bare(path[k, 0, at], f"{words[k]}{steps[at]}") for at in ends])
        for k, title in enumerate(run.titles)
    ]
    name = f"path-{n:02d}.gif"
    link = f"../figures/{name}" if (run.folder.figures / name).exists() else ""
    return {"steps": [steps[at] for at in ends], "rows": rows, "animation": link}


def _figures(run: Run, n: int) -> Iterator[tuple[str, str]]:
    path = run.folder.figures / f"curve-{n:02d}.png"
    if path.exists() and path.stat().st_size <= _LARGEST_FIGURE:
        words = "Fidelity against distance to the data, for every value that was tried"
        yield data_uri(path.read_bytes()), words


def _trace(run: Run, n: int) -> Markup | None:
    """Make the table of the way back through the layers, the output first; None without a trace."""
    try:
        rows = [
            [title, *_layer(layer)]
            for each in run.traces
            if each["method_number"] == n
            for title in [run.titles[each["target"]]]
            for layer in reversed(each["layers"])
        ]
    except (KeyError, IndexError, TypeError, ValueError) as fault:
        raise damaged(run.path / "traces.json", fault) from None
    if not rows:
        return None
    which = "the first network" if len(run.trained) > 1 else "the network"
    caption = f"The way back through the layers of {which}, output first"
    return Markup(to_html(pd.DataFrame(rows, columns=["Target", *_LAYER]), caption, shared=True))


def _layer(layer: Mapping[str, Any]) -> list[str]:
    def number(value: Any) -> str:
        return UNKNOWN if value is None else plain(float(value))

    facts, ends = layer.get("facts") or {}, layer.get("found_range")
    wide, outside = [facts.get("fan_in"), facts.get("fan_out")], layer.get("outside_share")
    return [
        f"{layer['number']} ({layer['activation']})",
        f"{wide[0]} → {wide[1]}" if None not in wide else UNKNOWN,
        number(facts.get("rank")),
        number(facts.get("condition")),
        f"{number(ends[0])} to {number(ends[1])}" if ends else UNKNOWN,
        UNKNOWN if outside is None else f"{100 * outside:.0f} %",
        *(number(layer.get(name)) for name in ("residual_before", "residual_after", "apart")),
    ]


def controls(images: PageImages) -> dict[str, Any]:
    """Gather what a result is to be held against: networks that learnt nothing, noise, judges.

    Raises:
        JaxbqError: a file is damaged.
    """
    run = images.run
    known = [name for name in ("readability", "judged_right") if name in run.scores]
    kinds = [getattr(result.method, "kind", "") for result in run.first]
    methods = []
    for n, name in enumerate(run.methods if run.controls else ()):
        rows: list[tuple[PageRow, str]] = []
        for network in (run.trained[0], *run.controls):
            label = "trained" if network in run.trained else network.replace("_", " ")
            of = run.scores[(run.scores["network"] == network) & (run.scores["method"] == name)]
            mean = float(of[of["sample"] == 0][known[0]].mean()) if known else math.nan
            rows.append((images.row(label, network, n), share(mean)))
        methods.append({"number": n + 1, "name": name, "rows": rows})
    return {
        "score": "readability" if known else "",
        "methods": methods,
        "baselines": [n for n, kind in enumerate(kinds) if kind in _BASELINES],
        "tables": [Markup(table) for table in _control_tables(run)],
    }


def _control_tables(run: Run) -> Iterator[str]:
    """Write the tables of who measured, and of what: the first is wide, the others are not."""

    def table(
        file: str, caption: str, heads: Sequence[str], entries: Any, make: Any
    ) -> Iterator[str]:
        try:
            rows = [make(each) for each in entries]
        except (TypeError, ValueError, KeyError, AttributeError) as fault:
            raise damaged(run.path / file, fault) from None
        if rows:
            yield to_html(pd.DataFrame(rows, columns=list(heads)), caption)

    chance = share(1 / len(run.class_names))
    noise = ["Noise read as a class asked at random", "Mean largest probability on noise"]
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
        lambda each: [str(each["name"]), _share(each, "test_accuracy")],
    )
    attacked = ["The same under attack"] if run.robustness else []
    yield from table(
        "networks",
        "Networks of this run",
        ["Network", "Test accuracy", *attacked],
        run.networks,
        lambda name: [
            network_name(name),
            accuracy(run.histories[name][-1].test_accuracy if name in run.histories else None),
            *(_share(run.robustness.get(name, {}), "attacked") for _ in attacked),
        ],
    )
    yield from table(
        "naturalness.json",
        "What real test images score",
        ["Measure", "5 %", "median", "95 %"],
        run.naturalness.items(),
        lambda each: [
            COLUMNS["Naturalness"].get(each[0], each[0].replace("_", " ")),
            *map(plain, each[1]),
        ],
    )
    yield from table(
        "autoencoders.json",
        "Autoencoders that methods use: mean squared error of test images, a pixel",
        ["Autoencoder", "its own", "of as many principal components", "of the mean image"],
        run.autoencoders,
        lambda each: [
            f"code of {plural(each['autoencoder']['code'], 'number')}",
            *(plain(float(each[key])) for key in ("error", "pca", "mean_image")),
        ],
    )


def _judge(each: Mapping[str, Any], class_names: Sequence[str]) -> list[str]:
    shares = zip(class_names, each.get("noise_shares") or [], strict=False)
    known = each.get("parameters")
    return [
        str(each["name"]),
        str(each.get("description", "")),
        UNKNOWN if known is None else plain(float(known)),
        *(_share(each, key) for key in ("test_accuracy", "noise_right", "noise_confidence")),
        ", ".join(f"{name}: {accuracy(float(value))}" for name, value in shares if value >= 0.005),
    ]


def _share(each: Mapping[str, Any], key: str) -> str:
    value = each.get(key)
    return UNKNOWN if value is None else accuracy(float(value))
