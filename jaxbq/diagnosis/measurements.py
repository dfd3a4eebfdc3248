"""What was measured of one network, each method asked once, for everything that is said of it."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from ..data import Dataset, ImageSpace, Reference
from ..errors import JaxbqError
from ..evaluation import Scores, score
from ..methods import Method, Preimage, PseudoInverse, Reason, Result, Transpose, invert
from ..network.mlp import MLP, Params
from ..network.targets import check_targets
from .layers import LayerFacts, alignment, layer_facts
from .plausibility import at_chance, most_frequent

EXACT = 0.02  # largest output error of an answer that counts as given
# The settings that both registers of `explain` speak of, as `jaxbq invert` takes them.
TRANSPOSE, BOX, PREIMAGE = Transpose(), PseudoInverse(), Preimage()
LEFT = PseudoInverse(pixel_policy="none")
CLIPPED = PseudoInverse(pixel_policy="clip")
_QUIET = 0.05  # of the pixel range: what a pixel's deviation stays below that hardly ever varies


@dataclass(frozen=True, eq=False)
class Way:
    """What a method gave, and how it scores: the best image of every target.

    Args:
        result: what the method returned.
        scores: of its images.
    """

    result: Result
    scores: Scores

    @property
    def right(self) -> int:
        """Number of targets whose image the network reads as intended."""
        return int(self.scores.right[:, 0].sum())

    @property
    def all_right(self) -> bool:
        """Whether it reads every image as intended."""
        return bool(self.scores.right[:, 0].all())

    @property
    def error(self) -> float:
        """Mean over targets of the largest output error."""
        return float(self.scores.largest_error[:, 0].mean())

    @property
    def likeness(self) -> float:
        """Mean correlation with the mean image of the class; NaN without data."""
        return float(self.scores.correlation_own[:, 0].mean())

    @property
    def summary(self) -> str:
        """The three in one line, as every command says them."""
        said = f"{self.right} of {len(self.scores.right)} read as intended"
        alike = "" if np.isnan(self.likeness) else f", class mean r {self.likeness:.3f}"
        return f"{said}, largest error {self.error:.3g}{alike}"


@dataclass(frozen=True, eq=False)
class Measurements:
    """A network, what is asked of it, and what each method gave so far.

    Args:
        model: the network.
        params: its parameters.
        targets: what is asked, one target a row.
        data: a data set in the network's order of classes; without it nothing that needs images.
        space: where images live, without data.
        key: random key.

    Raises:
        JaxbqError: the network is no MLP, or cannot give these targets.
    """

    model: MLP
    params: Params
    targets: Float[np.ndarray, "n outputs"]
    data: Dataset | None = None
    space: ImageSpace | None = None
    key: jax.Array | None = None
    _ways: dict[Method, Way | str] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what could only fail later, in the middle."""
        if not isinstance(self.model, MLP):
            raise JaxbqError("only an MLP can be explained layer by layer")
        check_targets(np.asarray(self.targets, np.float64), self.model.output, self.model.sizes[-1])

    @cached_property
    def reference(self) -> Reference:
        """What methods may know."""
        if self.data is not None:
            return self.data.reference
        return Reference(self.space or ImageSpace((1, self.model.sizes[0])))

    @cached_property
    def facts(self) -> tuple[LayerFacts, ...]:
        """The linear algebra of every layer."""
        return layer_facts(self.params)

    @cached_property
    def unique(self) -> bool:
        """Whether no layer and no activation loses anything: an answer has one image at most."""
        one_to_one = all(phi.inverse and not phi.normalises for phi in self.model.activations)
        return one_to_one and all(each.null_dimension == 0 for each in self.facts)

    @cached_property
    def accuracy(self) -> float | None:
        """Share of the test images that the network reads right; None without data."""
        if self.data is None:
            return None
        read = np.asarray(self.model.apply(self.params, self.data.test_images)).argmax(axis=1)
        return float((read == self.data.test_labels).mean())

    @cached_property
    def untrained(self) -> bool:
        """Whether it reads the test images no better than guessing does."""
        if self.data is None or self.accuracy is None:
            return False
        return at_chance(self.accuracy, most_frequent(self.data.test_labels))

    def way(self, method: Method) -> Way | None:
        """Ask by a method, once; None where it cannot be used with this network or data."""
        found = self._ask(method)
        return None if isinstance(found, str) else found

    def obstacle(self, method: Method) -> str | None:
        """Say in one line why a method cannot be used; None where it can."""
        found = self._ask(method)
        return found if isinstance(found, str) else None

    def _ask(self, method: Method) -> Way | str:
        if method not in self._ways:
            self._ways[method] = self._asked(method)
        return self._ways[method]

    def _asked(self, method: Method) -> Way | str:
        try:
            method.check(self.model, self.reference, np.asarray(self.targets, np.float64))
        except JaxbqError as mistake:
            return str(mistake)
        result = invert(
            method,
            self.model,
            self.params,
            self.targets,
            reference=self.reference,
            key=self.key,
        )
        return Way(result, score(result, self.model.output, self.data))


def reached(found: Result) -> int:
    """Count the targets whose best image reached them."""
    return int((found.reasons[:, 0] == Reason.REACHED).sum())


def most_exact(measured: Measurements, ways: dict[str, Way]) -> tuple[str, bool]:
    """Choose the way to an exact answer by the errors of the images.

    Args:
        measured: of the network.
        ways: by name, ``pseudo-inverse`` (pixels left) and ``preimage`` among them where they
            can be used.

    Returns:
        Its name, and whether its answers are exact.
    """
    inverse, solved = ways.get("pseudo-inverse"), ways.get("preimage")
    if measured.unique and inverse is not None and stays_inside(inverse):
        return "pseudo-inverse", True
    if solved is not None and reached(solved.result) == len(solved.result.targets):
        return "preimage", True
    # Left in range or not: a pseudo-inverse out of range is no image.
    able = {name: way.error for name, way in ways.items() if name != "pseudo-inverse"}
    return min(able, key=able.__getitem__), False


def stays_inside(inverse: Way) -> bool:
    """Tell whether a pseudo-inverse left no domain and answers what was asked."""
    return not inverse.result.diagnostics["outside_share"].any() and inverse.error <= EXACT


class ClassImage(NamedTuple):
    """The transpose image of one target beside its class.

    Args:
        intended: the class.
        read: class that the network reads in it.
        mean: its correlation with the class's mean image.
        difference: with that less the mean of all images: how the class differs from the rest.
        quiet: share of its variance in pixels that hardly vary in the training images: whose
            standard deviation is below a twentieth of the pixel range.
    """

    intended: int
    read: int
    mean: float
    difference: float
    quiet: float


def transposed_by_class(measured: Measurements) -> list[ClassImage]:
    """Compare the transpose image of every target with its class; empty where it has none."""
    way, data = measured.way(TRANSPOSE), measured.data
    if way is None or data is None:
        return []
    images = way.result.images[:, 0].astype(np.float64)
    aligned = alignment(way.result, measured.model, measured.params, data)
    still = data.train_images.std(axis=0) < _QUIET * (data.space.high - data.space.low)
    power = np.square(images - images.mean(axis=1, keepdims=True))
    quiet = power[:, still].sum(axis=1) / np.maximum(power.sum(axis=1), np.finfo(float).tiny)
    intended = way.result.targets.argmax(axis=1)
    read, mean, difference = way.scores.predicted[:, 0], "class mean", "class difference"
    columns = intended, read, aligned[mean], aligned[difference], quiet
    return [ClassImage(*row) for row in zip(*columns, strict=True)]
