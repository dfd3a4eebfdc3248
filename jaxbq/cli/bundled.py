"""The experiments that come with the package: `jaxbq configs`, and their names for `jaxbq run`."""

import argparse
import re
import sys
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import JaxbqError


class Bundled(NamedTuple):
    """A config of the package.

    Args:
        path: its file.
        time: that it takes on two cores, like ``about 15 s``.
        shows: what, in one sentence.
    """

    path: Path
    time: str
    shows: str


def bundled_configs() -> dict[str, Bundled]:
    """List the bundled configs by name, like ``quickstart`` and ``studies/mush``."""
    package = Path(str(resources.files("jaxbq")))
    # A wheel has them in the package; a checkout, which an editable installation is, beside it.
    folder = next(f for f in (package / "configs", package.parent / "configs") if f.is_dir())
    paths = sorted(folder.rglob("*.toml"), key=lambda path: (len(path.parts), path))
    return {str(path.relative_to(folder).with_suffix("").as_posix()): _read(path) for path in paths}


def find_config(given: str) -> Path:
    """Take a path for itself and the name of a bundled config for its file."""
    path = Path(given)
    if path.is_file() or (found := bundled_configs().get(given)) is None:
        return path
    return found.path


def _read(path: Path) -> Bundled:
    """Read the comment that every bundled config begins with."""
    head = re.match(r"(#.*\n)*", path.read_text())
    said = " ".join(line[1:].strip() for line in head[0].splitlines()) if head else ""
    shows, time = (
        re.search(r"Shows: (.*?)\. Expect:", said),
        re.search(r"Time: (.*?) on two cores", said),
    )
    return Bundled(path, time[1] if time else "", shows[1] if shows else "")


def add_configs(commands: Any) -> None:
    """Add ``jaxbq configs``."""
    command = commands.add_parser(
        "configs",
        help="list the included configs, or print one",
        description="List the configs that come with jaxbq: what each shows, and how long it takes "
        "on two cores. With NAME, print that config, as a start for your own.",
        epilog="example: jaxbq configs quickstart > mine.toml",
    )
    command.add_argument("name", metavar="NAME", nargs="?", help="config to print")
    command.set_defaults(command=_configs, light=True)


def _configs(chosen: argparse.Namespace) -> None:
    found = bundled_configs()
    if chosen.name is None:
        from .console import Terminal

        rows = [[name, one.time, one.shows] for name, one in found.items()]
        title = "configs that come with jaxbq; run one with jaxbq run NAME; times on two cores"
        Terminal().table(title, ["name", "time", "shows"], rows)
    elif chosen.name in found:
        sys.stdout.write(found[chosen.name].path.read_text())
    else:
        raise JaxbqError(f"{chosen.name}: no such config; choose one of {', '.join(found)}")
