"""Published ways of activation maximisation, as an `Ascent` each.

Where a source gives no number, or one that means nothing for small grey images, what stands here
instead is said beside it. Lengths given in pixels of the source's images are kept as shares of the
side.
"""

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from typing import Any

import pydantic

from ...errors import JaxbqError
from ...training.optimisers import Optimiser
from .ascent import Ascent
from .constraints import Squash
from .objectives import Logit, LogProb, Sum, Target, Term
from .operators import Blurring, Decay, Sphere
from .parameterisations import AutoencoderCode, FixedSpectrum, Fourier, Whitened
from .regularisers import L2, ParameterNorm
from .stopping import StopRule
from .transforms import Jitter, Noise, Rotate, Scale


def _erhan2009() -> Ascent:
    """Raise an activation, ‖x‖ = ρ, ρ the training images' mean norm, from a random image.

    D. Erhan et al., "Visualizing higher-layer features of a deep network", 2009. The source gives
    no step size: normalised steps of a fiftieth of the range a pixel on average.
    """
    return Ascent(
        label="erhan2009",
        objective=Logit(),
        operators=(Sphere(),),
        optimiser=Optimiser(name="sgd", learning_rate=0.5, normalise=True),
        start="random",
        steps=500,
    )


def _simonyan2014() -> Ascent:
    """Raise the class score less λ‖x‖², from the training set's mean image.

    K. Simonyan et al., "Deep inside convolutional networks", 2014 (a zero image, the mean added).
    The source gives neither λ nor the step size.
    """
    return Ascent(
        label="simonyan2014",
        objective=Logit(),
        regularisers=(L2(weight=100.0),),
        optimiser=Optimiser(name="sgd", learning_rate=1.0),
        start="mean",
        steps=500,
    )


def _yosinski2015() -> Ascent:
    """Raise an activation; after every step decay 0.0001, every fourth step blur of width 1.0.

    J. Yosinski et al., "Understanding neural networks through deep visualization", 2015: table 1,
    the third of its four settings, the one for smooth pictures. The source gives no step size.
    """
    return Ascent(
        label="yosinski2015",
        objective=Logit(),
        operators=(Decay(rate=1e-4), Blurring(deviation=1.0, every=4)),
        optimiser=Optimiser(name="sgd", learning_rate=1.0),
        start="random",
        steps=500,
    )


def _lucid2017() -> Ascent:
    """Fourier coefficients with decay, squashed, under random shifts, scales and turns.

    C. Olah et al., "Feature visualization", Distill 2017, with Lucid's defaults: Adam 0.05, 512
    steps, jitter 8 and 4 of 128 pixels, scale 0.9 to 1.1, turns to 10°, coefficients from noise
    of deviation 0.01. Here they start from grey; transforms repeat the edge in place of padding.
    """
    return Ascent(
        label="lucid2017",
        objective=Logit(),
        parameterisation=Fourier(decay=1.0),
        constraint=Squash(),
        transforms=(
            Jitter(most=4 / 128),
            Scale(lowest=0.9, highest=1.1),
            Rotate(most=10.0),
            Jitter(most=2 / 128),
        ),
        optimiser=Optimiser(name="adam", learning_rate=0.05),
        start="grey",
        noise=0.01,
        steps=512,
    )


def _maco2023() -> Ascent:
    """Phases alone, magnitudes those of the training images; NAdam 1.0, noise 0.08, 256 steps.

    T. Fel et al., "Unlocking feature visualization for deeper networks with magnitude constrained
    optimization", 2023, with the numbers of its reference code. Its crops of a fifth of a large
    image have no like on an image the size of the network's input: scales 0.9 to 1.1 stand for
    them, six views a step as there; and images are clipped, not standardised.
    """
    return Ascent(
        label="maco2023",
        objective=Logit(),
        parameterisation=FixedSpectrum(),
        transforms=(Scale(lowest=0.9, highest=1.1), Jitter(most=1 / 16), Noise(deviation=0.08)),
        samples=6,
        optimiser=Optimiser(name="nadam", learning_rate=1.0),
        start="random",
        steps=256,
    )


def _nguyen2016() -> Ascent:
    """Raise the class in an autoencoder's code space, less λ‖u‖² for the whitened code u.

    A. Nguyen et al., "Synthesizing the preferred inputs for neurons in neural networks via deep
    generator networks", 2016 (DGN-AM). There the generator is trained against a discriminator and
    the code clipped to what real images have; here it is a plain decoder, the code penalised, and
    log-probability and target are climbed, as by ``whitened``.
    """
    return Ascent(
        label="nguyen2016",
        objective=Sum(terms=(Term(objective=LogProb()), Term(objective=Target()))),
        parameterisation=AutoencoderCode(),
        regularisers=(ParameterNorm(weight=1.0),),
        start="mean",
        steps=500,
        stop=StopRule(patience=100, improvement=1e-5),
    )


def _whitened() -> Ascent:
    """Raise log-probability and target along what images vary in: x = μ + Σ^½ u, less λ‖u‖².

    Ours: the Gaussian prior of the training images, all classes together. The log-probability
    alone leaves the other outputs free, and some networks then show a class by a part of it.
    """
    return Ascent(
        label="whitened",
        objective=Sum(terms=(Term(objective=LogProb()), Term(objective=Target()))),
        parameterisation=Whitened(shrinkage=0.05),
        regularisers=(ParameterNorm(weight=4.5),),
        start="mean",
        steps=500,
        stop=StopRule(patience=150, improvement=1e-5),
    )


PRESETS: Mapping[str, Callable[[], Ascent]] = {
    "erhan2009": _erhan2009,
    "simonyan2014": _simonyan2014,
    "yosinski2015": _yosinski2015,
    "lucid2017": _lucid2017,
    "nguyen2016": _nguyen2016,
    "maco2023": _maco2023,
    "whitened": _whitened,
}


def preset(name: str, **changes: Any) -> Ascent:
    """Make the ascent of a published method.

    Args:
        name: ``erhan2009``, ``simonyan2014``, ``yosinski2015``, ``nguyen2016``, ``lucid2017``,
            ``maco2023``, or ``whitened``, ours.
        changes: options of :class:`~jaxbq.Ascent` to set otherwise.

    Raises:
        JaxbqError: there is no such preset, or no such option.
    """
    if name not in PRESETS:
        raise JaxbqError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
    known = {field.name for field in dataclasses.fields(Ascent)}
    for option in changes:
        if option not in known:
            raise JaxbqError(f"preset {name!r}: an ascent has no option {option!r}")
    return dataclasses.replace(PRESETS[name](), **changes)


def expand_preset(given: Any) -> Any:
    """Read a preset's name, or a table with a preset, as the whole table of an ascent.

    Raises:
        ValueError: there is no such preset.
    """
    if isinstance(given, str):
        given = {"kind": given}
    if not isinstance(given, Mapping):
        return given
    given = dict(given)
    for key in ("kind", "preset"):
        if not isinstance(given.get(key, ""), str):
            raise ValueError(f"{key} must be a name in quotes")
    # A preset's name is a kind too: kind = "whitened" is short for preset = "whitened".
    if given.get("kind") in PRESETS and "preset" not in given:
        given["preset"] = given.pop("kind")
    if "preset" not in given:
        _refuse_slip(given.get("kind"))
        return given
    name = given.pop("preset")
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
    if given.get("kind", "ascent") != "ascent":
        raise ValueError(f"presets are ascents, not {given['kind']!r}; leave kind out")
    return _merged(dataclasses.asdict(PRESETS[name]()), given)


def _refuse_slip(kind: Any) -> None:
    """Catch a misspelt preset, of which the list of kinds says nothing."""
    near = difflib.get_close_matches(str(kind), PRESETS, n=1)
    if near and kind is not None:
        raise ValueError(f"unknown kind {kind!r}; did you mean {near[0]!r}?")


def _merged(table: Any, changes: Any) -> Any:
    """Change a table at every depth; a table of another kind or name replaces it."""
    if not isinstance(table, Mapping) or not isinstance(changes, Mapping):
        return changes
    for key in ("kind", "name"):
        if key in changes and key in table and changes[key] != table[key]:
            return changes
    return {**table, **{k: _merged(table.get(k), v) for k, v in changes.items()}}


PRESET_SHORTHAND = pydantic.BeforeValidator(expand_preset)
