"""Published ways of activation maximisation: the options of an `Ascent`, by name.

Where a source gives no number, or one that means nothing for small grey images, what stands here
instead is said beside it. Lengths given in pixels of the source's images are kept as shares of the
side.
"""

from collections.abc import Mapping
from typing import Any

from ...training.optimisers import Optimiser
from .constraints import Squash
from .objectives import Logit, LogProb, Sum, Target, Term
from .parameterisations import AutoencoderCode, FixedSpectrum, Fourier, Whitened
from .regularisers import L2, ParameterNorm
from .starts import StopRule
from .transforms import Blurring, Decay, Jitter, Noise, Rotate, Scale, Sphere

# What images with a prior were tuned with.
_ADAM = Optimiser(learning_rate=0.1, options=(("b2", 0.95),))

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Raise an activation, ‖x‖ = ρ, ρ the training images' mean norm, from a random image.
    #
    # D. Erhan et al., "Visualizing higher-layer features of a deep network", 2009. The source gives
    # no step size: normalised steps of a fiftieth of the range a pixel on average.
    "erhan2009": {
        "objective": Logit(),
        "operators": (Sphere(),),
        "optimiser": Optimiser(name="sgd", learning_rate=0.5, normalise=True),
        "start": "random",
        "steps": 500,
    },
    # Raise the class score less λ‖x‖², from the training set's mean image.
    #
    # K. Simonyan et al., "Deep inside convolutional networks", 2014 (a zero image, the mean added).
    # The source gives neither λ nor the step size.
    "simonyan2014": {
        "objective": Logit(),
        "regularisers": (L2(weight=100.0),),
        "optimiser": Optimiser(name="sgd", learning_rate=1.0),
        "start": "mean",
        "steps": 500,
    },
    # Raise an activation; after every step decay 0.0001, every fourth step blur of width 1.0.
    #
    # J. Yosinski et al., "Understanding neural networks through deep visualization", 2015: table 1,
    # the third of its four settings, the one for smooth pictures. The source gives no step size.
    "yosinski2015": {
        "objective": Logit(),
        "operators": (Decay(rate=1e-4), Blurring(deviation=1.0, every=4)),
        "optimiser": Optimiser(name="sgd", learning_rate=1.0),
        "start": "random",
        "steps": 500,
    },
    # Fourier coefficients with decay, squashed, under random shifts, scales and turns.
    #
    # C. Olah et al., "Feature visualization", Distill 2017, with Lucid's defaults: Adam 0.05, 512
    # steps, jitter 8 and 4 of 128 pixels, scale 0.9 to 1.1, turns to 10°, coefficients from noise
    # of deviation 0.01. Here they start from grey; transforms repeat the edge in place of padding.
    "lucid2017": {
        "objective": Logit(),
        "parameterisation": Fourier(decay=1.0),
        "constraint": Squash(),
        "transforms": (
            Jitter(most=4 / 128),
            Scale(lowest=0.9, highest=1.1),
            Rotate(most=10.0),
            Jitter(most=2 / 128),
        ),
        "optimiser": Optimiser(name="adam", learning_rate=0.05),
        "start": "grey",
        "noise": 0.01,
        "steps": 512,
    },
    # Phases alone, magnitudes those of the training images; NAdam 1.0, noise 0.08, 256 steps.
    #
    # T. Fel et al., "Unlocking feature visualization for deeper networks with magnitude constrained
    # optimization", 2023, with the numbers of its reference code. Its crops of a fifth of a large
    # image have no like on an image the size of the network's input: scales 0.9 to 1.1 stand for
    # them, six views a step as there; and images are clipped, not standardised.
    "maco2023": {
        "objective": Logit(),
        "parameterisation": FixedSpectrum(),
        "transforms": (Scale(lowest=0.9, highest=1.1), Jitter(most=1 / 16), Noise(deviation=0.08)),
        "samples": 6,
        "optimiser": Optimiser(name="nadam", learning_rate=1.0),
        "start": "random",
        "steps": 256,
    },
    # Raise the class in an autoencoder's code space, less λ‖u‖² for the whitened code u.
    #
    # A. Nguyen et al., "Synthesizing the preferred inputs for neurons in neural networks via deep
    # generator networks", 2016 (DGN-AM). There the generator is trained against a discriminator and
    # the code clipped to what real images have; here it is a plain decoder, the code penalised, and
    # log-probability and target are climbed, as by ``whitened``.
    "nguyen2016": {
        "objective": Sum(terms=(Term(objective=LogProb()), Term(objective=Target()))),
        "parameterisation": AutoencoderCode(),
        "regularisers": (ParameterNorm(weight=1.0),),
        "optimiser": _ADAM,
        "start": "mean",
        "steps": 500,
        "stop": StopRule(patience=100, improvement=1e-5),
    },
    # Raise log-probability and target along what images vary in: x = μ + Σ^½ u, less λ‖u‖².
    #
    # Ours: the Gaussian prior of the training images, all classes together. The log-probability
    # alone leaves the other outputs free, and some networks then show a class by a part of it.
    "whitened": {
        "objective": Sum(terms=(Term(objective=LogProb()), Term(objective=Target()))),
        "parameterisation": Whitened(shrinkage=0.05),
        "regularisers": (ParameterNorm(weight=4.5),),
        "optimiser": _ADAM,
        "start": "mean",
        "steps": 500,
        "stop": StopRule(patience=150, improvement=1e-5),
    },
}
