"""Reading a benchmark's options from TOML."""

from collections.abc import Sequence
from pathlib import Path

from ..experiment.reading import apply_change, read_table
from ..options import validate
from .options import Benchmark


def load_benchmark(path: Path | str | None, changes: Sequence[str] = ()) -> Benchmark:
    """Read what is to be measured.

    Args:
        path: a TOML file; None for the defaults.
        changes: ``key=value`` each, as for an experiment: ``rounds=1``, ``sweeps.batch=[1, 10]``.

    Raises:
        JaxbqError: the file cannot be read, or something in it is wrong; one line says what.
    """
    table = {} if path is None else read_table(Path(path), ())
    for change in changes:
        apply_change(table, change)
    found: Benchmark = validate(Benchmark, table, "benchmark" if path is None else str(path))
    return found
