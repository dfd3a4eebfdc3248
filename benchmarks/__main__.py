"""Time jaxbq against what a user would pick instead, and write a record, tables and figures.

example: python -m benchmarks benchmarks/benchmark.toml --only training --rounds 3
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from jaxbq import JaxbqError
from jaxbq.runtime.devices import computing
from jaxbq.runtime.files import make_folder, write_text

from .cases import MEASURED
from .figures import draw
from .options import PARTS, Benchmark, load_options
from .record import Record, aligned, environment_of, markdown, read_record, same_machine, table_of
from .session import Session

_MISTAKE, _INTERRUPTED = 2, 130


def measure_all(
    options: Benchmark,
    out: Path,
    *,
    say: Callable[[str], None],
    command: str = "",
    again: bool = False,
) -> Path:
    """Measure every part that the record lacks; write record and table after each.

    A record of another machine or other versions is begun anew: its times cannot be compared.
    Returns the folder, with ``record.json``, ``table.md`` and ``figures``.

    Args:
        options: what is measured.
        out: folder in which the benchmark's folder is made.
        say: is given one line or table, from time to time.
        command: that repeats it; kept in the record.
        again: measure what the record has already, too.

    Raises:
        JaxbqError: something cannot be measured or written; parts that were finished stay.
    """
    folder = make_folder(out / f"benchmark-{options.digest}")
    path, about = folder / "record.json", environment_of(options.precision, command)
    record = read_record(path) if path.exists() else None
    if record is not None and not same_machine(record.environment, about):
        say(f"{path}: of another machine or other versions; measured anew")
        record = None
    cases = list(record.cases) if record else []
    with computing(options.precision):
        session = Session(options, say)
        for part in options.parts:
            if not again and any(case.part == part for case in cases):
                say(f"{part}: measured already; --again measures it anew")
                continue
            cases = [case for case in cases if case.part != part]
            for case in MEASURED[part](session):
                say(f"\n{case.title}\n{aligned(*table_of(case))}")
                cases.append(case)
            cases.sort(key=lambda case: PARTS.index(case.part))
            record = Record(environment=about, options=options.table(), cases=tuple(cases))
            write_text(path, record.model_dump_json(indent=1) + "\n")
            write_text(folder / "table.md", markdown(record))
    return folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 after a mistake that one line explains."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    chosen = _parser().parse_args(given)
    try:
        _do(chosen, shlex.join(["python", "-m", "benchmarks", *given]))
    except JaxbqError as mistake:
        print(f"benchmarks: error: {' '.join(str(mistake).split())}", file=sys.stderr)
        return _MISTAKE
    except KeyboardInterrupt:
        print("benchmarks: interrupted; parts that were finished stay", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    about, example = (__doc__ or "").strip().split("\n\n")
    parser = argparse.ArgumentParser(prog="benchmarks", description=about, epilog=example)
    add = parser.add_argument
    add("config", type=Path, metavar="CONFIG", help="TOML; or a record.json, to draw it again")
    add("--out", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")
    add("--only", nargs="+", metavar="PART", help=f"these parts alone: {', '.join(PARTS)}")
    add("--rounds", type=int, help="timed rounds of every contender")
    add("--again", action="store_true", help="measure again what was measured")
    add("--precision", choices=("float32", "float64", "tf32"), help="in which all compute")
    add(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change one option, as often as wanted: ascent.steps=100, sweeps.batch=[1,10]",
    )
    return parser


def _do(chosen: argparse.Namespace, command: str) -> None:
    if chosen.config.suffix == ".json":
        folder, record = chosen.config.parent, read_record(chosen.config)
        write_text(folder / "table.md", markdown(record))
    else:
        changes = list(chosen.set)
        changes += [f"rounds={chosen.rounds}"] if chosen.rounds is not None else []
        changes += [f"parts={chosen.only}"] if chosen.only else []
        changes += [f'precision="{chosen.precision}"'] if chosen.precision else []
        options = load_options(chosen.config, changes)
        folder = measure_all(
            options, chosen.out, say=partial(print, flush=True), command=command, again=chosen.again
        )
        record = read_record(folder / "record.json")
    print(f"record: {folder / 'record.json'}; tables: {folder / 'table.md'}")
    for path in draw(record, folder / "figures"):
        print(f"figure: {path}")


if __name__ == "__main__":
    sys.exit(main())
