"""Throughput of the ascent, every image for every step: few and many images, all sizes."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from jaxbq import MLP, Ascent, ImageSpace, StopRule, invert, preset

from ..options import PartName
from ..peers import ascents, offer
from ..peers.plain import Layers, layers_of
from ..record import Case
from ..session import Session, targets_of
from ..timing import Contender

# No early stop: every image takes every step.
NEVER = StopRule(tolerance=0.0)
_REACHED = 1e-3
_OUTPUTS, _SIDE, _UNITS = 10, 28, 200

Quality = Callable[[Any], dict[str, float]]
Make = Callable[[], Callable[[], Any]]


def ascent(session: Session) -> Iterator[Case]:
    """Time ascents of the trained network, beside all libraries that have one."""
    chosen, layers = session.options.ascent, session.layers
    data = session.data
    for number in chosen.images:
        steps, targets = chosen.steps, session.targets(number)
        quality = session.judge(targets, _REACHED)
        plain = Ascent(steps=steps, stop=NEVER)
        whitened = dataclasses.replace(preset("whitened"), steps=steps, stop=NEVER)
        given = session.model, session.params, targets
        ours = [
            Contender(name, partial(invert, way, *given, reference=data), False, quality=quality)
            for name, way in (("jaxbq", plain), ("jaxbq, whitened", whitened))
        ]
        lucent: dict[str, Make] = {
            f"Lucent, {said}": partial(ascents.lucent, layers, targets, steps, plain=bare)
            for said, bare in (("plain pixels", True), ("its defaults", False))
            if bare or number <= chosen.slow
        }
        others = _peers(layers, targets, steps, lucent, quality)
        yield session.measure(
            "ascent",
            f"ascent, {number} images × {steps} steps",
            [*ours, *others],
            unit="image-steps",
            work=number * steps,
        )


def _peers(
    layers: Layers,
    targets: np.ndarray,
    steps: int,
    more: dict[str, Make] | None = None,
    quality: Quality | None = None,
) -> list[Contender]:
    """Make PyTorch's ascents, and others if wanted."""
    makers: dict[str, Make] = {
        f"PyTorch, {said}": partial(ascents.ascent, layers, targets, steps, compiled=compiled)
        for said, compiled in (("eager", False), ("torch.compile", True))
    }

    def contender(name: str, make: Make) -> Contender:
        return Contender(name, make(), quality=quality)

    makers |= more or {}
    return [offer(name, partial(contender, name, make)) for name, make in makers.items()]


def sweep(session: Session, part: PartName) -> Iterator[Case]:
    """Time ascents along one size; weights are random, which the speed does not depend on."""
    chosen = session.options.sweeps
    few = chosen.images
    # x, what is said of it, images, side of an image, hidden layers.
    points: dict[str, list[tuple[int, str, int, int, tuple[int, ...]]]] = {
        "batch": [(n, f"{n} images", n, _SIDE, (_UNITS,)) for n in chosen.batch],
        "width": [(n, f"a hidden layer of {n} units", few, _SIDE, (n,)) for n in chosen.width],
        "depth": [(n, f"{n} hidden layers", few, _SIDE, (_UNITS,) * n) for n in chosen.depth],
        "image": [(n * n, f"{n} × {n} pixels", few, n, (_UNITS,)) for n in chosen.sides],
    }
    for x, said, images, side, hidden in points[part]:
        model = MLP((side * side, *hidden, _OUTPUTS))
        params, targets = session.first_params(model), targets_of(_OUTPUTS, images)
        way, space = Ascent(steps=chosen.steps, stop=NEVER), ImageSpace((side, side))
        call = partial(invert, way, model, params, targets, reference=space)
        layers, work = layers_of(params), images * chosen.steps
        ours = Contender("jaxbq", call, peer=False)
        yield session.measure(
            part,
            f"ascent, {said}, {chosen.steps} steps",
            [ours, *_peers(layers, targets, chosen.steps)],
            unit="image-steps",
            work=work,
            x=x,
        )
