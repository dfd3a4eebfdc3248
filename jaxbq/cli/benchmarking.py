"""Measuring: bench."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from ..errors import JaxbqError
from .machines import add_hardware, add_precision, changes, use_hardware


def add_bench(commands: Any) -> None:
    """Add ``jaxbq bench``."""
    bench = commands.add_parser(
        "bench",
        help="time jaxbq against what one would use instead",
        description="Time training and every method against other libraries, in turn, in one run; "
        "parts of the record that are there already are not measured again. Leave the machine "
        "alone meanwhile.",
        epilog="example: jaxbq bench configs/benchmark.toml --only training --rounds 3",
    )
    bench.add_argument(
        "config", metavar="CONFIG", nargs="?", help="benchmark in TOML (default: every part)"
    )
    bench.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change one option, as often as wanted: ascent.steps=100, sweeps.batch=[1,10]",
    )
    bench.add_argument(
        "--out", metavar="DIR", default="runs", help="where its folder is made (default: runs)"
    )
    bench.add_argument(
        "--only",
        metavar="PART",
        nargs="+",
        help="these parts alone: training, book, ascent, methods, target, batch, width, depth, "
        "image, memory",
    )
    bench.add_argument("--rounds", type=int, help="timed rounds of every contender")
    bench.add_argument("--again", action="store_true", help="measure again what was measured")
    add_precision(bench, None)
    add_hardware(bench)
    bench.set_defaults(command=_bench)


def _bench(chosen: argparse.Namespace) -> None:
    from ..benchmark import load_benchmark, run_benchmark, table_of
    from .experiments import Terminal

    use_hardware(chosen)
    changed = changes(chosen)
    if chosen.rounds is not None:
        changed.append(f"rounds={chosen.rounds}")
    if chosen.only:
        changed.append(f"parts={list(chosen.only)}")
    options = load_benchmark(chosen.config, changed)
    if not options.parts:
        raise JaxbqError("benchmark: no parts; name some, like --only training")
    with Terminal() as terminal:

        def show(case: dict[str, Any]) -> None:
            terminal.table(f"\n{case['case']}", *table_of(case))

        folder, record = run_benchmark(
            options,
            Path(chosen.out),
            say=terminal.say,
            show=show,
            command=shlex.join(["jaxbq", *chosen.given]),
            again=chosen.again,
        )
        terminal.say(f"record: {folder / 'record.json'}; tables: {folder / 'table.md'}, table.csv")
        _draw(record, folder, terminal.say)


def _draw(record: dict[str, Any], folder: Path, say: Any) -> None:
    """Draw the record's figures."""
    from ..benchmark.figures import draw

    for path in draw(record, folder / "figures"):
        say(f"figure: {path}")
