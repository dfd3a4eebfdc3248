"""What a real terminal of 80 and 100 columns shows."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import NamedTuple

import pyte
import pytest
from test_experiment import write_small

from jaxbq.cli import main

ROOT = Path(__file__).parents[2]
LABELS = "left out at 80 100 columns a wider terminal or a pipe | cat shows them"
RULE = re.compile("─+")


class Capture(NamedTuple):
    """What a process wrote to a terminal, and the lines that are on its screen at the end."""

    raw: str
    lines: list[str]


def on_terminal(width: int, code: str, place: Path) -> Capture:
    """Run Python code in a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    env |= {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    raw = b""
    with subprocess.Popen([sys.executable, "-c", code], cwd=place, env=env, **streams) as process:
        os.close(theirs)
        try:
            while chunk := os.read(ours, 2**16):
                raw += chunk
        except OSError:  # how Linux says that the other end is closed
            pass
        os.close(ours)
        assert process.wait() == 0, raw.decode()
    screen = pyte.Screen(width, 2000)
    pyte.ByteStream(screen).feed(raw)
    return Capture(raw.decode(), [line.rstrip() for line in screen.display if line.strip()])


def test_something_is_shown_before_jax_is_loaded_and_gone_afterwards(tmp_path):
    code = """
import sys
class Watch:
    def find_spec(name, *_):
        if name == "jax": print("<jax>")
sys.meta_path.insert(0, Watch)
from jaxbq.cli import main
main(["trace", "none.safetensors", "--target", "0"])
"""
    shown = on_terminal(80, code, tmp_path)
    assert 0 <= shown.raw.find("loading JAX") < shown.raw.find("<jax>")
    assert "loading" not in " ".join(shown.lines)
    assert "none.safetensors: no such file" in shown.lines[-1]


def words(text: str) -> set[str]:
    return {word.strip(",:;()") for word in text.split() if not RULE.fullmatch(word)}


@pytest.mark.slow
def test_no_word_and_no_number_is_cut_at_80_and_100_columns(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_small(tmp_path)
    net = ["net.safetensors", "--data", "data"]
    run = ["run", "small.toml", "--out"]
    assert main([*run, "runs", "--set", "seed=1"]) == 0
    commands = [
        [*run, "runs"],
        ["train", "small.toml", "--save", "net.safetensors"],
        ["invert", *net, "--method", "ascent", "--set", "restarts=2", "--set", "steps=20"],
        ["trace", *net, "--target", "0", "--method", "pinv"],
        ["explain", *net],
    ]
    code = f"""
import glob
from jaxbq.cli import main
for command in {commands!r}:
    print("$", command[0])
    main(command)
print("$ compare")
main(["compare", *sorted(glob.glob("runs/small-*"))])
"""
    screens = {width: on_terminal(width, code, tmp_path) for width in (80, 100)}
    # In a pipe nothing is broken or left out. The run again, elsewhere, for its epochs.
    runs = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "runs").glob("small-*"))
    for command in [*commands, [*run, "elsewhere"], ["compare", *runs]]:
        assert main(command) == 0
    known = words(capsys.readouterr().out) | words(LABELS)
    for width, screen in screens.items():
        assert max(map(len, screen.lines)) <= width
        shown = " ".join(line for line in screen.lines if not line.startswith("$ "))
        assert words(shown) <= known, width
        assert_rows_differ(screen.lines)
    # What a narrow terminal leaves out it names, and a wider one shows more.
    left_out = [len([w for w in s.lines if w.startswith("left out")]) for s in screens.values()]
    assert left_out[0] >= left_out[1]
    assert left_out[0] > 0


def assert_rows_differ(lines: list[str]) -> None:
    """No two rows of a table, or of a group in one, are the same."""
    seen: set[str] = set()
    for line in lines:
        if "  " in line.strip():
            assert line not in seen
            seen.add(line)
        elif not line.startswith(" "):  # no row, and not what a broken cell goes on with
            seen.clear()
