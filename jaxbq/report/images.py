"""How one image is drawn, and grids of them: a row a method, under each what the network reads.

Grey is dark ink on white, colour is as it is.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

from ..data import ImageSpace
from ..errors import JaxbqError
from ..evaluation import read_as_asked
from ..methods import Result
from ..network.targets import name_target
from ..options import describe
from .style import (
    AS_IS,
    BLUE,
    DPI,
    NATURAL,
    ORANGE,
    SMALLEST,
    Style,
    save_figure,
    shorten,
    styled,
    text_width,
)

_COLUMNS = 10
# Inches: of a label's character, about; of a picture with its gap that has a label before it.
_CHARACTER, _LEAST = 0.067, 0.36
# A strip of pixels would be a line too thin to see, or a figure too tall to open.
_FLATTEST, _TALLEST = 0.12, 4.0


def check_drawable(space: ImageSpace) -> None:
    """Check that images can be drawn.

    Raises:
        JaxbqError: they are of another shape than (height, width), with 1 or 3 channels or none,
            or (pixels,).
    """
    if len(space.shape) not in (1, 2, 3) or space.shape[2:] not in ((), (1,), (3,)):
        raise JaxbqError(
            f"images of shape {space.shape} cannot be drawn: they are neither grey pictures "
            "(height, width) nor coloured ones (height, width, 3)"
        )


def is_coloured(space: ImageSpace) -> bool:
    """Whether pixels are red, green and blue."""
    return space.shape[2:] == (3,)


def picture_shape(space: ImageSpace) -> tuple[int, ...]:
    """Say in what shape an image is drawn: (height, width), in colour (height, width, 3).

    What is no picture is a strip of pixels.
    """
    if is_coloured(space) or len(space.shape) == 2:
        return space.shape
    return space.shape[:2] if space.shape[2:] == (1,) else (1, space.pixels)


def proportion(space: ImageSpace) -> float:
    """Height of a drawn image by its width, within bounds."""
    height, width = picture_shape(space)[:2]
    return min(max(height / width, _FLATTEST), _TALLEST)


def draw_image(axis: Any, image: Float[np.ndarray, " pixels"], space: ImageSpace) -> Any:
    """Draw one image; all share one scale, the pixel range, and what is beyond takes its end."""
    picture = image.reshape(picture_shape(space))
    if is_coloured(space):
        picture = np.clip((picture - space.low) / (space.high - space.low), 0, 1)
    height, width = picture.shape[:2]
    return axis.imshow(
        picture,
        vmin=space.low,
        vmax=space.high,
        cmap="gray_r",
        interpolation="nearest",
        aspect="equal" if proportion(space) == height / width else "auto",
    )


def as_bytes(
    images: Float[np.ndarray, "*batch pixels"], space: ImageSpace
) -> UInt8[np.ndarray, "*batch_and_picture"]:
    """Turn images into the bytes that a picture file of them holds, as :func:`draw_image` shows."""
    share = np.clip((images - space.low) / (space.high - space.low), 0, 1)
    shades = np.round(255 * (share if is_coloured(space) else 1 - share)).astype(np.uint8)
    return shades.reshape(*images.shape[:-1], *picture_shape(space))


@dataclasses.dataclass(frozen=True)
class ImageRow:
    """One method's line of a grid.

    Args:
        label: its name.
        images: one image a target, shape (targets, pixels).
        outputs: the network's answers to them, shape (targets, outputs).
        titles: what each target asks for.
        right: whether the network reads each as asked.
    """

    label: str
    images: Float[np.ndarray, "targets pixels"]
    outputs: Float[np.ndarray, "targets outputs"]
    titles: Sequence[str]
    right: Sequence[bool]

    @classmethod
    def of(
        cls, result: Result, class_names: Sequence[str], sample: int = 0, label: str | None = None
    ) -> "ImageRow":
        """Take one sample of every target, the best by default."""
        return cls(
            label or describe(result.method),
            result.images[:, sample],
            result.outputs[:, sample],
            [name_target(target, class_names) for target in result.targets],
            read_as_asked(result.targets, result.outputs)[:, sample].tolist(),
        )


class _Layout(NamedTuple):
    """How a grid is laid out.

    Args:
        columns: pictures side by side.
        left: inches before them.
        cell: inches that a picture is wide.
        gap: inches between two.
        answer: inches for the text under a picture.
        title: inches for the titles over a band.
        above: inches for a label over its row; 0 where it stands before it.
        bar: inches for the scale, 0 without one.
        small: points of answers and labels.
        large: points of titles.
        lines: of an answer.
        room: inches for a text of a picture; what is longer is cut.
    """

    columns: int
    left: float
    cell: float = 0.95
    gap: float = 0.08
    answer: float = 0.3
    title: float = 0.35
    above: float = 0.0
    bar: float = 0.75
    small: float = 8.0
    large: float = 11.0
    lines: int = 1
    room: float = math.inf


@styled()
def image_grid(
    rows: Sequence[ImageRow],
    space: ImageSpace,
    class_names: Sequence[str],
    *,
    width: float | None = None,
) -> Figure:
    """Draw methods × classes, under each image what the network reads in it.

    All images share one scale, the pixel range: a grey image is grey. Pixels outside the range
    take the colour of its nearer end. More than ten targets are broken into bands.

    Args:
        rows: one a method.
        space: of all images.
        class_names: one an output.
        width: inches; by default as wide as ten pictures and the labels are. Where that is little
            the pictures are smaller, labels stand over their rows, and bands are more.

    Raises:
        JaxbqError: images are neither grey pictures nor coloured ones.
    """
    check_drawable(space)
    number = len(rows[0].images)
    plan = _natural(rows) if width is None else _fitted(rows, space, class_names, width)
    cell, bands = plan.cell * proportion(space), math.ceil(number / plan.columns)
    high = cell + plan.answer + plan.above
    across = plan.left + plan.columns * (plan.cell + plan.gap) + plan.bar
    size = (width or across, bands * (plan.title + len(rows) * high))
    # Every picture is placed by hand: a layout engine takes seconds for a hundred of them.
    figure = Figure(figsize=size, dpi=DPI)
    drawn: Any = None
    for (method, row), target in itertools.product(enumerate(rows), range(number)):
        band, column = divmod(target, plan.columns)
        line = band * len(rows) + method
        below = size[1] - (band + 1) * plan.title - line * high - plan.above - cell
        box = (plan.left + column * (plan.cell + plan.gap), below, plan.cell, cell)
        axis = figure.add_axes(_share(box, size), xticks=[], yticks=[])
        drawn = draw_image(axis, row.images[target], space)
        if method == 0:
            _write_title(axis, row.titles[target], plan, cell)
        if column == 0:
            _write_label(axis, row.label, plan, cell)
        _write_answer(axis, row, target, class_names, plan)
    if not is_coloured(space):  # Those are what they are.
        _draw_scale(figure, drawn, space, plan)
    return figure


def _natural(rows: Sequence[ImageRow]) -> _Layout:
    """Lay a grid out with room for everything."""
    longest = max(len(line) for row in rows for line in _wrap(row.label).splitlines())
    return _Layout(min(len(rows[0].images), _COLUMNS), 0.25 + _CHARACTER * longest)


def _fitted(
    rows: Sequence[ImageRow], space: ImageSpace, class_names: Sequence[str], width: float
) -> _Layout:
    """Lay a grid out in a given width: the first of ever closer layouts whose text fits."""
    most = min(len(rows[0].images), _COLUMNS)
    labels = [line for row in rows for line in _wrap(row.label).splitlines()]
    left = 0.12 + max(text_width(line, 7) for line in labels)
    plans = [_Layout(most, left, 0, 0.06, 0.22, 0.28, 0, 0.4, 7, 9)]
    plans.append(plans[0]._replace(answer=0.3, small=6.5, lines=2))
    if (width - left - plans[0].bar) / most < _LEAST:
        plans = []
    close = _Layout(most, 0.03, 0, 0.03, 0.24, 0.2, 0.13, 0.28, SMALLEST, 7, 2)
    plans += [close._replace(columns=columns) for columns in range(most, 0, -1)]
    titles, answers = [title for row in rows for title in row.titles], _answers(rows, class_names)
    for plan in plans:
        bar = 0.03 if is_coloured(space) else plan.bar
        step = (width - plan.left - bar) / plan.columns
        fitted = plan._replace(cell=min(step - plan.gap, 0.95), bar=bar, room=step)
        said = [part for answer in answers for part in _parts(answer, plan.lines)]
        if max(text_width(part, plan.small) for part in said) > step:
            continue
        if max(text_width(title, plan.large, "bold") for title in titles) <= step:
            break
    return fitted


def _answers(rows: Sequence[ImageRow], class_names: Sequence[str]) -> set[tuple[str, str]]:
    """List everything that is said under a picture: the class, and how much of it."""
    return {_answer(row, target, class_names) for row in rows for target in range(len(row.images))}


def _answer(row: ImageRow, target: int, class_names: Sequence[str]) -> tuple[str, str]:
    output = row.outputs[target]
    predicted = int(output.argmax())
    sign = "✓" if row.right[target] else "✗"
    return f"{sign} {class_names[predicted]}", f"{output[predicted]:.2f}"


def _parts(answer: tuple[str, str], lines: int) -> tuple[str, ...]:
    return answer if lines == 2 else ("  ".join(answer),)


def _share(
    box: tuple[float, float, float, float], size: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Turn a box in inches into shares of a figure."""
    return box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1]


def _write_title(axis: Any, title: str, plan: _Layout, cell: float) -> None:
    look: Any = {"fontsize": plan.large, "fontweight": "bold", **AS_IS}
    # The label of the row comes between, where it is over the row.
    y = None if plan.above == 0 else 1 + (plan.above + 0.02) / cell
    axis.set_title(_cut(title, plan.large, plan.room), pad=0 if plan.above else 4, y=y, **look)


def _write_label(axis: Any, label: str, plan: _Layout, cell: float) -> None:
    if plan.above == 0:
        look: Any = {"rotation": 0, "ha": "right", "va": "center", **AS_IS}
        pad = 8 if plan.room == math.inf else 4
        axis.set_ylabel(_wrap(label), fontsize=plan.small, labelpad=pad, **look)
        return
    whole = plan.columns * (plan.cell + plan.gap)
    text, place = _cut(" ".join(label.split()), 6.5, whole), (0, 1 + 0.03 / cell)
    axis.text(*place, text, transform=axis.transAxes, fontsize=6.5, va="baseline", **AS_IS)


def _write_answer(
    axis: Any, row: ImageRow, target: int, class_names: Sequence[str], plan: _Layout
) -> None:
    parts = _parts(_answer(row, target, class_names), plan.lines)
    text = "\n".join(_cut(part, plan.small, plan.room) for part in parts)
    colour = BLUE if row.right[target] else ORANGE
    tight = plan.room < math.inf
    look: Any = {"labelpad": 2, "linespacing": 1.0} if tight else {"labelpad": 3}
    axis.set_xlabel(text, fontsize=plan.small, color=colour, **look, **AS_IS)
    for spine in axis.spines.values():
        spine.set_color(colour)
        spine.set_linewidth(0.8 if tight else 1.2)


def _draw_scale(figure: Figure, drawn: Any, space: ImageSpace, plan: _Layout) -> None:
    size = tuple(figure.get_size_inches())
    tight = plan.room < math.inf
    tall = min(1.0 if tight else 1.6, size[1] - plan.title - plan.answer)
    wide, before = (0.08, 0.02) if tight else (0.12, 0.15)
    bar = (size[0] - plan.bar + before, (size[1] - tall) / 2, wide, tall)
    scale = figure.colorbar(drawn, cax=figure.add_axes(_share(bar, (size[0], size[1]))))
    scale.set_ticks([space.low, space.high])
    points = min(plan.small, 7)
    ticks: Any = {"length": 1.5, "pad": 1} if tight else {}
    scale.ax.tick_params(labelsize=points, **ticks)
    scale.set_label("pixel", fontsize=points, labelpad=-4)


def _cut(text: str, size: float, room: float) -> str:
    return text if room == math.inf else shorten(text, size, room)


def _wrap(label: str) -> str:
    """Break the label of a method after its kind and between its options."""
    kind, bracket, rest = label.partition("(")
    return f"{kind}\n{rest.removesuffix(')').replace(', ', chr(10))}" if bracket else kind


def plot(
    results: Result | Sequence[Result],
    path: Path | str | None = None,
    *,
    class_names: Sequence[str] | None = None,
    width: str | float = NATURAL,
) -> Figure:
    """Draw results as a grid, one row a method and one column a target.

    Args:
        results: what :func:`jaxbq.invert` returned, for the same targets.
        path: file to write too, PNG or PDF by its suffix.
        class_names: one an output; by default the numbers.
        width: ``natural``; ``column`` or ``page`` of a paper; or a number of inches.

    Returns:
        The figure.

    Raises:
        JaxbqError: there is nothing to draw, targets differ, there is no such width, or the file
            cannot be written.
    """
    chosen = [results] if isinstance(results, Result) else list(results)
    if not chosen:
        raise JaxbqError("no results to plot")
    if any(not np.array_equal(each.targets, chosen[0].targets) for each in chosen):
        raise JaxbqError("these results have different targets; plot them one by one")
    names = class_names or [str(n) for n in range(chosen[0].targets.shape[1])]
    style = Style(width)
    rows = [ImageRow.of(each, names) for each in chosen]
    figure = image_grid(rows, chosen[0].space, names, width=style.inches)
    if path is not None:
        save_figure(figure, Path(path), style.dpi)
    return figure
