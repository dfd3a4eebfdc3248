"""What CONTRIBUTING.md and CITATION.cff say is so."""

import re
import sys
import tomllib
import types
from pathlib import Path

import pytest
from test_layers import LAYERS

from jaxbq.methods import Transpose

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
METHOD, TESTS = re.findall(r"```python\n(.*?)```", PAGE, re.S)


def functions(monkeypatch) -> dict:
    """Run the page's method as the module that it would be, and define the page's tests of it."""
    module = types.ModuleType("jaxbq.methods.one_step")
    module.__package__ = "jaxbq.methods"
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(METHOD, vars(module))
    names: dict = {}
    exec(TESTS, names)
    return names


NAMES = re.findall(r"^def (test_\w+)", TESTS, re.M)


@pytest.mark.parametrize("name", NAMES)
def test_the_worked_example_passes_its_own_test(name, monkeypatch):
    functions(monkeypatch)[name]()


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_tests_can_fail(name, monkeypatch):
    names = functions(monkeypatch)
    names["OneStep"] = lambda length: Transpose()
    with pytest.raises(AssertionError):
        names[name]()


def test_the_page_names_the_layers_in_their_order_and_targets_that_there_are():
    (listed,) = re.findall(r"below its own:\n(.*?)\. `tests/test_layers", PAGE, re.S)
    assert re.findall(r"`(\w+)`", listed) == LAYERS
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([\w-]+)|`make ([\w-]+)", PAGE, re.M):
        assert re.search(rf"^(\w+ )*{max(target)}( \w+)*:", makefile, re.M), target


def test_the_citation_has_the_package_s_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {project['version']}\n" in citation
    assert "cff-version: 1.2.0\n" in citation
    for word in project["keywords"]:
        assert f"  - {word}\n" in citation
