"""One point of the memory curve, in a process of its own: reads what is asked, prints bytes."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from ..data import ImageSpace, Reference
from ..methods import Ascent, Method, Preimage, invert
from ..methods.ascent import StopRule
from ..network.mlp import MLP
from .session import targets_of


def measure(
    kind: str, images: int, steps: int, sizes: tuple[int, ...], precision: str
) -> dict[str, Any]:
    """Measure one inversion.

    Args:
        kind: ``ascent`` or ``preimage``.
        images: how many at once.
        steps: of an ascent.
        sizes: of the network.
        precision: of the computation.

    Returns:
        Bytes of the compiled program, and those by which the process grew while it ran; None where
        the system does not say.
    """
    method: Method
    if kind == "ascent":
        method = Ascent(steps=steps, stop=StopRule(tolerance=0.0))
    else:
        method = Preimage(max_iterations=3)
    model = MLP(sizes)
    params = model.init(jax.random.key(0), jnp.dtype(precision))
    space = ImageSpace((1, sizes[0]))
    wanted = targets_of(sizes[-1], images)
    program = _program(method, model, params, space, jnp.asarray(wanted, precision))
    before = _most(anew=True)
    invert(method, model, params, wanted, reference=space)
    after = _most(anew=False)
    grown = None if before is None or after is None else after - before
    return {"program": program, "process": grown}


def _program(method: Method, model: MLP, params: Any, space: ImageSpace, targets: Any) -> int:
    """Compile the inversion and add up what XLA says that it holds."""
    key = jax.random.key(0)
    planned = method.plan(len(targets), space.pixels)
    state = planned.prepare(model, params, Reference(space), key)

    def run(state: Any, targets: Any) -> Any:
        return planned.invert(model, params, state, targets, key)

    sizes: Any = jax.jit(run).lower(state, targets).compile().memory_analysis()
    return int(sizes.temp_size_in_bytes + sizes.argument_size_in_bytes + sizes.output_size_in_bytes)


def _most(*, anew: bool) -> int | None:
    """Look up the most memory that this process has held, in bytes, where Linux says so.

    Not by getrusage: a process inherits that number from the one that began it.

    Args:
        anew: forget what it held before, and begin with what it holds now.
    """
    with contextlib.suppress(OSError):
        if anew:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return None


if __name__ == "__main__":
    asked = json.loads(sys.stdin.read())
    asked["sizes"] = tuple(asked["sizes"])
    with jax.enable_x64(asked["precision"] == "float64"):
        print(json.dumps(measure(**asked)))
