"""All that a GPU has to show, in eight minutes at most: `make gpu-check`.

    python scripts/gpu_check.py            # writes runs/gpu-check/record.json, table.md
    python scripts/gpu_check.py --small    # tries it out where there is no GPU

Each part is a process with a time limit. One that fails or takes too long is a line of the record,
and the next goes on. The exit code is 0 if every line is met; with --small, whose times mean
nothing, if every part came to its end.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import jax  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks.cases.ascent import NEVER  # noqa: E402
from benchmarks.options import Benchmark  # noqa: E402
from benchmarks.record import Case, aligned, environment_of, table_of  # noqa: E402
from benchmarks.session import Session  # noqa: E402
from benchmarks.timing import Contender  # noqa: E402
from jaxbq import Ascent, Codes, Preimage, Training, invert, train  # noqa: E402
from jaxbq.methods import Reason, Result  # noqa: E402
from jaxbq.runtime.devices import Precision, computing  # noqa: E402
from jaxbq.training import train_many  # noqa: E402

BUDGET = 480.0  # seconds of all parts together
# Of each part, in their order; the last has what is left.
LIMITS = {"tests": 150.0, "ascents": 100.0, "seeds": 60.0, "preimages": 45.0}
SHARE, SEEDS, COST = 0.5, 10, 3.0
_PRODUCTS = 10


@dataclass(frozen=True)
class Sizes:
    """How much is computed: as many images and as large a product as fill a GPU."""

    images: int = 65_536
    steps: int = 500
    side: int = 8192
    hidden: int = 200
    epochs: int = 10
    rounds: int = 3
    tests: str = "tests"
    workers: int = 8
    configs: tuple[str, ...] = ("book", "all_methods")  # as `make demo`
    patience: float = 1.0  # factor on all limits


_QUICK = "tests/runtime/test_devices.py"
SMALL = Sizes(64, 20, 256, 64, 1, 1, _QUICK, workers=0, configs=("smoke",), patience=30.0)


class Check(NamedTuple):
    """One line of the record."""

    what: str
    found: str
    met: bool


Found = Iterator[Case | Check]


def ascents(sizes: Sizes, session: Session) -> Found:
    """Time ascents, and in turns with them their operations and memory traffic alone.

    The operations go at the speed of a product of two square matrices, the measured peak; the
    traffic, images and both moments read and written in every step, at that of a copy.
    """
    number, side, name = sizes.images, sizes.side, session.options.precision
    model, rounding = session.model, {"float32": "highest", "tf32": "tensorfloat32"}[name]
    method = Ascent(steps=sizes.steps, stop=NEVER)
    given = method, model, session.first_params(model), session.targets(number)
    call = partial(invert, *given, reference=session.data)
    spent = call().operations
    one, two = jax.random.uniform(jax.random.key(0), (2, side, side), "float32")
    with jax.default_matmul_precision(rounding):
        multiply = jax.jit(lambda a, b: a @ b).lower(one, two).compile()
    state = jax.numpy.ones((3, number, session.data.space.pixels), "float32")
    scaled = jax.jit(lambda state: 0.5 * state)
    title = f"{number:,} images × {sizes.steps} steps, {name}"
    contenders = [
        Contender("jaxbq", call, peer=False, quality=_seconds),
        Contender(
            "its products at the peak",
            lambda: [multiply(one, two) for _ in range(_PRODUCTS)],
            scale=spent / (2 * side**3 * _PRODUCTS),
        ),
        Contender("its memory traffic", lambda: scaled(state), scale=sizes.steps),
    ]
    case = session.measure("ascent", title, contenders, unit="operations", work=spent)
    yield case
    share = _ratio(case, 1)
    yield Check(f"{title}: {SHARE:.0%} of the peak or more", f"{share:.0%}", share >= SHARE)


def seeds(sizes: Sizes, session: Session) -> Found:
    """Time ten networks trained at once beside one, and ascents from ten starts beside one."""
    rule, keys = Training(epochs=sizes.epochs), list(jax.random.split(jax.random.key(0), SEEDS))
    model, data = session.model, session.data
    params, targets = session.first_params(model), session.targets(data.classes)

    def trained(number: int) -> Any:
        if number == 1:
            return train(model, data, rule, key=keys[0]).params
        found = train_many(model, data, rule, keys=keys[:number], together=True)
        return [one.params for one in found]

    def climbed(number: int) -> Any:
        method = Ascent(steps=sizes.steps, stop=NEVER, start="random", restarts=number)
        return invert(method, model, params, targets, reference=data)

    calls: dict[Any, Callable[[int], Any]] = {"training": trained, "ascent": climbed}
    for part, call in calls.items():
        title = f"{part}, {SEEDS} seeds at once"
        contenders = [
            Contender("one", partial(call, 1), peer=False),
            Contender("ten at once", partial(call, SEEDS), peer=False),
        ]
        case = session.measure(part, title, contenders, unit="calls")
        yield case
        cost = _ratio(case, 1)
        yield Check(f"{title}: less than {COST:g} times one", f"{cost:.2f}", cost < COST)


def preimages(sizes: Sizes, session: Session) -> Found:
    """Ask in float64 for the code of every class, from a digit of every class."""
    targets, method = Codes().matrix(session.data.classes), Preimage(start="images")
    call = partial(invert, method, session.model, session.params, targets, reference=session.data)
    result = call()
    number = result.reasons.size
    title = f"{number} preimages, float64"
    contender = Contender("jaxbq", call, peer=False, quality=_seconds)
    yield session.measure("target", title, [contender], unit="images", work=number, x=1e-8)
    # What the network answers, by NumPy: nothing that the device says of itself is trusted.
    signals: Any = result.images
    for weight, bias in session.layers:
        signals = 1 / (1 + np.exp(-(signals @ weight + bias)))
    error = float(np.abs(signals - targets[:, None]).max())
    reached = int((result.reasons == Reason.REACHED).sum())
    met = reached == number and error < 1e-8
    yield Check(f"{title}: all reached", f"{reached}, largest error {error:.1g}", met)


PARTS: dict[str, tuple[Callable[[Sizes, Session], Found], tuple[Precision, ...]]] = {
    "ascents": (ascents, ("float32", "tf32")),
    "seeds": (seeds, ("float32",)),
    "preimages": (preimages, ("float64",)),
}


def _seconds(result: Result) -> dict[str, float]:
    return {"seconds in its programs": result.seconds.run}


def _ratio(case: Case, number: int) -> float:
    """Divide the time of a row by that of the first."""
    return case.ratio(case.rows[number]) or float("nan")


def measure(name: str, sizes: Sizes, out: Path) -> None:
    """Measure a part in this process, and write its cases and checks whenever there is one."""
    function, precisions = PARTS[name]
    found = dict[str, Any](cases=[], checks=[])
    for precision in precisions:
        options = Benchmark(
            rounds=sizes.rounds,
            seconds=15.0,
            precision=precision,
            hidden=(sizes.hidden,),
            inverted=Training(epochs=sizes.epochs),
        )
        with computing(precision):
            for one in function(sizes, Session(options, lambda text: None)):
                if isinstance(one, Case):
                    found["cases"].append(one.model_dump())
                else:
                    found["checks"].append(one._asdict())
                out.write_text(json.dumps(found))


def run_part(name: str, sizes: Sizes, limit: float, folder: Path) -> dict[str, Any]:
    """Run a part in processes of its own, for so many seconds at most; say what it found."""
    begun, python, written = time.monotonic(), sys.executable, folder / f"{name}.json"
    commands = {f"jaxbq run {c}": ["-m", "jaxbq", "run", c] for c in sizes.configs}
    if name == "tests":
        workers = str(min(sizes.workers, os.cpu_count() or 1))
        options = ["-q", "-m", "device", "--numprocesses", workers, "--dist", "loadfile"]
        commands = {"tests": ["-m", "pytest", *options, sizes.tests]}
    elif name in PARTS:
        small = ["--small"] if sizes == SMALL else []
        commands = {name: [__file__, "--part", name, *small]}
    faults, found = list[Any](), dict[str, Any](cases=[], checks=[])
    for what, command in commands.items():
        if name != "tests":
            command += ["--out", str(written if name in PARTS else folder / "runs")]
        started = time.monotonic()
        fault, said = _done([python, *command], limit - (started - begun))
        if fault:
            faults.append({"what": f"{what}: {fault}", "end": said[-30:]})
        if written.exists():
            found = json.loads(written.read_text())
        elif name not in PARTS:
            took = f"{time.monotonic() - started:.0f} s"
            shown = said[-1] if name == "tests" and said else took
            found["checks"].append(Check(what, shown, not fault)._asdict())
    return {"part": name, "seconds": time.monotonic() - begun, "faults": faults, **found}


def _done(command: list[str], limit: float) -> tuple[str, list[str]]:
    """Run a process with its children; return what is wrong, if anything, and what it said."""
    given = {"PYTHONPATH": str(ROOT), "XLA_FLAGS": "--xla_backend_optimization_level=3"}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=max(limit, 0.1))
        fault = f"exit code {process.returncode}" if process.returncode else ""
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as reason:
        # Ctrl-C does not reach a session of its own.
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        if isinstance(reason, KeyboardInterrupt):
            raise
        fault = f"stopped after {limit:.0f} s"
    return fault, said.strip().splitlines()


def table(record: dict[str, Any]) -> str:
    """Write a record for people: the machine, a line a check, a table a case."""
    about = record["environment"]
    versions = ", ".join(f"{name} {v}" for name, v in about["packages"].items() if v)
    lines = [f"{about['device']['kind']}; {versions}; {about['date']}; commit {about['commit']}"]
    for part in record["parts"]:
        lines += ["", f"{part['part']}, {part['seconds']:.0f} s"]
        lines += [
            f"{'pass' if c['met'] else 'FAIL'}  {Check(**c).found}  ({c['what']})"
            for c in part["checks"]
        ]
        lines += [f"FAIL  {fault['what']}" for fault in part["faults"]]
        for case in map(Case.model_validate, part["cases"]):
            lines += ["", case.title, aligned(*table_of(case))]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run all parts, or one; return 0 if all is as it should be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="small sizes, on any device")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu-check"), metavar="DIR")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    sizes = SMALL if chosen.small else Sizes()
    if chosen.part:
        measure(chosen.part, sizes, chosen.out)
        return 0
    begun = time.monotonic()
    # The parts, one after another, and this process share the GPU's memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if jax.default_backend() == "cpu" and not chosen.small:
        print("gpu_check: JAX finds no GPU; --small tries the check out", file=sys.stderr)
        return 2
    chosen.out.mkdir(parents=True, exist_ok=True)
    about = environment_of("float32", " ".join(["python", *sys.argv]))
    record: dict[str, Any] = {"environment": about, "small": chosen.small, "parts": []}
    with tempfile.TemporaryDirectory() as folder:
        for name in (*LIMITS, "configs"):
            left = sizes.patience * BUDGET - (time.monotonic() - begun)
            limit = min(sizes.patience * LIMITS.get(name, BUDGET), left)
            record["parts"].append(run_part(name, sizes, limit, Path(folder)))
            # After each: whatever happens to the machine, what was measured is there.
            (chosen.out / "record.json").write_text(json.dumps(record, indent=1) + "\n")
            (chosen.out / "table.md").write_text(table(record))
    print(table(record))
    ended = not any(part["faults"] for part in record["parts"])
    met = all(check["met"] for part in record["parts"] for check in part["checks"])
    return 0 if ended and (met or chosen.small) else 1


if __name__ == "__main__":
    sys.exit(main())
