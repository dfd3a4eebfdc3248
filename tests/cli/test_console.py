import io

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
