"""Ascents of the trained network, every image for every step."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ...methods import Ascent, Result, invert
from ...methods.ascent import StopRule, Whitened
from .. import work
from ..peers import offer
from ..session import Session
from ..timing import Contender

# No early stop: every image takes every step.
NEVER = StopRule(tolerance=0.0)
_WHITENED = "jaxbq, whitened"
REACHED = 1e-3


def ascent(session: Session) -> Iterator[dict[str, Any]]:
    """Time ascents of few and of many images."""
    sizes, steps = session.model.sizes, session.options.ascent.steps
    for number in session.options.ascent.images:
        contenders = [*_ours(session, number), *_peers(session, number)]
        flops = work.ascent_flops(sizes, number, steps)
        whitened = work.ascent_flops(sizes, number, steps, whitened=True)
        yield session.measure(
            "ascent",
            f"ascent, {number} images × {steps} steps",
            contenders,
            unit="image-steps",
            work=float(number * steps),
            flops=flops,
            flops_of={_WHITENED: whitened, _SCIPY: 0.0},
            bytes_moved=work.ascent_bytes(
                sizes, number, steps, np.dtype(session.options.dtype).itemsize
            ),
        )


_SCIPY = "SciPy, L-BFGS-B"


def _ours(session: Session, number: int) -> list[Contender]:
    steps, targets = session.options.ascent.steps, session.targets(number)
    ways = {
        "jaxbq": Ascent(steps=steps, stop=NEVER),
        _WHITENED: Ascent(steps=steps, stop=NEVER, parameterisation=Whitened()),
    }
    return [
        Contender(
            name,
            partial(invert, way, session.model, session.params, targets, reference=session.data),
            peer=False,
            quality=answered(session, targets),
        )
        for name, way in ways.items()
    ]


def _peers(session: Session, number: int) -> list[Contender]:
    steps, targets = session.options.ascent.steps, session.targets(number)
    quality = answered(session, targets)

    def torch(which: str) -> Contender:
        from ..peers import pytorch_ascent

        call = getattr(pytorch_ascent, which)(session.layers, targets, steps)
        return Contender(f"PyTorch, {_SAID[which]}", call, quality=quality)

    def lucent(name: str, plain: bool) -> Contender:
        from ..peers.lucent import ascent

        side, wide = session.data.space.shape[:2]
        if side != wide:
            return Contender(name, None, note="takes square images alone")
        call = ascent(session.layers, targets, steps, side, plain=plain)
        return Contender(name, call, quality=quality)

    def scipy() -> Contender:
        from ..peers.scipy_ascent import lbfgs

        starts = np.full((number, session.data.space.pixels), 0.5)
        call = lbfgs(session.layers, targets, starts, steps)
        note = "stops by its own rule: fewer steps, each dearer"
        return Contender(_SCIPY, call, quality=quality, note=note)

    makers: dict[str, Callable[[], Contender]] = {
        f"PyTorch, {said}": partial(torch, which) for which, said in _SAID.items()
    }
    makers["Lucent, plain pixels"] = partial(lucent, "Lucent, plain pixels", True)
    if number <= session.options.ascent.slow:
        makers["Lucent, its defaults"] = partial(lucent, "Lucent, its defaults", False)
        makers[_SCIPY] = scipy
    return [offer(name, make) for name, make in makers.items()]


_SAID = {"eager": "eager", "compiled": "torch.compile"}


def answered(
    session: Session, targets: np.ndarray, tolerance: float = REACHED
) -> Callable[[Any], dict[str, float]]:
    """Make what says how near the answers to images come to their targets: ours or a peer's."""

    def quality(last: Any) -> dict[str, float]:
        images = last.images if isinstance(last, Result) else np.asarray(last)
        rows = images.reshape(len(targets), -1, images.shape[-1])
        errors = errors_of(session, rows, targets)
        return {"largest output error": errors.max(), "reached": int((errors <= tolerance).sum())}

    return quality


def errors_of(session: Session, images: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Ask the network: the largest error of an output, of every image of every target.

    Args:
        session: whose network is asked.
        images: shape (targets, samples, pixels).
        targets: wanted outputs.
    """
    dtype = session.params[0].weight.dtype
    rows = np.asarray(images.reshape(-1, images.shape[-1]), dtype)
    outputs = np.asarray(session.model.apply(session.params, rows), np.float64)
    return np.abs(outputs.reshape(*images.shape[:2], -1) - targets[:, None]).max(axis=2)
