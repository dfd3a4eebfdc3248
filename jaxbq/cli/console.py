"""What the terminal shows: rich tables and bars there, plain lines in a pipe or a file."""

import sys
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ..runtime import interrupts
from ..training import EpochMetrics


class Terminal:
    """A listener of runs that writes to standard output; a context manager."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._rich = self._console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._rich,
        )
        self._tasks: dict[str, int] = {}

    def __enter__(self) -> "Terminal":
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        """Show one line, as it is: names of a user's are no markup."""
        interrupts.check()
        if self._rich:
            self._console.print(Text(text))
        else:
            # Not through rich, which would break long lines and expand tabs.
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def epoch(self, metrics: EpochMetrics, epochs: int, name: str = "training") -> None:
        """Show the metrics of an epoch."""
        interrupts.check()
        note = (
            f"loss {metrics.loss:.4f}, accuracy {metrics.train_accuracy:.4f} training, "
            f"{metrics.test_accuracy:.4f} test"
        )
        if self._rich:
            self._show(name, metrics.epoch, epochs, note)
        else:
            which = "" if name == "training" else f"{name}, "
            self.say(f"{which}epoch {metrics.epoch}/{epochs}: {note}, {metrics.seconds:.2f} s")

    def progress(self, what: str, done: int, total: int) -> None:
        """Show how far something is; in plain lines only its end."""
        interrupts.check()
        if self._rich:
            self._show(what, done, total, "")
        elif done >= total:
            self.say(f"{what}: done")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table; columns of numbers are flush right."""
        if not self._rich:
            widths = [max(len(line[i]) for line in (columns, *rows)) for i in range(len(columns))]
            self.say(title)
            numeric = _numeric(rows, len(columns))
            for line in (columns, *rows):
                cells = [
                    cell.rjust(width) if number else cell.ljust(width)
                    for cell, width, number in zip(line, widths, numeric, strict=True)
                ]
                self.say("  ".join(cells).rstrip())
            return
        table = Table(title=title, title_justify="left")
        for column, number in zip(columns, _numeric(rows, len(columns)), strict=True):
            table.add_column(Text(column), justify="right" if number else "left")
        for row in rows:
            table.add_row(*map(Text, row))
        self._console.print(table)

    def _show(self, what: str, done: int, total: int, note: str) -> None:
        if what not in self._tasks:
            # Brackets in a method's name are not markup.
            shown = what.replace("[", "\\[")
            self._tasks[what] = self._bars.add_task(shown, total=total, note=note)
        self._bars.update(self._tasks[what], completed=done, note=note)  # type: ignore[arg-type]


def _numeric(rows: Sequence[Sequence[str]], number: int) -> list[bool]:
    """Tell which columns hold numbers alone."""
    return [all(row[n][:1] in "-0123456789" for row in rows) for n in range(number)]
