"""Change the numerical core in one place and see whether the tests notice; again and again.

    python tests/mutation/mutate.py --number 64 --seed 1    # so many changes, drawn at random
    python tests/mutation/mutate.py --list                  # all changes that it can make
    python tests/mutation/mutate.py --only NAME [NAME …]    # these alone, by the names it lists

A change is one of: a sign, a factor, a bound, an axis, a constant, an end (min for max), two
branches exchanged. Defaults of options and the tuning numbers at the top of a module are choices,
and stay. Each change is made in a copy of the project, on which the tests of `make test` run:
first those named after the module or its folder, then those that mention it, then all, until one
fails. It prints a line a change and in the end the share that was noticed; it exits with 1 below
95 %.
With --near the last stage is left out, which is many times quicker where nothing is noticed.
`survivors.toml` holds, by name, why a change that no test notices changes no result.
"""

import argparse
import ast
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SURVIVORS = Path(__file__).with_name("survivors.toml")
CORE = [
    "solvers/*.py",
    "certification/*.py",
    "network/*.py",
    "training/losses.py",
    "training/loop.py",
    "training/rules.py",
    "training/adversary.py",
    "training/rare_pixels.py",
    "training/autoencoder.py",
    "methods/analytic.py",
    "methods/ascent/*.py",
    "methods/baselines.py",
    "methods/decoder.py",
    "methods/exemplars.py",
    "methods/preimage.py",
    "methods/projected.py",
    "methods/pseudo_inverse.py",
    "methods/transpose.py",
    "data/dataset.py",
    "data/grids.py",
    "data/moments.py",
    "evaluation/naturalness.py",
    "evaluation/scores.py",
    "evaluation/similarity.py",
    "evaluation/statistics.py",
    "diagnosis/layers.py",
    "diagnosis/policies.py",
]
EXCHANGED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
}
ENDS = {"minimum": "maximum", "maximum": "minimum", "min": "max", "max": "min", "fmin": "fmax"}
# Seconds; all tests take a third of it. A change may make a loop that never ends.
LONGEST = 1200
# What runs the tests: one process for each change, so that many can be tried at a time.
PYTEST = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", "-p", "no:cacheprovider"]


class Change(NamedTuple):
    """One changed place: its file below `jaxbq/`, its name, and the whole text of the file then."""

    file: Path
    name: str
    text: str


def changes(file: Path) -> Iterator[Change]:
    """All changes that can be made to a file, in the order of its lines."""
    source = file.read_text()
    tree = ast.parse(source)
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    relative = file.relative_to(ROOT / "jaxbq").as_posix()
    known: Counter[str] = Counter()
    chosen = {
        part
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for part in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if node in chosen:
            continue
        for what, changed in changed_nodes(node):
            begin = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            raw = source.encode()
            text = raw[:begin].decode() + f"({ast.unparse(changed)})" + raw[end:].decode()
            name = f"{relative}: {what}: {raw[begin:end].decode()}"
            name = " ".join(name.split())
            known[name] += 1
            yield Change(file, f"{name} ({known[name]})" if known[name] > 1 else name, text)


def changed_nodes(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """What a node can be changed into, each with the kind of change."""
    match node:
        case ast.BinOp(op=op) if type(op) in EXCHANGED and not is_type(node):
            kind = "sign" if isinstance(op, ast.Add | ast.Sub) else "factor"
            yield kind, ast.BinOp(node.left, EXCHANGED[type(op)](), node.right)
        case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            yield "sign", operand
        case ast.Compare(ops=[op]) if type(op) in EXCHANGED:
            yield "bound", ast.Compare(node.left, [EXCHANGED[type(op)]()], node.comparators)
        case ast.Call(func=ast.Attribute(attr="where"), args=[test, one, two]):
            yield "branches", ast.Call(node.func, [test, two, one], node.keywords)
        case ast.Call(func=ast.Attribute(attr=name)) if name in ENDS:
            func = ast.Attribute(node.func.value, ENDS[name], ast.Load())
            yield "end", ast.Call(func, node.args, node.keywords)
        case ast.Call(keywords=keywords):
            for place, given in enumerate(keywords):
                if given.arg == "axis" and isinstance(given.value, ast.Constant | ast.UnaryOp):
                    other = ast.Constant(1 if ast.literal_eval(given.value) == 0 else 0)
                    others = list(keywords)
                    others[place] = ast.keyword("axis", other)
                    yield "axis", ast.Call(node.func, node.args, others)
        case ast.Constant(value=value) if type(value) is float and value not in (0.0,):
            yield "constant", ast.Constant(value * 2)


def is_type(node: ast.BinOp) -> bool:
    """Whether it is text put together, not numbers."""
    return any(
        isinstance(side, ast.Constant | ast.JoinedStr)
        and isinstance(getattr(side, "value", ""), str)
        for side in (node.left, node.right)
    )


def all_changes() -> list[Change]:
    """All changes of the core, by file."""
    files = sorted(file for pattern in CORE for file in (ROOT / "jaxbq").glob(pattern))
    return [change for file in files for change in changes(file)]


def stages(change: Change) -> list[list[str]]:
    """Tests in the order in which they are likely to notice: lists of files, one after another."""
    stem = change.file.stem
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    named = {f"test_{stem}", f"test_{change.file.parent.name}"}
    own = [f for f in tests if f.stem in named]
    near = [f for f in tests if f not in own and re.search(rf"\b{stem}\b", f.read_text())]
    core = ROOT / "tests" / "methods" / "test_methods.py"
    near += [core] if core not in (*own, *near) else []
    rest = [f for f in tests if f not in (*own, *near)]
    return [[str(f.relative_to(ROOT)) for f in part] for part in (own, near, rest) if part]


def noticed_by(change: Change, near: bool) -> str:
    """Run the tests on a copy with the change; name the first that fails, or nothing."""
    with tempfile.TemporaryDirectory(prefix="jaxbq-mutation-") as name:
        copy = Path(name) / "jaxbq"
        ignored = shutil.ignore_patterns(".git", ".venv", "runs", "__pycache__", ".*_cache")
        shutil.copytree(ROOT, copy, ignore=ignored)
        (copy / change.file.relative_to(ROOT)).write_text(change.text)
        # Without the user's cache: a judge that the change spoils must not be kept for others.
        environment = {k: v for k, v in os.environ.items() if k != "JAXBQ_CACHE"}
        environment |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        for files in stages(change)[: 2 if near else None]:
            try:
                ran = subprocess.run(
                    [*PYTEST, *files],
                    cwd=copy,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=LONGEST,
                )
            except subprocess.TimeoutExpired:
                return f"no end in {LONGEST} s"
            if ran.returncode not in (0, 5):
                failed = [
                    line for line in ran.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))
                ]
                if failed:
                    return failed[0].split(" - ")[0]
                # Killed by somebody, say: that is no test that noticed.
                raise RuntimeError(f"{change.name}: pytest ended with {ran.returncode}")
    return ""


def main() -> int:
    """Draw changes, try them, and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=64, help="changes to try (default 64)")
    parser.add_argument("--seed", type=int, default=1, help="of the draw (default 1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="changes tried at a time")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="try these changes")
    parser.add_argument("--near", action="store_true", help="run only tests near the change")
    parser.add_argument("--list", action="store_true", help="list all changes, and try none")
    given = parser.parse_args()
    known = all_changes()
    if given.list:
        print("\n".join(change.name for change in known))
        return 0
    excused = tomllib.loads(SURVIVORS.read_text())
    if given.only:
        chosen = [change for change in known if change.name in given.only]
    else:
        chosen = random.Random(given.seed).sample(known, given.number)
    noticed = 0
    with ThreadPoolExecutor(given.jobs) as pool:
        for change, by in zip(
            chosen, pool.map(partial(noticed_by, near=given.near), chosen), strict=True
        ):
            reason = excused.get(change.name, "")
            noticed += bool(by)
            print(f"{change.name}: {by or f'SURVIVED. {reason}'}", flush=True)
    print(f"{noticed} of {len(chosen)} noticed")
    return 0 if noticed >= 0.95 * len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
