"""The examples of the documentation run as they stand there."""

import re
from pathlib import Path

import numpy as np
import pytest

from jaxbq.cli import main

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "own-models.md").read_text()
EXAMPLES = re.findall(r"^## ([^\n]*)\n.*?```python\n(.*?)```", PAGE, re.S | re.M)


def test_there_is_one_example_for_each_library():
    assert [title for title, _ in EXAMPLES] == ["Plain JAX", "Flax", "Equinox"]


@pytest.mark.parametrize(("title", "code"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
# Of the libraries' own, at import.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_example_finds_images_that_its_network_answers(title, code):
    names: dict = {}
    exec(code, names)
    result = names["result"]
    space = result.space
    assert result.images.shape[2] == space.pixels
    assert result.images.min() >= space.low
    assert result.images.max() <= space.high
    begun = result.diagnostics["curve"][..., 0]
    assert (result.diagnostics["objective"] > begun).all()
    assert np.isfinite(result.outputs).all()


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
