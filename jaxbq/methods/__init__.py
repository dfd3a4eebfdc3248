"""Inversion methods, one a file, and the driver that runs them all.

To add one: write its file, and add it to the union `AnyMethod`.
"""

from typing import Annotated

from ..options import BY_KIND, KIND_SHORTHAND
from .ascent.ascent import PRESET_SHORTHAND
from .ascent.ascent import Ascent as Ascent
from .ascent.ascent import expand_preset as expand_preset
from .ascent.ascent import preset as preset
from .ascent.presets import PRESETS as PRESETS
from .base import Inversion as Inversion
from .base import Iterative as Iterative
from .base import Method as Method
from .base import NeedsMLPError as NeedsMLPError
from .base import Reason as Reason
from .baselines import ClassMean as ClassMean
from .baselines import Grey as Grey
from .baselines import NoiseImage as NoiseImage
from .decoder import Decoder as Decoder
from .driver import Result as Result
from .driver import Seconds as Seconds
from .driver import invert as invert
from .driver import merge as merge
from .driver import programs as programs
from .driver import reason_name as reason_name
from .driver import sweep as sweep
from .driver import vary as vary
from .exemplars import ExemplarMean as ExemplarMean
from .exemplars import Exemplars as Exemplars
from .linear import LinearDiscriminant as LinearDiscriminant
from .linear import Logistic as Logistic
from .preimage import Preimage as Preimage
from .projected import Inverting
from .projected import Projected as Projected
from .pseudo_inverse import PseudoInverse as PseudoInverse
from .transpose import Transpose as Transpose

AnyMethod = Annotated[
    Inverting | Projected | LinearDiscriminant | Logistic, BY_KIND, KIND_SHORTHAND, PRESET_SHORTHAND
]
