"""A module imports only from lower layers, or from its own package."""

import ast
from pathlib import Path

import jaxbq

ROOT = Path(jaxbq.__file__).parent
LAYERS = [
    {"errors", "interrupts", "precision", "threads"},
    {"archives", "devices", "files", "options"},
    {"cache", "processes"},
    {"activations", "compiled", "data", "products", "solvers"},
    {"draws"},
    {"mlp", "targets", "optimisers"},
    {"training", "weights"},
    {"generators"},
    {"imaging"},
    {"methods"},
    {"evaluation"},
    {"diagnosis"},
    {"experiment"},
    {"report"},
    {"benchmark"},
    {"console"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def unit(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_units(path: Path, source: str) -> set[str]:
    """Top-level parts of jaxbq that a module imports, inside functions too."""
    package = path.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {((*base, *name.split("."))[0]) for name in names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxbq"):
            found |= set((node.module or "").split(".")[1:2])
    return found


def violations(path: Path, source: str) -> list[str]:
    own = unit(path)
    return [
        f"{own} imports {other}"
        for other in imported_units(path, source)
        if other != own and LEVEL[other] >= LEVEL[own]
    ]


def modules() -> list[Path]:
    return [path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py"]


def test_every_import_goes_down():
    found = [line for path in modules() for line in violations(path, path.read_text())]
    assert not found
    assert len(modules()) > 30


def test_the_check_itself_can_fail():
    assert violations(ROOT / "mlp.py", "from .methods import Ascent") == ["mlp imports methods"]
    assert violations(ROOT / "data" / "idx.py", "def f():\n    from ..mlp import MLP")
    assert not violations(ROOT / "methods" / "base.py", "from ..mlp import MLP")
    assert not violations(ROOT / "methods" / "base.py", "from .driver import invert")


def test_there_is_no_drawer_for_odds_and_ends():
    assert not [path for path in modules() if path.stem in ("utils", "common", "helpers", "misc")]
