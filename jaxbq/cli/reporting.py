"""Commands about a finished run: report."""

import argparse
from pathlib import Path
from typing import Any

from ..errors import JaxbqError


def add_report(commands: Any) -> None:
    """Add ``jaxbq report``."""
    report = commands.add_parser(
        "report",
        help="rebuild the report of a run: the page, tables, figures",
        description="Rebuild the report of a finished run from the files in its folder: "
        "report/index.html, tables/, figures/. Nothing is computed again.",
        epilog="example: jaxbq report runs/quickstart-1f2e3d4c --width column --format pdf",
    )
    report.add_argument("run", metavar="RUN", help="run folder")
    report.add_argument(
        "--width",
        metavar="WIDTH",
        default="natural",
        help="of figures: column (3.4 inches), page (7), or inches; default: what fits the content",
    )
    report.add_argument(
        "--format",
        metavar="FORMAT",
        action="append",
        choices=("png", "pdf", "svg"),
        default=[],
        help="of figures: png (default), pdf, svg; give it again for more than one",
    )
    report.set_defaults(command=_report)


def _report(chosen: argparse.Namespace) -> None:
    from ..console import Terminal
    from ..experiment import RunFolder, locked
    from ..report import build
    from ..report.style import Style

    style = Style(_width(chosen.width), tuple(dict.fromkeys(chosen.format)) or ("png",))
    folder = RunFolder(Path(chosen.run))
    if not (folder.path / "config.json").exists():
        raise JaxbqError(
            f"{folder.path}: is no run folder; name one, like runs/quickstart-1f2e3d4c"
        )
    if not folder.scores.exists():
        raise JaxbqError(f"{folder.path}: the run is not finished; run its config again first")
    with Terminal() as terminal, locked(folder.path):
        build(folder, style)
        terminal.say(f"pictures: {folder.figures}; tables: {folder.tables}")
        terminal.say(f"report: {folder.report}")


def _width(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text
