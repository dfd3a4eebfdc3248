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
from matplotlib.patches import Rectangle

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
    axes_at,
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
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(True)
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


def shared_start(result: Result, sample: int) -> int | None:
    """Find which start a sample of all targets is from; None where they differ, or have none."""
    starts = result.diagnostics.get("start", result.diagnostics.get("restart"))
    if starts is None or (starts[:, sample] != starts[0, sample]).any():
        return None
    return int(starts[0, sample])


class _Box(NamedTuple):
    """Where a picture is, in inches."""

    left: float
    below: float
    width: float
    height: float

    @property
    def top(self) -> float:
        return self.below + self.height

    @property
    def middle(self) -> float:
        return self.left + self.width / 2


class _Layout(NamedTuple):
    """How a grid is laid out: inches, and points of text."""

    columns: int  # pictures side by side
    left: float  # before them
    cell: float = 0.95  # width of a picture
    gap: float = 0.08  # between two
    answer: float = 0.3  # for the text under a picture
    title: float = 0.35  # for the titles over a band
    above: float = 0.0  # for a label over its row; 0 where it stands before it
    bar: float = 0.75  # for the scale
    small: float = 8.0  # answers and labels
    large: float = 11.0  # titles
    lines: int = 1  # of an answer
    room: float = math.inf  # for a text of a picture; what is longer is cut

    @property
    def tight(self) -> bool:
        """Whether it has to fit a given width."""
        return self.room < math.inf


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
    high, step = cell + plan.answer + plan.above, plan.cell + plan.gap
    size = (
        width or plan.left + plan.columns * step + plan.bar,
        bands * (plan.title + len(rows) * high),
    )
    # One pair of axes, in inches, for all pictures: a pair for each takes ten times as long.
    figure = Figure(figsize=size, dpi=DPI)
    page = axes_at(figure, (0, 0, *size))
    drawn: Any = None
    for (method, row), target in itertools.product(enumerate(rows), range(number)):
        band, column = divmod(target, plan.columns)
        line = band * len(rows) + method + 1
        below = size[1] - (band + 1) * plan.title - line * high + plan.answer
        box = _Box(plan.left + column * step, below, plan.cell, cell)
        drawn = draw_image(page, row.images[target], space)
        drawn.set_extent((box.left, box.left + box.width, below, box.top))
        if method == 0:
            title = shorten(row.titles[target], plan.large, plan.room)
            # A label over the row stands between the title and the picture.
            above = plan.above + 0.02 if plan.above else 4 / 72
            look: Any = {"ha": "center", "fontweight": "bold", "gid": f"title-{target}", **AS_IS}
            page.text(box.middle, box.top + above, title, fontsize=plan.large, **look)
        if column == 0:
            _write_label(page, row.label, plan, box)
        answer = _answer(row, target, class_names, plan.lines)
        _write_answer(page, row.right[target], answer, plan, box, f"answer-{method}-{target}")
    page.set(xlim=(0, size[0]), ylim=(0, size[1]), aspect="auto")
    page.set_axis_off()
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
    for plan in plans:
        bar = 0.03 if is_coloured(space) else plan.bar
        step = (width - plan.left - bar) / plan.columns
        fitted = plan._replace(cell=min(step - plan.gap, 0.95), bar=bar, room=step)
        titles = {title for row in rows for title in row.titles}
        answers = {
            part
            for row in rows
            for target in range(len(row.images))
            for part in _answer(row, target, class_names, plan.lines)
        }
        if all(text_width(part, plan.small) <= step for part in answers) and all(
            text_width(title, plan.large, "bold") <= step for title in titles
        ):
            break
    return fitted


def _answer(row: ImageRow, target: int, class_names: Sequence[str], lines: int) -> list[str]:
    """Say which class the network reads and its output for that, in one line or two."""
    output = row.outputs[target]
    predicted = int(output.argmax())
    sign = "✓" if row.right[target] else "✗"
    said = [f"{sign} {class_names[predicted]}", f"{output[predicted]:.2f}"]
    return said if lines == 2 else ["  ".join(said)]


def _write_label(page: Any, label: str, plan: _Layout, box: _Box) -> None:
    if plan.above == 0:
        look: Any = {"ha": "right", "va": "center", "fontsize": plan.small, **AS_IS}
        left = box.left - (4 if plan.tight else 8) / 72
        page.text(left, box.below + box.height / 2, _wrap(label), **look)
    else:
        whole = plan.columns * (plan.cell + plan.gap)
        text = shorten(" ".join(label.split()), 6.5, whole)
        page.text(box.left, box.top + 0.03, text, fontsize=6.5, **AS_IS)


def _write_answer(
    page: Any, right: bool, parts: Sequence[str], plan: _Layout, box: _Box, gid: str
) -> None:
    text = "\n".join(shorten(part, plan.small, plan.room) for part in parts)
    colour = BLUE if right else ORANGE
    look: Any = {"ha": "center", "va": "top", "color": colour, "gid": gid, **AS_IS}
    look |= {"linespacing": 1.0} if plan.tight else {}
    below = box.below - (2 if plan.tight else 3) / 72
    page.text(box.middle, below, text, fontsize=plan.small, **look)
    line: Any = {"fill": False, "edgecolor": colour, "linewidth": 0.8 if plan.tight else 1.2}
    page.add_patch(Rectangle((box.left, box.below), box.width, box.height, **line))


def _draw_scale(figure: Figure, drawn: Any, space: ImageSpace, plan: _Layout) -> None:
    wide, high = figure.get_size_inches()
    tall = min(1.0 if plan.tight else 1.6, high - plan.title - plan.answer)
    before, across = (0.02, 0.08) if plan.tight else (0.15, 0.12)
    box = (wide - plan.bar + before, (high - tall) / 2, across, tall)
    scale = figure.colorbar(drawn, cax=axes_at(figure, box), ticks=[space.low, space.high])
    points = min(plan.small, 7)
    ticks: Any = {"length": 1.5, "pad": 1} if plan.tight else {}
    scale.ax.tick_params(labelsize=points, **ticks)
    scale.set_label("pixel", fontsize=points, labelpad=-4)


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
