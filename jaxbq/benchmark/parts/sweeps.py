"""Throughput of the ascent along one size at a time: images, width, depth, pixels."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...data import ImageSpace
from ...methods import Ascent, invert
from ...network.mlp import MLP
from .. import work
from ..peers import offer
from ..session import Layers, Session, layers_of, targets_of
from ..timing import Contender
from .ascent import NEVER

_OUTPUTS, _SIDE, _WIDTH = 10, 28, 200


def batch(session: Session) -> Iterator[dict[str, Any]]:
    """Sweep the number of images."""
    for number in session.options.sweeps.batch:
        yield _case(session, "batch", number, f"{number} images", (_WIDTH,), images=number)


def width(session: Session) -> Iterator[dict[str, Any]]:
    """Sweep the units of the hidden layer."""
    for units in session.options.sweeps.width:
        yield _case(session, "width", units, f"a hidden layer of {units} units", (units,))


def depth(session: Session) -> Iterator[dict[str, Any]]:
    """Sweep the number of hidden layers."""
    for layers in session.options.sweeps.depth:
        said = f"{layers} hidden layers of {_WIDTH} units"
        yield _case(session, "depth", layers, said, (_WIDTH,) * layers)


def image(session: Session) -> Iterator[dict[str, Any]]:
    """Sweep the size of an image."""
    for side in session.options.sweeps.sides:
        said = f"{side} × {side} pixels"
        yield _case(session, "image", side * side, said, (_WIDTH,), side=side)


def _case(
    session: Session,
    part: str,
    x: int,
    said: str,
    hidden: Sequence[int],
    *,
    images: int | None = None,
    side: int = _SIDE,
) -> dict[str, Any]:
    chosen = session.options.sweeps
    number, steps = images or chosen.images, chosen.steps
    sizes = (side * side, *hidden, _OUTPUTS)
    model, dtype = MLP(sizes), jnp.dtype(session.options.dtype)
    params = model.init(jax.random.key(session.options.seed), dtype)
    layers, targets = layers_of(params), targets_of(_OUTPUTS, number)
    call = partial(
        invert,
        Ascent(steps=steps, stop=NEVER),
        model,
        params,
        targets,
        reference=ImageSpace((side, side)),
    )
    return session.measure(
        part,
        f"ascent, {said}, {steps} steps",
        [Contender("jaxbq", call, peer=False), *_peers(layers, targets, steps)],
        x=x,
        unit="image-steps",
        work=float(number * steps),
        flops=work.ascent_flops(sizes, number, steps),
        bytes_moved=work.ascent_bytes(sizes, number, steps, dtype.itemsize),
    )


def _peers(layers: Layers, targets: np.ndarray, steps: int) -> list[Contender]:
    def torch(name: str, which: str) -> Contender:
        from ..peers import pytorch_ascent

        return Contender(name, getattr(pytorch_ascent, which)(layers, targets, steps))

    makers: dict[str, Callable[[], Contender]] = {
        name: partial(torch, name, which)
        for name, which in (("PyTorch, eager", "eager"), ("PyTorch, torch.compile", "compiled"))
    }
    return [offer(name, make) for name, make in makers.items()]
