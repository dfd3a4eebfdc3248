import io
import shlex

import pytest
from rich.console import Console

from jaxbq.cli.console import Terminal
from jaxbq.training import EpochMetrics


@pytest.fixture
def rich_terminal(monkeypatch):
    """A terminal that is one, writing into a string."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120, highlight=False)
    monkeypatch.setattr("jaxbq.cli.console.Console", lambda **_: console)
    return Terminal(), output


def test_plain_lines_when_it_is_no_terminal(capsys):
    with Terminal() as terminal:
        terminal.say("a [bold] name")
        terminal.epoch(EpochMetrics(2, 0.5, 0.25, 0.125, 1.5), 3)
        terminal.progress("ascent", 1, 2)
        terminal.progress("ascent", 2, 2)
        terminal.table("title", ("name", "n"), [("a", "1"), ("longer", "23")])
    assert capsys.readouterr().out.splitlines() == [
        "a [bold] name",
        "epoch 2/3: loss 0.5000, accuracy 0.2500 training, 0.1250 test, 1.50 s",
        "ascent: done",
        "title",
        "name     n",
        "a        1",
        "longer  23",
    ]


def test_a_terminal_gets_tables_and_bars_and_names_stay_names(rich_terminal):
    terminal, output = rich_terminal
    with terminal:
        terminal.say("a [bold] name")
        terminal.progress("ascent [x]", 1, 2)
        terminal.epoch(EpochMetrics(2, 0.5, 0.25, 0.125, 1.5), 3)
        terminal.table("title", ("name", "n"), [("[red]a", "1")])
    shown = output.getvalue()
    for text in ("a [bold] name", "ascent [x]", "loss 0.5000", "[red]a", "title"):
        assert text in shown


@pytest.mark.parametrize("width", [80, 100])
def test_nothing_is_broken_within_a_word_or_a_number(monkeypatch, width):
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, color_system=None, width=width)
    monkeypatch.setattr("jaxbq.cli.console.Console", lambda **_: console)
    names = ["direction", "largest error", "pseudo_inverse(pixel_policy=none)", "class mean r"]
    names += ["pseudo_inverse", "whitened", "iterations"]
    rows = [
        ["a gradient at the mean image", *(f"{n + row:.8f}" for n in range(6))] for row in (1, 2)
    ]
    text = "some words that are to be broken between " * 5
    words = ["jaxbq", "invert", "a file.npz", *["--set", "pixel_policy=clip"] * 4]
    terminal = Terminal()
    terminal.paragraph(text, "  ")
    terminal.command(words, "  ")
    terminal.table("title", names, rows)
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    shown = output.getvalue()
    for word in [word for name in names for word in name.split()]:
        assert f" {word} " in shown
    for cell in (cell for row in rows for cell in row):
        assert f" {cell} " in shown
    # The first column begins every part.
    assert shown.count(" direction ") == shown.count("┏")
    start, end = (
        next(n for n, line in enumerate(lines) if word in line) for word in ("jaxbq", "title")
    )
    assert " ".join(lines[:start]).split() == text.split()
    assert shlex.split("\n".join(lines[start:end]).replace("\\\n", " ")) == words
    assert all(line.removesuffix(" \\").endswith("=clip") for line in lines[start:end])


def test_a_pipe_has_no_width_unless_the_user_says_so(monkeypatch, capsys):
    names, rows = ["name", "first", "second"], [["a", "1" * 30, "2" * 30]]
    monkeypatch.delenv("COLUMNS", raising=False)
    with Terminal() as terminal:
        terminal.table("title", names, rows)
    assert len(capsys.readouterr().out.splitlines()) == 3
    monkeypatch.setenv("COLUMNS", "50")
    with Terminal() as terminal:
        terminal.table("title", names, rows)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["title", "name", "a", "name", "a"]
