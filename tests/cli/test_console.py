import io
import re
import shlex

import pytest
from rich.console import Console

from jaxbq.cli.console import Terminal
from jaxbq.training import EpochMetrics


@pytest.fixture
def rich_terminal(monkeypatch):
    """A terminal that is one, writing into a string."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=40, highlight=False)
    monkeypatch.setattr("jaxbq.cli.console.Console", lambda **_: console)
    return Terminal(), output


def plain(text):
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    return [line.rstrip() for line in text.splitlines()]


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
        terminal.epoch(EpochMetrics(3, 0.5, 0.25, 0.125, 1.5), 3)
        terminal.table("title", ("name", "n"), [("[red]a", "1")])
    shown = " ".join(output.getvalue().split())
    for text in ("a [bold] name", "ascent [x]", "loss 0.5000", "[red]a", "title"):
        assert text in shown


def test_what_is_done_leaves_a_line_in_place_of_its_bar(rich_terminal):
    terminal, output = rich_terminal
    with terminal:
        for number in range(60):
            terminal.progress(f"method {number}", 1, 2)
            terminal.progress(f"method {number}", 2, 2)
        assert not terminal._bars.tasks
    lines = plain(output.getvalue())
    assert [line for line in lines if line.endswith("done")] == [
        f"method {number}: done" for number in range(60)
    ]


def test_lines_end_between_words_and_a_path_stays_whole(rich_terminal):
    terminal, output = rich_terminal
    path = "runs/" + "x" * 50
    terminal.say(f"what the well-conditioned pseudo-inverse gives lies in {path}")
    assert plain(output.getvalue()) == [
        "what the well-conditioned pseudo-inverse",
        " gives lies in",
        f" {path}",
    ]


def test_columns_without_room_are_left_out_from_the_right_and_named(rich_terminal):
    terminal, output = rich_terminal
    rows = [
        ("ascent(steps=60, restarts=2)", "0.123456", "1", "12.5 [11.0, 14.0]"),
        ("ascent(steps=60, restarts=4)", "-0.5", "", "3"),
    ]
    terminal.table("title", ("method", "largest error", "n", "interval of it"), rows)
    assert plain(output.getvalue()) == [
        "title",
        "                              largest",
        "method                          error  n",
        "─" * 40,
        "ascent(steps=60,             0.123456  1",
        " restarts=2)",
        "ascent(steps=60,                 -0.5",
        " restarts=4)",
        "left out at 40 columns: interval of it;",
        " a wider terminal or a pipe (| cat)",
        " shows them",
    ]


def test_groups_have_their_names_on_lines_of_their_own(rich_terminal):
    terminal, output = rich_terminal
    rows = [("a long method's name", "x", "1"), ("a long method's name", "y", "2"), ("b", "x", "3")]
    terminal.table("title", ("method", "score", "value"), rows, grouped=True)
    assert plain(output.getvalue()) == [
        "title",
        "score  value",
        "────────────",
        "a long method's name",
        "x          1",
        "y          2",
        "b",
        "x          3",
    ]


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
    terminal.table("title", names, rows, stacked=True)
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    shown = output.getvalue()
    for word in [word for name in names for word in name.split()]:
        assert re.search(rf"(?<!\S){re.escape(word)}(?!\S)", shown)
    for row in rows:
        for cell in row[1:]:
            assert re.search(rf"(?<!\S){re.escape(cell)}(?!\S)", shown)
    # The first column begins every part.
    assert len(re.findall("direction", shown)) == len(re.findall("^─+$", shown, re.M)) > 1
    start, end = (
        next(n for n, line in enumerate(lines) if word in line) for word in ("jaxbq", "title")
    )
    assert " ".join(lines[:start]).split() == text.split()
    assert shlex.split("\n".join(lines[start:end]).replace("\\\n", " ")) == words
    assert all(line.removesuffix(" \\").endswith("=clip") for line in lines[start:end])
