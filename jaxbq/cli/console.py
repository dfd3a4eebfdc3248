"""What the terminal shows: rich tables and bars there, plain lines in a pipe or a file."""

import itertools
import re
import shlex
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from ..runtime import interrupts
from .arguments import break_text, erase_announcement

if TYPE_CHECKING:
    from ..training import EpochMetrics

_GAP = 2  # between columns of a table
_WIDEST = 100  # columns of prose


class Terminal:
    """A listener of runs that writes to standard output; a context manager.

    A terminal gets lines that end between words, and tables without the columns that have no room.
    """

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._rich = self._console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description}", table_column=Column(overflow="fold")),
            BarColumn(bar_width=10),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._rich,
        )
        self._tasks: dict[str, TaskID] = {}
        erase_announcement()

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
            # A word longer than a line, such as a path, stays whole: the terminal breaks it itself.
            self._console.print(Text(_wrapped(text, self._console.width)), soft_wrap=True)
        else:
            # Not through rich, which would break long lines and expand tabs.
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def paragraph(self, text: str, indent: str = "") -> None:
        """Show prose, broken between words to lines that fit the terminal."""
        width = min(self._console.width, _WIDEST)
        for line in _filled(text.split(), width - len(indent)):
            self.say(indent + line)

    def command(self, words: Sequence[str], indent: str = "") -> None:
        """Show a command that can be copied as it stands, broken before its options."""
        width = min(self._console.width, _WIDEST) - len(indent) - 4
        parts: list[str] = []
        for word in words:
            # An option stays with its value, so that it can be read.
            apart = word.startswith("--") or not parts
            parts[len(parts) if apart else -1 :] = [
                shlex.quote(word) if apart else f"{parts[-1]} {shlex.quote(word)}"
            ]
        lines = _filled(parts, width)
        for number, line in enumerate(lines):
            end = " \\" if number + 1 < len(lines) else ""
            self.say(f"{indent}{'  ' if number else ''}{line}{end}")

    def epoch(self, metrics: "EpochMetrics", epochs: int, name: str = "training") -> None:
        """Show the metrics of an epoch."""
        interrupts.check()
        loss, test = f"loss {metrics.loss:.4f}", f"{metrics.test_accuracy:.4f} test"
        note = f"{loss}, accuracy {metrics.train_accuracy:.4f} training, {test}"
        if self._rich:
            self._show(name, metrics.epoch, epochs, f"{loss}, accuracy {test}", note)
        else:
            which = "" if name == "training" else f"{name}, "
            self.say(f"{which}epoch {metrics.epoch}/{epochs}: {note}, {metrics.seconds:.2f} s")

    def progress(self, what: str, done: int, total: int) -> None:
        """Show how far something is; in plain lines only its end."""
        interrupts.check()
        if self._rich:
            self._show(what, done, total, "", "done")
        elif done >= total:
            self.say(f"{what}: done")

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        grouped: bool = False,
        stacked: bool = False,
    ) -> None:
        """Show a table; columns of numbers are flush right.

        In a terminal, text is broken between words and numbers never; columns that have no room
        are left out, the last first, and named below.

        Args:
            title: stands above it.
            columns: their names.
            rows: a cell for every column.
            grouped: whether the first column names groups of rows that follow each other; in a
                terminal each name has a line of its own above its rows.
            stacked: whether columns that have no room go below, after the first column again.
        """
        self.say(title)
        if not self._rich:
            self._lines(columns, rows)
            return
        first, room = int(grouped), self._console.width
        columns, bodies = columns[first:], [row[first:] for row in rows]
        numeric = _numeric(bodies, len(columns))
        widths = _fitting(columns, bodies, numeric, room)
        self._console.print(_grid(columns, [], widths, numeric))
        for names, group in itertools.groupby(rows, lambda row: tuple(row[:first])):
            for name in names:
                self.say(name)
            self._console.print(_grid((), [row[first:] for row in group], widths, numeric))
        left_out = list(range(len(widths), len(columns)))
        if left_out and stacked:
            shown = [0, *left_out]
            self.table(
                "",
                [columns[n] for n in shown],
                [[row[n] for n in shown] for row in bodies],
                stacked=len(widths) > 1,
            )
        elif left_out:
            self.say(
                f"left out at {room} columns: {', '.join(columns[n] for n in left_out)}; "
                "a wider terminal or a pipe (| cat) shows them"
            )

    def _lines(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        widths = [max(len(line[i]) for line in (columns, *rows)) for i in range(len(columns))]
        numeric = _numeric(rows, len(columns))
        for line in (columns, *rows):
            cells = [
                cell.rjust(width) if number else cell.ljust(width)
                for cell, width, number in zip(line, widths, numeric, strict=True)
            ]
            self.say((" " * _GAP).join(cells).rstrip())

    def _show(self, what: str, done: int, total: int, note: str, end: str) -> None:
        if what not in self._tasks:
            # Brackets in a method's name are not markup.
            shown = what.replace("[", "\\[")
            self._tasks[what] = self._bars.add_task(shown, total=total, note=note)
        self._bars.update(self._tasks[what], completed=done, note=note)
        if done >= total:
            # Of what is done a line stays: many bars would not fit the screen.
            self._bars.remove_task(self._tasks.pop(what))
            self.say(f"{what}: {end}")


def _filled(words: Sequence[str], width: int) -> list[str]:
    """Fill lines with words; one that is longer than a line stays whole."""
    lines: list[str] = []
    for word in words:
        if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _numeric(rows: Sequence[Sequence[str]], number: int) -> list[bool]:
    """Tell which columns hold numbers alone; "1: 784 → 200" is a name."""
    return [all(re.fullmatch(r"([-+−]?\d[^:]*)?", row[n]) for row in rows) for n in range(number)]


def _grid(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: Sequence[int],
    numeric: Sequence[bool],
) -> Table:
    """Lay out a head, or rows below one, in columns of given widths; what has none is left out."""
    table = Table(
        box=box.SIMPLE_HEAD,
        show_header=bool(head),
        show_edge=False,
        pad_edge=False,
        padding=(0, _GAP - 1, 0, 0),
    )
    for n, (width, number) in enumerate(zip(widths, numeric, strict=False)):
        name = Text(_wrapped(head[n], width, "")) if head else ""
        table.add_column(name, width=width, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(Text(_wrapped(c, w)) for c, w in zip(row, widths, strict=False)))
    return table


def _fitting(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool], room: int
) -> list[int]:
    """Find widths of the first columns, as many as have room without a word or number cut."""
    least, widths = [], []
    for n, head in enumerate(columns):
        cells = [row[n] for row in rows]
        longest = max(map(cell_len, head.split()), default=0)
        full = max(map(cell_len, cells), default=0)
        words = max(
            (cell_len(w) for cell in cells for w in _wrapped(cell, 1).splitlines()), default=0
        )
        least.append(max(longest, full if numeric[n] else words))
        widths.append(max(full, longest))
    while len(least) > 1 and sum(least) + _GAP * (len(least) - 1) > room:
        least.pop()
    widths = widths[: len(least)]
    while sum(widths) + _GAP * (len(widths) - 1) > room and widths > least:
        # The column that is furthest from its least width gives way.
        _, n = max((wide - few, n) for n, (wide, few) in enumerate(zip(widths, least, strict=True)))
        widths[n] -= 1
    return widths


def _wrapped(text: str, width: int, indent: str = " ") -> str:
    """Break text between words; what goes on is indented, so as to look like no row of its own."""
    return "\n".join(break_text(text, width, indent))
