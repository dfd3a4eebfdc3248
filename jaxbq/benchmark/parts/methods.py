"""Every method of jaxbq for every class, against what a user would pick."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.special import expit, logit

from ...data import Dataset
from ...experiment import Experiment, load_config
from ...methods import (
    Ascent,
    ClassMean,
    Decoder,
    ExemplarMean,
    Exemplars,
    Grey,
    Method,
    NoiseImage,
    Preimage,
    Projected,
    PseudoInverse,
    Result,
    Transpose,
    invert,
    preset,
)
from ...network.mlp import MLP
from ...options import describe
from ...training import train
from ..peers import book, numpy_methods, offer
from ..peers.plain import forward
from ..session import Layers, Session, layers_of
from ..timing import Contender

_ALL: tuple[Method, ...] = (
    Transpose(),
    PseudoInverse(),
    Preimage(),
    Ascent(),
    preset("whitened"),
    Projected(method=Transpose()),
    Decoder(),
    Exemplars(),
    ExemplarMean(),
    ClassMean(),
    Grey(),
    NoiseImage(),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """What every method is asked.

    Args:
        data: images and labels.
        model: the network.
        params: its parameters.
        layers: the same for other libraries.
        targets: one a class.
    """

    data: Dataset
    model: MLP
    params: Any
    layers: Layers
    targets: np.ndarray


def methods(session: Session) -> Iterator[dict[str, Any]]:
    """Time every method of an experiment, in the steady state; its first call is told too."""
    experiment = _experiment(session)
    asked = _ask(session, experiment)
    for method in experiment.methods:
        name = describe(method)
        call = partial(
            invert, method, asked.model, asked.params, asked.targets, reference=asked.data
        )
        quality = partial(_quality, asked)
        ours = Contender(f"jaxbq, {name}", call, peer=False, quality=quality)
        case = session.measure(
            "methods",
            f"{name}, {len(asked.targets)} targets",
            [ours, peer_of(method, asked)],
            rounds=session.options.methods.rounds,
            unit="images",
            work=float(len(asked.targets)),
        )
        for row in case["rows"]:
            if row["first_call"] is not None:
                row["quality"]["first call, s"] = row["first_call"]
        yield case


def _experiment(session: Session) -> Experiment:
    named = session.options.methods.experiment
    if named is None:
        return Experiment(data=session.options.data, methods=_ALL)  # type: ignore[arg-type]
    return load_config(Path(named))


def _ask(session: Session, experiment: Experiment) -> Asked:
    same = experiment.data == session.options.data
    data = experiment.network.seen(session.data if same else experiment.data.load())
    model = experiment.network.build(data)
    key = jax.random.key(experiment.seed)
    session.say(f"training: the network of {experiment.name}")
    params = train(model, data, experiment.training, key=key, dtype=session.options.dtype).params
    targets = experiment.targets.targets(data.classes, model.output)
    for method in experiment.methods:
        method.check(model, data.reference, targets)
    return Asked(data, model, params, layers_of(params), targets)


def _quality(asked: Asked, last: Any) -> dict[str, float]:
    """Ask the network about the first image of every target."""
    images = last.images[:, 0] if isinstance(last, Result) else np.asarray(last)
    if images.ndim == 3:
        images = images[:, 0]
    outputs = expit(forward(asked.layers, images)[1])
    right = int((outputs.argmax(axis=1) == asked.targets.argmax(axis=1)).sum())
    return {"right": right, "largest output error": np.abs(outputs - asked.targets).max()}


Peer = tuple[str, Callable[[], Any]]


def peer_of(method: Any, asked: Asked) -> Contender:
    """Choose what a user would take instead of a method; a row says so where there is nothing."""
    name, call, note = "none", None, "there is none that does the same"
    makers: dict[type, Callable[[Any, Asked], Peer | None]] = {
        Transpose: _transpose,
        PseudoInverse: _pseudo_inverse,
        Preimage: _preimage,
        Ascent: _ascent,
        Decoder: _decoder,
        Exemplars: _exemplars,
        ExemplarMean: _exemplars,
        ClassMean: _class_mean,
        Grey: _grey,
        NoiseImage: _noise,
    }

    def make() -> Contender:
        found = makers[type(method)](method, asked) if type(method) in makers else None
        if found is None:
            return Contender(name, call, note=note)
        return Contender(found[0], found[1], quality=partial(_quality, asked))

    wanted = "PyTorch, decoder" if isinstance(method, Decoder) else "PyTorch, eager"
    return offer(wanted, make)


def _transpose(method: Transpose, asked: Asked) -> Peer:
    return "the book's NumPy backquery", partial(book.backquery, asked.layers, asked.targets)


def _pseudo_inverse(method: PseudoInverse, asked: Asked) -> Peer | None:
    given = asked.layers, asked.targets
    if (method.hidden_policy, method.pixel_policy) == ("box", "box"):
        return "SciPy, lsq_linear", partial(numpy_methods.box, *given)
    if method.hidden_policy == "clip" and method.pixel_policy in ("none", "clip"):
        clip = method.pixel_policy == "clip"
        return "NumPy, pinv", partial(numpy_methods.pseudo_inverse, *given, clip=clip)
    return None


def _preimage(method: Preimage, asked: Asked) -> Peer | None:
    if method.start != "grey":
        return None
    starts = np.full((len(asked.targets), asked.layers[0][0].shape[0]), 0.5)
    call = partial(numpy_methods.preimage, asked.layers, asked.targets, starts)
    return "SciPy, least_squares", call


def _ascent(method: Ascent, asked: Asked) -> Peer | None:
    from ..peers import pytorch_ascent

    plain = Ascent(steps=method.steps)
    if method == plain:
        call = pytorch_ascent.eager(asked.layers, asked.targets, method.steps)
        return "PyTorch, eager", call
    climbed = dataclasses.replace(
        plain,
        label=method.label,
        objective=method.objective,
        start="black",
        optimiser=method.optimiser,
    )
    sgd = getattr(method.optimiser, "normalise", False) and method.optimiser.name == "sgd"
    if method == climbed and method.objective.kind == "logit" and sgd:
        rate = float(method.optimiser.learning_rate)  # type: ignore[union-attr]
        call = pytorch_ascent.normalised(asked.layers, asked.targets, method.steps, rate)
        return "PyTorch, eager", call
    return None


def _decoder(method: Decoder, asked: Asked) -> Peer | None:
    from ..peers.pytorch import load
    from ..peers.pytorch_decoder import decode

    load()
    if method.activation != "relu" or method.optimiser.name != "adam":
        return None

    def call() -> np.ndarray:
        inputs, wanted = _decoded(method, asked)
        centre, spread = inputs.mean(axis=0), inputs.std(axis=0)
        if method.source == "codes":
            centre, spread = np.zeros_like(centre), np.ones_like(spread)
        spread = np.where(spread > 0, spread, 1)
        dtype = asked.layers[0][0].dtype
        return decode(
            ((inputs - centre) / spread).astype(dtype),
            asked.data.train_images.astype(dtype),
            ((wanted - centre) / spread).astype(dtype),
            hidden=method.hidden,
            epochs=method.epochs,
            batch=method.batch_size,
            rate=float(method.optimiser.learning_rate),
            noise=float(method.noise),
        )

    return "PyTorch, decoder", call


def _decoded(method: Decoder, asked: Asked) -> tuple[np.ndarray, np.ndarray]:
    """Compute what the training images cause, and what is asked for."""
    signals, z = forward(asked.layers, asked.data.train_images)
    wanted = logit(asked.targets)
    match method.source:
        case "logits":
            return z, wanted
        case "outputs":
            return expit(z), asked.targets
        case "codes":
            return asked.targets[asked.data.train_labels], asked.targets
    seen = signals[method.layer]
    slope = np.linalg.lstsq(z - z.mean(axis=0), seen - seen.mean(axis=0), rcond=None)[0]
    return seen, np.clip(seen.mean(axis=0) + (wanted - z.mean(axis=0)) @ slope, 0, 1)


def _exemplars(method: Any, asked: Asked) -> Peer | None:
    if method.by != "distance":
        return None
    images = asked.data.train_images
    find = partial(numpy_methods.exemplars, asked.layers, asked.targets, images, method.k)
    if isinstance(method, ExemplarMean):
        return "NumPy, argsort and mean", lambda: find().mean(axis=1)
    return "NumPy, argsort", find


def _class_mean(method: ClassMean, asked: Asked) -> Peer:
    data = asked.data
    given = data.train_images, data.train_labels, asked.targets
    return "NumPy, mean", partial(numpy_methods.class_means, *given)


def _grey(method: Grey, asked: Asked) -> Peer:
    shape = len(asked.targets), asked.layers[0][0].shape[0]
    return "NumPy, full", partial(np.full, shape, 0.5)


def _noise(method: NoiseImage, asked: Asked) -> Peer:
    shape = len(asked.targets), asked.layers[0][0].shape[0]
    return "NumPy, random", lambda: np.random.default_rng(0).random(shape)
