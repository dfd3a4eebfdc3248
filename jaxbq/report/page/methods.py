"""A section of the page a method: its images, scores, curves, way, trace."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ...methods import Result
from .lines import Drawing, drawing
from .numbers import UNKNOWN, listed, plural
from .pictures import data_uri
from .reading import Run
from .shots import Shot, Shots, network_name
from .traces import TraceTable, trace_table
from .wording import facts_of, flat_options, mean_cell

# Bytes of a page beyond which no more images of further networks are taken in.
ROOM = 6_500_000
_MOST_SAMPLES = 10
_MOST_STEPS = 12
_LARGEST_FIGURE = 400_000
_COLUMNS = {
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


class Lane(NamedTuple):
    """A row of images, one a target."""

    label: str
    shots: Sequence[Shot]


class Way(NamedTuple):
    """The way of the images from their start."""

    steps: Sequence[int]
    lanes: Sequence[Lane]
    animation: str


class MethodView(NamedTuple):
    """All of a method.

    Args:
        number: from 1.
        name: what tables call it.
        options: dotted names and values.
        samples: rows of images of the first network.
        networks: rows of images of every network.
        left_out: what is not shown, in words; empty where everything is.
        columns: of the scores by class.
        scores: one row a target: its title and the cells.
        facts: further numbers, in words.
        drawings: curves.
        way: of the images, where it was kept.
        figures: data URIs of figures, each with what it shows.
        trace: tables of layers, where there are.
    """

    number: int
    name: str
    options: Sequence[tuple[str, str]]
    samples: Sequence[Lane]
    networks: Sequence[Lane]
    left_out: str
    columns: Sequence[str]
    scores: Sequence[tuple[str, Sequence[str]]]
    facts: Sequence[str]
    drawings: Sequence[Drawing]
    way: Way | None
    figures: Sequence[tuple[str, str]]
    trace: TraceTable | None


def method_views(shots: Shots) -> list[MethodView]:
    """Make the sections, with the images of as many networks as there is room for."""
    run = shots.run
    first = run.trained[0]
    numbers = range(len(run.methods))
    samples = [
        [
            Lane(_sample_name(run.first[n], s), _shots(shots, first, n, s))
            for s in range(min(run.first[n].images.shape[1], _MOST_SAMPLES))
        ]
        for n in numbers
    ]
    ways = [_way(shots, n) if shots.size < ROOM else None for n in numbers]
    several = [*run.trained, *run.controls] if len(run.results) > 1 else []
    lanes: list[list[Lane]] = [[] for _ in numbers]
    shown = 0
    for name in several:
        if shots.size > ROOM and shown:
            break
        shown += 1
        for n in numbers:
            lanes[n].append(Lane(network_name(name), _shots(shots, name, n)))
    return [
        _view(run, n, shots, samples[n], lanes[n], len(several) - shown, ways[n]) for n in numbers
    ]


def _view(
    run: Run,
    n: int,
    shots: Shots,
    samples: Sequence[Lane],
    networks: Sequence[Lane],
    missing: int,
    way: Way | None,
) -> MethodView:
    result, name = run.first[n], run.methods[n]
    cells = {
        column: [mean_cell(run, n, target, column) for target in range(len(shots.titles))]
        for column in _COLUMNS
    }
    columns = [column for column, own in cells.items() if set(own) != {UNKNOWN}]
    more = result.images.shape[1] - len(samples)
    left_out = [plural(more, "more sample")] if more > 0 else []
    left_out += [f"{plural(missing, 'more network')}"] if missing > 0 else []
    return MethodView(
        n + 1,
        name,
        list(flat_options(dataclasses.asdict(result.method))),  # type: ignore[call-overload]
        samples,
        networks,
        f"{listed(left_out)} in inversions/, not on this page" if left_out else "",
        [_COLUMNS[column] for column in columns],
        [
            (title, [cells[column][target] for column in columns])
            for target, title in enumerate(shots.titles)
        ],
        facts_of(run, n),
        list(_drawings(result, shots.titles)),
        way,
        list(_figures(run, n)),
        trace_table(run, n, shots.titles),
    )


def _shots(shots: Shots, network: str, n: int, sample: int = 0) -> list[Shot]:
    return [shots.shot(network, n, target, sample) for target in range(len(shots.titles))]


def _sample_name(result: Result, sample: int) -> str:
    if result.images.shape[1] == 1:
        return ""
    starts = result.diagnostics.get("start", result.diagnostics.get("restart"))
    # Where the order differs by target, a row has no one start.
    if starts is not None and (starts[:, sample] == starts[0, sample]).all():
        return f"sample {sample}: start {starts[0, sample]}"
    return f"sample {sample}" + (": best" if sample == 0 else "")


def _drawings(result: Result, titles: Sequence[str]) -> Iterator[Drawing]:
    for name, title in (
        ("curve", "Objective over steps"),
        ("training_curve", "Training loss over epochs"),
    ):
        curves = result.diagnostics.get(name)
        if curves is None or curves.ndim != 3:
            continue
        lines = np.asarray(curves[:, 0], np.float64)
        if (lines == lines[:1]).all():
            lines, titles = lines[:1], ["all targets"]
        found = drawing(title, lines, titles)
        if found:
            yield found


def _way(shots: Shots, n: int) -> Way | None:
    """Show the images on their way, at no more steps than a row holds."""
    result = shots.run.first[n]
    images = result.diagnostics.get("path")
    steps = getattr(result.method, "path", ())
    if images is None or images.ndim != 4 or images.shape[2] != len(steps) or not steps:
        return None
    chosen = np.linspace(0, len(steps) - 1, min(len(steps), _MOST_STEPS)).round().astype(int)
    lanes = [
        Lane(
            title,
            [
                shots.bare(
                    images[target, 0, k], f"{shots.run.methods[n]}, {title}, at step {steps[k]}"
                )
                for k in chosen.tolist()
            ],
        )
        for target, title in enumerate(shots.titles)
    ]
    animation = shots.run.folder.figures / f"path-{n:02d}.gif"
    link = f"../figures/{animation.name}" if animation.exists() else ""
    return Way([steps[k] for k in chosen.tolist()], lanes, link)


def _figures(run: Run, n: int) -> Iterator[tuple[str, str]]:
    path = run.folder.figures / f"curve-{n:02d}.png"
    if path.exists() and path.stat().st_size <= _LARGEST_FIGURE:
        words = "Fidelity against distance to the data, for every value that was tried"
        yield data_uri(path.read_bytes(), "image/png"), words
