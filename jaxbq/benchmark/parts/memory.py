"""Peak memory against images, of the compiled programs and of the processes that ran them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ...errors import JaxbqError
from ..record import case_of, row_of
from ..session import Session
from ..timing import Contender

_KINDS = ("ascent", "preimage")
_SECONDS = 600


def memory(session: Session) -> Iterator[dict[str, Any]]:
    """Measure every number of images in a process of its own; then say how straight it grows."""
    chosen = session.options.memory
    cases: list[dict[str, Any]] = []
    for number in chosen.images:
        session.say(f"measuring: memory, {number} images")
        rows = []
        for kind in _KINDS:
            found = _measure(session, kind, number)
            rows.append(_row(f"jaxbq, {kind}", found["program"], "temporaries, inputs, results"))
            if found["process"] is not None:
                note = "most that the process held, less what it held before"
                rows.append(_row(f"jaxbq, {kind}, process", found["process"], note))
        cases.append(
            case_of(
                "memory",
                f"memory, {number} images",
                rows,
                x=number,
                unit="images",
                work=float(number),
            )
        )
    for name in sorted({row["contender"] for case in cases for row in case["rows"]}):
        _judge(name, cases)
    yield from cases


def _row(name: str, size: int, note: str) -> dict[str, Any]:
    return row_of(Contender(name, None, peer=False, note=note), bytes_peak=size)


def _judge(name: str, cases: list[dict[str, Any]]) -> None:
    """Say what an image costs, and how far the sizes are from a straight line in images."""
    rows = [row for case in cases for row in case["rows"] if row["contender"] == name]
    images = np.array([case["x"] for case in cases], float)
    sizes = np.array([row["bytes_peak"] for row in rows], float)
    if len(set(images)) < 3 or not sizes.all():
        return
    slope, base = np.polyfit(images, sizes, 1)
    away = np.abs(base + slope * images - sizes).max() / sizes.max()
    rows[-1]["quality"] = {"bytes an image": slope, "off a straight line": away}


def _measure(session: Session, kind: str, number: int) -> dict[str, Any]:
    """Run one point in a process of its own.

    Raises:
        JaxbqError: it failed.
    """
    asked = {
        "kind": kind,
        "images": number,
        "steps": session.options.memory.steps,
        "sizes": [784, 200, 10],
        "precision": session.options.dtype,
    }
    # The memory of a GPU that this process has taken is not to be had for another.
    own = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} if jax.default_backend() != "cpu" else {}
    answer = subprocess.run(
        [sys.executable, "-m", "jaxbq.benchmark.memory_point"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
        env=os.environ | own | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if answer.returncode:
        last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
        raise JaxbqError(f"the process that measures memory failed: {last}")
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found
