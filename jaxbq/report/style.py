"""One style for all figures: for a page or a column of a paper, on a screen, and in grey.

Nothing global is changed: a figure is drawn and written inside :func:`styled`, which sets
matplotlib's parameters for as long as that takes, whatever the user's own settings are. Sizes of
text are points of the final figure, so a figure is drawn at its width, never scaled to it.
"""

import contextlib
import html
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from ..errors import JaxbqError
from ..runtime.files import write_atomically

DPI = 200
_PRINT_DPI = 300
# Okabe and Ito's palette, told apart by colour-blind readers. Where colour says something, a sign,
# a marker or a line style says it too: in grey some of these are alike.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
# Smallest text, in points, that is read in print.
SMALLEST = 5.5
# A text column and a text page of most journals, inches.
WIDTHS = {"column": 3.4, "page": 7.0}
NATURAL = "natural"
FORMATS = ("png", "pdf", "svg")
# Names of a user's are no formulas, whatever dollars are in them.
AS_IS: Any = {"parse_math": False}
_NARROWEST, _WIDEST = 1.0, 20.0
_BESIDE = 5.0  # in less, two plots do not stand side by side
_PARAMETERS: dict[str, Any] = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same text everywhere
    "pdf.fonttype": 42,  # embedded as they are; journals refuse Type 3
    "ps.fonttype": 42,
    "svg.hashsalt": "jaxbq",  # the same names inside, every time
    "axes.labelsize": 8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
}
# What says when or by what a file was made; without it the same figure is the same bytes.
_UNDATED = {
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None},
    ".svg": {"Date": None},
}


@dataclass(frozen=True)
class Style:
    """How figures are written.

    Args:
        width: ``natural``, as large as the figure's content asks for; ``column`` (3.4 inches) or
            ``page`` (7 inches) of a paper; or a number of inches from 1 to 20.
        formats: of ``png``, ``pdf`` and ``svg``, one file each.

    Raises:
        JaxbqError: there is no such width or format.
    """

    width: str | float = NATURAL
    formats: tuple[str, ...] = ("png",)

    def __post_init__(self) -> None:
        named = isinstance(self.width, str)
        known = self.width in (NATURAL, *WIDTHS)
        if not (known if named else _NARROWEST <= float(self.width) <= _WIDEST):
            inches = f"{_NARROWEST:g} to {_WIDEST:g} inches"
            raise JaxbqError(
                f"figure width {self.width!r}: use natural, column, page or {inches}, like 5.5"
            )
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown or not self.formats:
            raise JaxbqError(
                f"figure formats {', '.join(unknown) or 'none'}: use some of {', '.join(FORMATS)}"
            )

    @property
    def inches(self) -> float | None:
        """The width to draw at; None for the figure's own."""
        return WIDTHS.get(self.width) if isinstance(self.width, str) else float(self.width)

    @property
    def dpi(self) -> int:
        """Pixels an inch of a PNG: for a screen, or for paper."""
        return DPI if self.width == NATURAL else _PRINT_DPI


@contextlib.contextmanager
def styled(*, grid: bool = False) -> Iterator[None]:
    """Draw or write in the style of this package; also decorates a function that does.

    Args:
        grid: whether axes have one.

    matplotlib's own defaults come first, so that nobody's matplotlibrc changes a figure. Like all
    of matplotlib's parameters these are shared by threads, and restored at the end.
    """
    # Another backend would open windows, and is not needed: figures here have no window.
    defaults: Any = matplotlib.rcParamsDefault
    usual = {name: defaults[name] for name in defaults if not name.startswith("backend")}
    with matplotlib.rc_context(usual | _PARAMETERS | {"axes.grid": grid}):
        yield


def check_format(path: Path) -> None:
    """Check that matplotlib can write a figure under this name.

    Raises:
        JaxbqError: its suffix is no format.
    """
    if path.suffix.lstrip(".").lower() not in FigureCanvasBase.filetypes:
        raise JaxbqError(f"{path}: no figure format has this suffix; use .png or .pdf")


def save_figure(figure: Figure, path: Path, dpi: float | None = None) -> None:
    """Write a figure in the format of its suffix, atomically and without a date in it.

    The same figure gives the same bytes, as PNG, PDF and SVG.

    Args:
        figure: what one of this package's functions drew.
        path: the file.
        dpi: pixels an inch of a PNG, and of the pictures in a PDF; by default the figure's own.

    Raises:
        JaxbqError: the format is unknown or the file cannot be written.
    """
    check_format(path)
    more: Any = {"metadata": _UNDATED.get(path.suffix.lower()), "dpi": dpi or "figure"}
    with styled():
        write_atomically(path, lambda temporary: figure.savefig(temporary, **more))


def save_all(figure: Figure, stem: Path, style: Style) -> list[Path]:
    """Write a figure that was drawn at ``style.inches`` in every format of a style.

    Args:
        figure: what one of this package's functions drew.
        stem: the files' name without a suffix.
        style: says which formats.

    Returns:
        The files, in the order of the formats.

    Raises:
        JaxbqError: one cannot be written.
    """
    # Not with_suffix: a dot in a stem is a part of it.
    paths = [stem.with_name(f"{stem.name}.{name}") for name in style.formats]
    for path in paths:
        save_figure(figure, path, style.dpi)
    return paths


def to_svg(figure: Figure, kind: str, name: str, words: str) -> str:
    """Write a figure as SVG to stand in a page, without a size; the same figure, the same bytes.

    Args:
        figure: what one of this package's functions drew; nothing in it is clipped.
        kind: classes of the element.
        name: put before every identifier, as these are unique in a page.
        words: what is drawn.
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with styled(), matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    # A style sheet and addresses in it would be those of the page.
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'\s(xmlns(:xlink)?|clip-path)="[^"]*"', "", text[text.index("<svg") :])
    text = re.sub(r'\sid="', rf' id="{name}-', text)
    text = re.sub(r'\s(?:xlink:)?href="#', rf' href="#{name}-', text)
    view = re.search(r'viewBox="[^"]*"', text)
    about = f'role="group" aria-label="{html.escape(words)}"'
    head = f'<svg class="{kind}" {view[0] if view else ""} {about}>'
    return re.sub(r"<svg[^>]*>", lambda _: head, text, count=1)


def axes_at(figure: Figure, box: tuple[float, float, float, float], **more: Any) -> Any:
    """Add axes in a box of inches: left, bottom, width, height."""
    width, height = figure.get_size_inches()
    place = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
    return figure.add_axes(place, facecolor="none", **more)


def two_plots(width: float, height: float) -> tuple[Figure, Any, Any]:
    """Make two plots of a height: side by side, or one below the other in a little width; inches.

    Returns:
        The figure, and its two axes.
    """
    beside = width >= _BESIDE
    size = (width, height if beside else 1.85 * height)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    first, second = figure.subplots(*((1, 2) if beside else (2, 1)))
    return figure, first, second


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Measure one line of text of a size in points, no formula, without drawing it: inches."""
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, False)
    return float(width) / 72


def shorten(text: str, size: float, room: float) -> str:
    """Cut a line of text, of a size in points, to inches of room; where it is cut it ends in …."""
    if text_width(text, size) <= room:
        return text
    while len(text) > 1 and text_width(text + "…", size) > room:
        text = text[:-1].rstrip()
    return text + "…"
