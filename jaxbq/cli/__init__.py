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
        with interrupts.watched():
            if chosen.light:
                chosen.command(chosen)
            else:
                with announced():
                    _do(chosen)
    except JaxbqError as mistake:
        complain(f"jaxbq: error: {' '.join(str(mistake).split())}")
        return MISTAKE
    except MemoryError:
        complain("jaxbq: error: out of memory; ask for fewer targets, samples or restarts")
        return MISTAKE
    except KeyboardInterrupt:
        complain("jaxbq: interrupted; finished results are kept")
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has gone, as `| head` does; Python must not complain at exit too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


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
