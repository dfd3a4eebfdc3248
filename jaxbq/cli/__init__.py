"""The command line. Heavy imports are inside the commands: ``jaxbq --help`` must answer at once."""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from ..errors import JaxbqError
from ..runtime import interrupts
from .arguments import MISTAKE, Parser, announced, complain, unswept
from .experiments import add_compare, add_configs, add_report, add_run, add_train
from .inspection import add_explain, add_import, add_trace
from .queries import add_certify, add_invert, add_play, add_sweep

_INTERRUPTED = 130
# Options that name files.
_POSITIONAL = ("config", "weights", "run", "first", "others", "name")
_READ = ("config", "weights", "data", "image", "around", "vector", "verify")
_WRITTEN = ("save", "out", "figure", "path", "csv", "json", "html")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0, or 2 after a mistake of the user's, said in one line, or 130 after Ctrl-C.
    """
    begun = time.perf_counter()
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser()
    if not given:
        parser.print_help()
        return 0
    chosen = parser.parse_args(given)
    chosen.given, chosen.begun = given, begun
    try:
        _check_empty(chosen)
        _check_overwrites(chosen)
        with interrupts.watched():
            if chosen.light:
                chosen.command(chosen)
            else:
                with announced():
                    _do(chosen)
    except KeyboardInterrupt:
        complain("jaxbq: interrupted; finished results are kept")
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has gone, as `| head` does; Python must not complain at exit too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (JaxbqError, MemoryError, OSError, RuntimeError) as fault:
        complain(f"jaxbq: error: {' '.join(_mistake(fault).split())}")
        return MISTAKE
    return 0


def _mistake(fault: Exception) -> str:
    """Say what the user can mend; raise again what is a defect."""
    if isinstance(fault, JaxbqError):
        return str(fault)
    if isinstance(fault, OSError):
        # What the system refuses before a reader or writer can name it, such as too long a name.
        where = f"{str(fault.filename)[:80]}: " if fault.filename else ""
        return f"{where}{fault.strerror or fault}; use another file"
    # JAX's error of too little memory is told from others by its text alone.
    if isinstance(fault, MemoryError) or "RESOURCE_EXHAUSTED" in str(fault):
        return "out of memory; ask for fewer targets, samples or restarts, or use a smaller network"
    raise fault


def _check_empty(chosen: argparse.Namespace) -> None:
    """Refuse an option that is given and empty: it would count as not given."""
    for name, value in vars(chosen).items():
        if value == "" or (isinstance(value, list) and "" in value):
            option = name.upper() if name in _POSITIONAL else f"--{name.replace('_', '-')}"
            raise JaxbqError(f"{option} is empty; give a value")


def _check_overwrites(chosen: argparse.Namespace) -> None:
    """Refuse to write over a file that the command reads, or two results into one file."""
    given = {name: value for name, value in vars(chosen).items() if isinstance(value, str)}
    used = {os.path.realpath(given[name]) for name in _READ if name in given}
    for name in _WRITTEN:
        if name in given and (place := os.path.realpath(given[name])) in used:
            raise JaxbqError(
                f"--{name} {given[name]}: the command reads or writes this file already; choose "
                "another name"
            )
        if name in given:
            used.add(place)


def _do(chosen: argparse.Namespace) -> None:
    with unswept("jax"):
        import jax  # noqa: F401

        from ..runtime.compiled import kept_programs

    with kept_programs():
        chosen.command(chosen)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="jaxbq",
        description="Ask a neural network what a 0 is to it: run it backwards by many methods and "
        "score the images.",
        epilog="example: jaxbq run quickstart",
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="show the version of jaxbq and exit"
    )
    parser.set_defaults(light=False)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_run(commands)
    add_configs(commands)
    add_report(commands)
    add_compare(commands)
    add_train(commands)
    add_import(commands)
    add_invert(commands)
    add_sweep(commands)
    add_trace(commands)
    add_explain(commands)
    add_certify(commands)
    add_play(commands)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        # Late: what reads versions takes as long to import as all else that --help needs.
        from importlib import metadata

        version = "(not installed)"
        with contextlib.suppress(metadata.PackageNotFoundError):
            version = metadata.version("jaxbq")
        print(f"jaxbq {version}")
        parser.exit(0)
