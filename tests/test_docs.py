"""The examples of the documentation run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jaxbq.cli import main
from jaxbq.experiment.finished import open_run

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "own-models.md").read_text()
EXAMPLES = re.findall(r"```(?:python|toml)\n(.*?)```", PAGE, re.S)


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
        [sys.executable, "-m", "jaxbq.cli", "run", "lenet.toml", "--run-code"],
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
