"""The command line. Heavy imports are inside the commands: ``jaxbq --help`` must answer at once."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import metadata

from ..errors import JaxbqError
from ..runtime import interrupts
from .arguments import MISTAKE, Parser, unswept
from .certificates import add_certify
from .experiments import add_compare, add_report, add_run, add_train
from .networks import add_explain, add_import, add_invert, add_play, add_sweep, add_trace

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0, or 2 after a mistake of the user's, said in one line, or 130 after Ctrl-C.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    chosen = _parser().parse_args(given)
    chosen.given = given
    try:
        with interrupts.watched():
            _do(chosen)
    except JaxbqError as mistake:
        print(f"jaxbq: error: {' '.join(str(mistake).split())}", file=sys.stderr)
        return MISTAKE
    except MemoryError:
        print("jaxbq: error: out of memory; ask for fewer images at once", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("jaxbq: interrupted; what was finished stays", file=sys.stderr)
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
        description="Ask a neural network what a 0 is to it: run it backwards, by every route.",
        epilog="example: jaxbq run configs/quickstart.toml",
    )
    parser.add_argument("--version", action="version", version=f"jaxbq {_version()}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_run(commands)
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


def _version() -> str:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version("jaxbq")
    return "(not installed)"
