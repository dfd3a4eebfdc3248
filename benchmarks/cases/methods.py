"""Every method of jaxbq for every class, beside what a user would write instead."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit

import jaxbq
from jaxbq import Ascent, ExemplarMean, Exemplars, Preimage, PseudoInverse, Transpose, invert
from jaxbq.methods import Method, Result
from jaxbq.options import describe

from ..peers import ascents, offer, plain
from ..record import Case
from ..session import Session
from ..timing import Contender

METHODS: tuple[Method, ...] = (
    Transpose(),
    PseudoInverse(hidden_policy="clip", pixel_policy="none"),
    PseudoInverse(hidden_policy="clip", pixel_policy="clip"),
    PseudoInverse(),
    Preimage(),
    Ascent(),
    jaxbq.preset("whitened"),
    *(jaxbq.Projected(method=Transpose()), jaxbq.Decoder(), jaxbq.ClassMean()),
    *(Exemplars(), ExemplarMean()),
)
# Each trains a network in every round.
_TRAINED = 3

Peer = tuple[str, Callable[[], Callable[[], np.ndarray]]]


def methods(session: Session) -> Iterator[Case]:
    """Time a whole call of every method, with its defaults, for one target a class."""
    targets = session.targets(session.data.classes)
    for method in METHODS:
        try:
            method.check(session.model, session.data.reference, targets)
        except jaxbq.JaxbqError as reason:  # images may be too small for one
            session.say(f"{describe(method)}: left out, {reason}")
            continue
        call = partial(
            invert, method, session.model, session.params, targets, reference=session.data
        )
        quality = partial(_quality, session, targets)
        ours = Contender("jaxbq", call, peer=False, quality=quality)
        yield session.measure(
            "methods",
            f"{describe(method)}, {len(targets)} targets",
            [ours, peer_of(method, session, targets)],
            unit="images",
            work=len(targets),
            rounds=_TRAINED,
        )


def peer_of(method: Method, session: Session, targets: np.ndarray) -> Contender:
    """Choose what a user would write instead of a method; a row says so where there is nothing."""
    if method not in (peers := _peers(session, targets)):
        return Contender("no peer", None, note="no peer does the same")
    name, make = peers[method]
    quality = partial(_quality, session, targets)
    return offer(name, lambda: Contender(name, make(), quality=quality))


def _peers(session: Session, targets: np.ndarray) -> dict[Method, Peer]:
    """Name the peers, and what makes each: its library may be absent."""
    layers, data = session.layers, session.data
    grey = np.full((len(targets), data.space.pixels), 0.5)

    nearest = partial(plain.exemplars, layers, targets, data.train_images)

    def mean() -> np.ndarray:
        return nearest(ExemplarMean().k).mean(axis=1)

    def raw(function: Callable[..., np.ndarray], *given: Any, **more: Any) -> Any:
        return lambda: partial(function, *given, **more)

    pinv = partial(raw, plain.pseudo_inverse, layers, targets)
    return {
        Transpose(): ("the book's backquery", raw(plain.backquery, layers, targets)),
        METHODS[1]: ("NumPy, pinv", pinv(clip=False)),
        METHODS[2]: ("NumPy, pinv", pinv(clip=True)),
        PseudoInverse(): ("SciPy, lsq_linear", raw(plain.box, layers, targets)),
        Preimage(): ("SciPy, least_squares", raw(plain.preimage, layers, targets, grey)),
        Ascent(): (
            "PyTorch, eager",
            partial(ascents.ascent, layers, targets, Ascent().steps, compiled=False),
        ),
        Exemplars(): ("NumPy, argsort", lambda: partial(nearest, Exemplars().k)),
        ExemplarMean(): ("NumPy, argsort and mean", lambda: mean),
    }


def _quality(session: Session, targets: np.ndarray, last: Any) -> dict[str, float]:
    """Ask the network about the first image of every target."""
    images = last.images if isinstance(last, Result) else np.asarray(last)
    images = images.reshape(len(targets), -1, images.shape[-1])[:, 0]
    outputs = expit(plain.forward(session.layers, images)[1])
    right = int((outputs.argmax(axis=1) == targets.argmax(axis=1)).sum())
    return {"right": right, "largest error": np.abs(outputs - targets).max()}
