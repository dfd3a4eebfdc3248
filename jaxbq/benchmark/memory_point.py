"""One point of the memory curve, in a process of its own: reads what is asked, prints bytes."""

import contextlib
import json
import sys
from typing import Any

import jax
import jax.numpy as jnp

from ..data import ImageSpace, Reference
from ..imaging import StopRule
from ..methods import Ascent, Method, Preimage, invert
from ..mlp import MLP
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
    before = _most()
    invert(method, model, params, wanted, reference=space)
    after = _most()
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


def _most() -> int | None:
    """Look up the most memory that this process has held, in bytes."""
    with contextlib.suppress(ImportError):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most
    return None


if __name__ == "__main__":
    asked = json.loads(sys.stdin.read())
    asked["sizes"] = tuple(asked["sizes"])
    with jax.enable_x64(asked["precision"] == "float64"):
        print(json.dumps(measure(**asked)))
