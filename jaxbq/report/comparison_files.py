"""Runs side by side as files: their images, and tables and figures of a comparison."""

import contextlib
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from ..evaluation.statistics import Interval
from ..experiment import locked
from ..experiment.finished import Run
from ..runtime.files import clear_leftovers, make_folder
from .comparison import Compared, RunComparison
from .images import ImageRow, image_grid
from .style import AS_IS, BLUE, DPI, ORANGE, axes_at, save_figure, shorten, styled, text_width
from .tables import write_all
from .words import UNTESTED, rounded, written

_SIGNIFICANT = 0.05
# Inches.
_ROW, _PANEL, _MOST_LABEL, _ABOVE, _BELOW = 0.2, 1.75, 3.2, 0.62, 0.52
_TEXT = 7.5  # points
_GREY = "0.35"
_SIGNS = "▶ higher or ◀ lower, p < 0.05 with Holm's correction   ○ may be chance"


def comparison_folder(runs: Sequence[Run], out: Path) -> Path:
    """Name a folder for the comparison of these runs, under ``out``."""
    names = [run.name for run in runs]
    digest = hashlib.sha256(" ".join(names).encode()).hexdigest()[:8]
    return out / f"{names[0].rpartition('-')[0] or names[0]}-{digest}"


@contextlib.contextmanager
def _alone_in(where: Path) -> Iterator[None]:
    """Make a folder and hold its lock: drawing takes seconds, another process waits for it."""
    make_folder(where)
    with locked(where, wait=True) as alone:
        if alone:
            clear_leftovers(where)
        yield


def draw_side_by_side(labelled: Sequence[tuple[str, Run]], where: Path) -> list[Path]:
    """Draw, for every method, its images of all runs, one row a run, of the first network of each.

    Args:
        labelled: runs, each with its label. Methods are matched by their place in the config.
        where: folder to write the pictures in; it is made.

    Returns:
        The pictures; none where the runs' images or targets are not of one shape.

    Raises:
        JaxbqError: a run is damaged, or the folder cannot be written.
    """
    runs = [run for _, run in labelled]
    if len({(run.space, run.class_names, run.first[0].targets.shape) for run in runs}) > 1:
        return []
    # Named after what is in them: other runs of the same config get pictures of their own.
    stem = comparison_folder(runs, where).name
    pictures, names = [], runs[0].class_names
    with _alone_in(where):
        for number, same in enumerate(zip(*(run.first for run in runs), strict=False), 1):
            rows = [
                ImageRow.of(result, names, label=label.replace(", ", "\n"))
                for (label, _), result in zip(labelled, same, strict=True)
            ]
            kind = same[0].method.kind
            pictures.append(where / f"{stem}-{number:02d}-{kind}.png")
            save_figure(image_grid(rows, runs[0].space, names), pictures[-1])
    return pictures


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
    with _alone_in(where):
        paths = _write_tables(comparison, where / "comparison")
        for number, method in enumerate(comparison.methods, 1):
            effects: dict[str, list[Effect]] = {}
            for one in comparison.found:
                if one.method == method and one.change:
                    p = one.change.p_holm
                    clear = None if math.isnan(p) else p < _SIGNIFICANT
                    effect = Effect(one.run, one.change.difference, clear)
                    effects.setdefault(one.score, []).append(effect)
            figure = effects_figure(method, comparison.runs[0][0], effects)
            for suffix in (".png", ".pdf"):
                paths.append(where / f"effects-{number:02d}{suffix}")
                save_figure(figure, paths[-1])
    return paths


def _write_tables(comparison: RunComparison, stem: Path) -> list[Path]:
    names = {label: run.name for label, run in comparison.runs}
    # What the first run has none of is empty beside whole numbers.
    digits = pd.DataFrame([_digits(one, names[one.run]) for one in comparison.found], dtype=object)
    texts = {
        f"{method}: {score}": pd.DataFrame(
            [
                [one.run, *shown_cells(one)]
                for one in comparison.found
                if (one.method, one.score) == (method, score)
            ],
            columns=["run", "value", "difference", "p (Holm)", "effect"],
        )
        for method in comparison.methods
        for score in comparison.scores
    }
    title = f"Runs against {comparison.runs[0][0]}"
    return write_all(stem, digits, title, describe_comparison(comparison), texts)


def _digits(one: Compared, folder: str) -> dict[str, Any]:
    """Give all numbers of a row in full; the first run has no difference."""
    found = {"method": one.method, "score": one.score, "run": one.run, "folder": folder}
    found |= {"value": rounded(one.value), **one.value._asdict()}
    if one.change is None:
        return found
    ends = {f"difference_{end}": v for end, v in one.change.difference._asdict().items()}
    tested = {name: getattr(one.change, name) for name in ("paired", "p", "p_holm", "effect")}
    return found | {"difference": rounded(one.change.difference), **ends, **tested}


def shown_cells(one: Compared) -> list[str]:
    """Write value, difference, p and effect for a table."""
    return [rounded(one.value), *(written(one.change) if one.change else ("", "", ""))]


def describe_comparison(comparison: RunComparison) -> str:
    """Say in one line what the numbers are, and of how many."""
    changes = [one.change for one in comparison.found if one.change]
    tests = sum(not math.isnan(change.p) for change in changes)
    how = {
        (True, "networks"): "networks of the same seeds, paired t-test",
        (False, "networks"): "networks of other seeds, Welch's t-test",
    }
    if not tests:
        return (
            "Mean and 95 % interval over classes, best image of each target; difference to "
            f"{comparison.runs[0][0]}; {UNTESTED}"
        )
    kinds = dict.fromkeys(how[c.paired, c.unit] for c in changes if not math.isnan(c.p))
    said = "; ".join(kinds)
    return (
        f"Mean and 95 % interval, best image of each target; difference to {comparison.runs[0][0]} "
        f"({said}; p with Holm's correction over all {tests} tests; effect in standard deviations; "
        "each interval is of one difference alone)"
    )


class Effect(NamedTuple):
    """A row of a panel.

    Args:
        run: its label.
        difference: to the first run.
        clear: whether it differs beyond chance; None where that was not tested.
    """

    run: str
    difference: Interval
    clear: bool | None


@styled()
def effects_figure(method: str, first: str, effects: Mapping[str, Sequence[Effect]]) -> Figure:
    """Draw differences to the first run, one panel a score and one row a run.

    A filled triangle points to where a clear difference leads, up in blue and down in orange; an
    open grey circle is one that may be chance. Lines are intervals.

    Args:
        method: whose scores they are.
        first: label of the run that all are compared with: the line at zero.
        effects: by score; runs in one order.
    """
    runs = list(dict.fromkeys(each.run for rows in effects.values() for each in rows))
    labels = [shorten(" ".join(run.split()), _TEXT, _MOST_LABEL) for run in runs]
    left = 0.2 + max(text_width(label, _TEXT) for label in labels)
    width = max(left + _PANEL * len(effects), text_width(_SIGNS, _TEXT) + 0.15)
    size = (width + 0.1, _ABOVE + _ROW * len(runs) + _BELOW)
    figure = Figure(figsize=size, dpi=DPI)
    for number, (score, rows) in enumerate(effects.items()):
        box = (left + _PANEL * number, _BELOW, _PANEL - 0.15, _ROW * len(runs))
        axis = axes_at(figure, box)
        for row in range(0, len(runs), 2):
            axis.axhspan(row - 0.5, row + 0.5, color="0.96", zorder=0)
        axis.axvline(0, color="0.2", linewidth=0.9, zorder=1)
        for each in rows:
            _draw(axis, each, len(runs) - 1 - runs.index(each.run))
        axis.set_ylim(-0.5, len(runs) - 0.5)
        shown = [label if number == 0 else "" for label in reversed(labels)]
        axis.set_yticks(range(len(runs)), shown, **AS_IS)
        axis.set_title(score.replace("_", " "), fontsize=_TEXT + 1)
        axis.locator_params(axis="x", nbins=4)
        axis.tick_params(labelsize=_TEXT, length=2)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x")
        axis.spines["left"].set_visible(False)
    tested = any(each.clear is not None for rows in effects.values() for each in rows)
    _write(figure, size, method, first, _SIGNS if tested else f"○ {UNTESTED}")
    return figure


def _draw(axis: Any, effect: Effect, place: float) -> None:
    mean, low, high = effect.difference[:3]
    if math.isnan(mean):
        return
    colour = (BLUE if mean > 0 else ORANGE) if effect.clear else _GREY
    marker = (">" if mean > 0 else "<") if effect.clear else "o"
    if not math.isnan(low):
        axis.plot([low, high], [place, place], color=colour, linewidth=1.3, zorder=2)
    look = {"markersize": 5, "markerfacecolor": colour if effect.clear else "white"}
    axis.plot(mean, place, marker, color=colour, markeredgewidth=1.1, zorder=3, **look)


def _write(figure: Figure, size: tuple[float, float], method: str, first: str, signs: str) -> None:
    """Write what is drawn above it, and what the signs mean below."""
    for text, points, height in (
        (method, _TEXT + 1.5, size[1] - 0.16),
        (f"difference to {first}, mean and 95 % interval", _TEXT, size[1] - 0.34),
        (signs, _TEXT, 0.12),
    ):
        shown = shorten(" ".join(text.split()), points, size[0] - 0.2)
        figure.text(0.1 / size[0], height / size[1], shown, fontsize=points, va="center", **AS_IS)
