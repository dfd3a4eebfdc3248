"""What the terminal shows: rich tables and bars there, plain lines in a pipe or a file."""

import os
import shlex
import sys
from collections.abc import Sequence
from types import TracebackType

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ..runtime import interrupts
from ..training import EpochMetrics

_WIDEST = 100  # columns of prose


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
        """Show a table; columns of numbers are flush right.

        Columns that do not fit side by side go below, each part beginning with the first column.
        """
        numeric = _numeric(rows, len(columns))
        cells = list(zip(columns, *rows, strict=True))
        if not self._rich:
            # A pipe or a file has no width, unless the user says so.
            width = self._console.width if "COLUMNS" in os.environ else sys.maxsize
            widths = [max(map(cell_len, column)) for column in cells]
            self.say(title)
            for shown in _parts(widths, width, 2):
                for line in (columns, *rows):
                    padded = (_padded(line[n], widths[n], numeric[n]) for n in shown)
                    self.say("  ".join(padded).rstrip())
            return
        room = self._console.width - 1
        needed = [max(map(cell_len, (*name.split(), *column))) for name, *column in cells]
        for part, shown in enumerate(_parts(needed, room, 3)):
            table = Table(title=None if part else Text(title), title_justify="left")
            excess = sum(max(map(cell_len, cells[n])) + 3 for n in shown) - room
            for n in shown:
                # Headers alone are broken, between words.
                whole = max(map(cell_len, cells[n]))
                width = max(needed[n], whole - max(excess, 0))
                excess -= whole - width
                side: JustifyMethod = "right" if numeric[n] else "left"
                table.add_column(Text(columns[n]), justify=side, width=width)
            for row in rows:
                table.add_row(*(Text(row[n]) for n in shown))
            self._console.print(table)

    def _show(self, what: str, done: int, total: int, note: str) -> None:
        if what not in self._tasks:
            # Brackets in a method's name are not markup.
            shown = what.replace("[", "\\[")
            self._tasks[what] = self._bars.add_task(shown, total=total, note=note)
        self._bars.update(self._tasks[what], completed=done, note=note)  # type: ignore[arg-type]


def _filled(words: Sequence[str], width: int) -> list[str]:
    """Fill lines with words; one that is longer than a line stays whole."""
    lines: list[str] = []
    for word in words:
        if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _parts(needed: Sequence[int], width: int, gap: int) -> list[list[int]]:
    """Share columns out among tables that fit, the first column in each."""
    parts, room = [[0]], width - needed[0] - gap
    left = room
    for number, size in enumerate(needed[1:], 1):
        if size + gap > left and len(parts[-1]) > 1:
            parts.append([0])
            left = room
        parts[-1].append(number)
        left -= size + gap
    return parts


def _padded(cell: str, width: int, right: bool) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if right else cell + space


def _numeric(rows: Sequence[Sequence[str]], number: int) -> list[bool]:
    """Tell which columns hold numbers alone."""
    return [all(row[n][:1] in "-0123456789" for row in rows) for n in range(number)]
