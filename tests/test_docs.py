"""The examples of the documentation run as they stand there, and its commands are commands."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logit

import jaxbq
from jaxbq.cli import _parser, main
from jaxbq.cli.arguments import read_method
from jaxbq.cli.experiments import changes, find_config
from jaxbq.cli.queries import _read_values
from jaxbq.errors import JaxbqError
from jaxbq.experiment import load_configs
from jaxbq.experiment.finished import open_run
from scripts.site import pages

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGE = (DOCS / "own-models.md").read_text()
TUTORIAL = (DOCS / "tutorial.md").read_text()
EXAMPLES = re.findall(r"```(?:python|toml)\n(.*?)```", PAGE, re.S)
PAGES = {path.name: path.read_text() for path in (ROOT / "README.md", *DOCS.rglob("*.md"))}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```\n", re.M | re.S)


def commands_of(page: str) -> list[list[str]]:
    """Every command that a page gives, in a block or in a sentence, as its words."""
    found = []
    for language, block in BLOCK.findall(page):
        if language in ("", "sh"):
            found += block.replace("\\\n", " ").splitlines()
    found += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", BLOCK.sub("", page))]
    return [
        shlex.split(line.partition(" > ")[0], comments=True)
        for line in found
        if re.match(r"\S+ \S", line) and re.match(r"(jaxbq|make|python|pip) ", line)
    ]


def check_jaxbq(words: list[str], folder: Path) -> None:
    """Let the command line read a command, and every option that it sets."""
    if len(words) == 1 and words[0] != "play":  # a command that a sentence speaks of
        assert words[0] in _parser().format_help()
        return
    chosen = _parser().parse_args(words)
    if getattr(chosen, "config", "CONFIG") != "CONFIG":  # which stands for any
        places = folder / chosen.config, ROOT / chosen.config, find_config(chosen.config)
        load_configs(str(next(filter(Path.exists, places))), changes(chosen))
    if getattr(chosen, "method", None):
        read_method(chosen.method, chosen.set)
    if hasattr(chosen, "over"):
        _read_values(chosen.over)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_commands_of_a_page_are_commands(name, tmp_path):
    for config in re.findall(r"```toml\n(# [\w-]+\.toml\n.*?)```", PAGES[name], re.S):
        (tmp_path / config.split()[1]).write_text(config)
    makefile = (ROOT / "Makefile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for program, *words in commands_of(PAGES[name]):
        said = f"{name}: {program} {' '.join(words)}"
        if program == "jaxbq":
            try:
                check_jaxbq(words, tmp_path)
            except (SystemExit, JaxbqError) as fault:
                pytest.fail(f"{said}: {fault}")
        elif program == "make":
            assert re.search(rf"^{words[0]}:|^{words[0]} \w", makefile, re.M), said
        elif program == "python":
            assert (ROOT / words[0]).exists() or words[0] == "-m", said
        for extra in re.findall(r"jaxbq\[(\w+)\]", " ".join(words)):
            assert extra in project["optional-dependencies"], said


def test_commands_that_are_none_are_noticed(tmp_path):
    page = "```sh\njaxbq invert net.npz --method transposed  # no such method\n```\n`jaxbq rum x`\n"
    bad_method, no_command = commands_of(page)
    with pytest.raises(JaxbqError, match="transposed"):
        check_jaxbq(bad_method[1:], tmp_path)
    with pytest.raises(SystemExit):
        check_jaxbq(no_command[1:], tmp_path)


def test_a_network_of_another_library_is_asked_as_the_page_shows():
    names: dict = {}
    exec(EXAMPLES[2], names)
    result = names["result"]
    assert result.images.shape[2] == 144
    assert 0 <= result.images.min() <= result.images.max() <= 1
    begun = result.diagnostics["curve"][..., 0]
    assert (result.diagnostics["objective"] > begun).all()


@pytest.mark.slow
def test_a_lenet_goes_through_a_whole_run_as_the_page_shows(tmp_path, monkeypatch):
    code, config, _ = EXAMPLES
    (tmp_path / "lenet.py").write_text(code)
    (tmp_path / "lenet.toml").write_text(config)
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "jaxbq", "run", "lenet.toml", "--run-code"],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    said = " ".join(done.stdout.split())
    assert float(re.search(r"lenet.py:trained: accuracy ([\d.]+)", said)[1]) > 0.93
    assert "warning" not in said
    assert "not applicable, since the network is no MLP: transpose" in said
    (folder,) = (tmp_path / "runs").iterdir()
    scores = open_run(folder).scores.set_index(["network", "method"])
    preimages = "preimage(max_iterations=10)"
    assert scores.loc[("0", preimages), "fidelity"].min() > 0.99
    assert scores.loc[("0", "exemplars"), "evidence"].mean() > 0.9
    # What the control answers has nothing to do with what the images show.
    assert scores.loc[("random_weights", "exemplars"), "evidence"].mean() < 0.5


@pytest.mark.slow
def test_the_learners_network_is_trained_and_taken_over(tmp_path, monkeypatch, capsys):
    page = (DOCS / "own-network.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    for command in re.findall(
        r"`?(jaxbq (?:import|invert)[^`\n]*)", page.split("## What is read")[0]
    ):
        assert main(command.split()[1:]) == 0
    out = capsys.readouterr().out
    assert "784-200-10, hidden sigmoid, output sigmoid, without biases, pixels in [0.01, 1]" in out
    accuracy = float(re.search(r"accuracy: ([\d.]+)", out)[1])
    assert accuracy == pytest.approx(0.91, abs=0.005)
    assert "warning" not in out
    assert (tmp_path / "back.png").stat().st_size > 10_000


@pytest.mark.usefixtures("x64")
def test_the_transpose_is_the_tutorials_backquery(rng):
    (code,) = (code for _, code in BLOCK.findall(TUTORIAL) if "def backquery" in code)
    wih, who = rng.normal(size=(200, 784)), rng.normal(size=(10, 200))
    names = {"np": np, "logit": logit, "mine": (wih, who)}
    exec(code, names)
    network = jaxbq.import_network(
        {"wih": wih, "who": who}, hidden="sigmoid", output="sigmoid", pixel_range=(0.01, 1)
    )
    found = jaxbq.invert(
        jaxbq.Transpose(),
        network.model,
        network.params,
        names["targets"],
        reference=network.space,
    )
    assert np.ptp(names["pictures"], axis=1) == pytest.approx(0.98)
    np.testing.assert_allclose(found.images[:, 0], names["pictures"], atol=1e-10)


NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def differences(said: str, shown: str) -> list[str]:
    """What a program printed that is not what the page shows, but for small changes of numbers.

    By 1 of a whole number, by 0.1 of another, by 5 of a percentage.
    """
    found = []
    if NUMBER.sub("#", " ".join(said.split())) != NUMBER.sub("#", " ".join(shown.split())):
        found.append(f"{said!r} is not {shown!r}")
    for mine, its in zip(NUMBER.finditer(said), NUMBER.finditer(shown), strict=False):
        percent = shown[its.end() : its.end() + 1] == "%"
        most = 5 if percent else 0.1 if "." in its[0] else 1
        if abs(float(mine[0]) - float(its[0])) > most:
            found.append(f"{mine[0]} is not {its[0]}")
    return found


@pytest.mark.parametrize("other", ["9 of 10 pixels", "read 7 of 10", "error 0.7, 52%", "read 9 of"])
def test_output_that_is_not_the_pages_is_noticed(other):
    assert not differences("read 8 of 10", "read  9 of\n10")
    assert differences(other, "error 0.5, 52%" if "%" in other else "read 9 of 10")


@pytest.mark.slow
def test_the_tutorial_runs_as_its_notebook_within_three_minutes(tmp_path):
    cells = json.loads(pages.notebook(TUTORIAL))["cells"]
    codes = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    program = ["import shlex, subprocess"]
    for code in codes:
        program += ["print('@@@', flush=True)"]
        if code.startswith("!"):
            words = (shlex.split(line[1:]) for line in code.splitlines())
            program += [f"subprocess.run({command!r}, check=True)" for command in words]
        else:
            program += [code]
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PATH": places}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(program)],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
        env=os.environ | paths | {"XLA_FLAGS": ""},  # as a user's: tests do not optimise
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.split("@@@\n")[1:]
    # What a cell prints is shown by the block behind it.
    shown: list[str] = []
    for language, block in BLOCK.findall(TUTORIAL):
        if language in ("python", "sh"):
            shown.append("")
        elif language == "text":
            shown[-1] = block
    assert len(said) == len(shown) == len(codes)
    assert [d for pair in zip(said, shown, strict=True) for d in differences(*pair)] == []
    assert (tmp_path / "answers.png").stat().st_size > 10_000
