"""The benchmark's figures, drawn from its record alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...report.style import Style, save_all
from ...runtime.files import make_folder
from .looks import peer_looks
from .memory import memory_figure
from .ratios import ratios_figure
from .record import read_record
from .roofline import roofline_figure
from .target import target_figure
from .throughput import PARTS, throughput_figure

_ITSELF = Style()


def draw(record: Mapping[str, Any], folder: Path, style: Style = _ITSELF) -> list[Path]:
    """Draw all figures that a benchmark's record has measurements for.

    Args:
        record: what is in its ``record.json``.
        folder: where they are written; made if need be. Figures there of the same names are
            replaced.
        style: width and formats.

    Returns:
        The files: ``throughput-batch``, ``-width``, ``-depth`` and ``-image``,
        ``time-to-target``, ``roofline``, ``memory`` and ``ratios``, as far as there is something
        to draw in them.

    Raises:
        JaxbqError: the record is damaged, or a file cannot be written.
    """
    known = read_record(record)
    peers, width = peer_looks(known), style.inches
    figures = {f"throughput-{part}": throughput_figure(known, part, peers, width) for part in PARTS}
    figures["time-to-target"] = target_figure(known, peers, width)
    figures["roofline"] = roofline_figure(known, width)
    figures["memory"] = memory_figure(known, peers, width)
    figures["ratios"] = ratios_figure(known, peers, width)
    make_folder(folder)
    return [
        path
        for name, figure in figures.items()
        if figure is not None
        for path in save_all(figure, folder / name, style)
    ]
