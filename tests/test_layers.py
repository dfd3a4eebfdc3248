"""A module imports only from rooms below its own, and no file imports itself in a circle."""

import ast
import graphlib
from pathlib import Path

import pytest

import jaxbq

ROOT = Path(jaxbq.__file__).parent
# The rooms of docs/architecture.md, from the bottom up.
LAYERS = [
    "errors",
    "options",
    "runtime",
    "solvers",
    "data",
    "network",
    "training",
    "certification",
    "methods",
    "evaluation",
    "diagnosis",
    "experiment",
    "report",
    "play",
    "cli",
]


def room(path: Path) -> str:
    name = path.relative_to(ROOT).parts[0].removesuffix(".py")
    return "cli" if name == "__main__" else name


def file_of(module: Path) -> Path | None:
    """The file of a module below `jaxbq/`, if there is one."""
    for file in (module.with_suffix(".py"), module / "__init__.py"):
        if file.exists():
            return file
    return None


def imported_files(path: Path, source: str) -> set[Path]:
    """Files of jaxbq that a file imports: inside functions and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            base = path.parents[node.level - 1]
        elif (node.module or "").split(".")[0] == "jaxbq":
            base = ROOT.parent
        else:
            continue
        module = base.joinpath(*(node.module or "").split(".")) if node.module else base
        for alias in node.names:
            # A name of a package is one of its face, or a module in it.
            file = file_of(module / alias.name) or file_of(module)
            if file and file != ROOT / "__init__.py":
                found.add(file)
    return found


def violations(path: Path, source: str) -> list[str]:
    own = room(path)
    return [
        f"{path.relative_to(ROOT)} imports {other}"
        for other in sorted({room(file) for file in imported_files(path, source)})
        if other != own and LAYERS.index(other) >= LAYERS.index(own)
    ]


def circle(graph: dict[Path, set[Path]]) -> list[str]:
    """Files that import each other in a circle, or nothing."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as found:
        return [str(path.relative_to(ROOT)) for path in found.args[1]]
    return []


def modules() -> list[Path]:
    return [path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py"]


def test_every_import_goes_down():
    assert not [line for path in modules() for line in violations(path, path.read_text())]
    assert len(modules()) > 30


def test_no_files_import_each_other_in_a_circle():
    assert not circle({path: imported_files(path, path.read_text()) for path in modules()})


def test_every_room_is_in_its_place():
    assert {room(path) for path in modules()} == set(LAYERS)


@pytest.mark.parametrize(
    ("file", "source", "found"),
    [
        ("network/mlp.py", "from ..methods import Ascent", ["network/mlp.py imports methods"]),
        (
            "data/idx.py",
            "def f():\n    from ..network.mlp import MLP",
            ["data/idx.py imports network"],
        ),
        (
            "solvers/gauss_newton.py",
            "if TYPE_CHECKING:\n    from jaxbq.data import Dataset",
            ["solvers/gauss_newton.py imports data"],
        ),
        ("data/idx.py", "from .. import cli", ["data/idx.py imports cli"]),
        ("methods/base.py", "from ..network.mlp import MLP", []),
        ("methods/base.py", "from .driver import invert", []),
    ],
)
def test_the_check_of_layers_sees_every_kind_of_import(file, source, found):
    assert violations(ROOT / file, source) == found


def test_the_check_of_circles_sees_one():
    one, two = ROOT / "methods" / "base.py", ROOT / "methods" / "driver.py"
    lazily = "def f():\n    from .driver import invert"
    graph = {one: imported_files(one, lazily), two: imported_files(two, "from .base import Method")}
    assert sorted(circle(graph)[:-1]) == ["methods/base.py", "methods/driver.py"]
    assert not circle({two: graph[two]})


def test_there_is_no_drawer_for_odds_and_ends():
    assert not [path for path in modules() if path.stem in ("utils", "common", "helpers", "misc")]
