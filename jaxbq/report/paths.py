"""The way of every image from its start: a strip, and an animation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from ..errors import JaxbqError
from ..methods import Ascent, Result
from ..network.targets import name_target
from ..runtime.files import write_atomically
from .images import as_bytes, check_drawable, draw_image, proportion
from .style import AS_IS, DPI, SMALLEST, styled

ANIMATIONS = (".gif", ".webp")
# Of a strip: its most steps, and inches of a picture, of the least one, and of the names.
_STEPS, _CELL, _LEAST, _NAMES = 12, 0.75, 0.42, 0.5
_COLUMNS = 5
_SCALE_TO = 112  # pixels of the screen that an image is wide, about
_LOWEST = 12  # and high, at least: a strip of pixels is to be seen
_GAP, _HEAD, _FOOT = 8, 22, 30
_FRAME_MS, _LAST_MS = 140, 1500


def default_path(steps: int) -> tuple[int, ...]:
    """Choose steps to keep: dense at first, when an image changes most."""
    return tuple(sorted({0, steps, *np.geomspace(1, steps, 40).round().astype(int).tolist()}))


@styled()
def path_strip(result: Result, class_names: Sequence[str], *, width: float | None = None) -> Figure:
    """Draw the way of the best image of each target: a row a target, a column a kept step.

    Args:
        result: of an ascent that kept a path.
        class_names: one an output.
        width: inches; by default as wide as twelve steps are. In less room there are fewer.

    Raises:
        JaxbqError: the method kept no path.
    """
    steps, images = _path(result)
    names = [name_target(target, class_names) for target in result.targets]
    number, cell, points = min(len(steps), _STEPS), _CELL, 8.0
    if width is not None:
        number = max(1, min(number, int((width - _NAMES) / _LEAST)))
        cell = min((width - _NAMES) / number, _CELL)
        points = min(8.0, max(SMALLEST, 60 * cell / max(4, len(str(steps[-1])))))
    chosen = np.linspace(0, len(steps) - 1, number).round().astype(int)
    size = (width or _NAMES + cell * number, 0.35 + cell * proportion(result.space) * len(images))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    grid: Any = figure.subplots(len(images), len(chosen), squeeze=False)
    for (line, column), axis in np.ndenumerate(grid):
        draw_image(axis, images[line, chosen[column]], result.space)
        if line == 0:
            step = steps[chosen[column]]
            axis.set_title(f"step {step}" if column == 0 else str(step), fontsize=points)
        if column == 0:
            look: Any = {"rotation": 0, "ha": "right", "va": "center", **AS_IS}
            axis.set_ylabel(names[line], fontweight="bold", fontsize=points + 2, **look)
    return figure


def save_animation(result: Result, path: Path, class_names: Sequence[str]) -> None:
    """Write the way of the best images of all targets as an animated GIF or WebP, by the suffix.

    Raises:
        JaxbqError: the method kept no path, or the file cannot be written.
    """
    steps, images = _path(result)
    names = [name_target(target, class_names) for target in result.targets]
    shades = as_bytes(images, result.space)
    factor = max(1, _SCALE_TO // shades.shape[3])
    tall = max(factor, -(-_LOWEST // shades.shape[2]))
    shades = shades.repeat(tall, axis=2).repeat(factor, axis=3)
    frames = [_frame(shades[:, n], names, step) for n, step in enumerate(steps)]
    durations = [_FRAME_MS] * (len(frames) - 1) + [_LAST_MS]
    # GIF keeps a frame's time in hundredths of a second; `lossless` is WebP's.
    more: dict[str, Any] = {"lossless": True} if path.suffix == ".webp" else {"optimize": False}

    def write(temporary: Path) -> None:
        frames[0].save(
            temporary, save_all=True, append_images=frames[1:], duration=durations, loop=0, **more
        )

    write_atomically(path, write)


def _path(result: Result) -> tuple[tuple[int, ...], Float[np.ndarray, "targets moments pixels"]]:
    check_drawable(result.space)
    if "path" not in result.diagnostics or not isinstance(result.method, Ascent):
        raise JaxbqError(
            "no path was kept; give the ascent steps to keep, like path = [0, 10, 100]"
        )
    return result.method.path, result.diagnostics["path"][:, 0]


def _frame(
    images: UInt8[np.ndarray, "targets h w *channels"], names: Sequence[str], step: int
) -> Image.Image:
    columns = min(len(images), _COLUMNS)
    lines = -(-len(images) // columns)
    height, width = images.shape[1] + _HEAD + _GAP, images.shape[2] + _GAP
    size = (columns * width + _GAP, lines * height + _FOOT)
    frame = Image.new("RGB" if images.ndim == 4 else "L", size, "white")
    draw = ImageDraw.Draw(frame)
    font = ImageFont.load_default(size=15)
    for number, (image, name) in enumerate(zip(images, names, strict=True)):
        line, column = divmod(number, columns)
        left, top = _GAP + column * width, line * height + _HEAD
        draw.text((left + image.shape[1] / 2, top - 4), name, "black", font, anchor="mb")
        frame.paste(Image.fromarray(image), (left, top))
        box = (left - 1, top - 1, left + image.shape[1], top + image.shape[0])
        draw.rectangle(box, outline="#b4b4b4")
    draw.text((_GAP, frame.height - 8), f"step {step}", "black", font, anchor="lb")
    return frame
