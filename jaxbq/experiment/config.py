"""What an experiment is: its options, which are those that the code itself uses."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from pydantic import Discriminator, StringConstraints, Tag

from ..data import Dataset, Mnist10k, Source
from ..diagnosis import open_for
from ..errors import JaxbqError
from ..evaluation import Judge, NaturalnessScale, Panel, given_judge, trained_judges
from ..methods import AnyMethod
from ..network.activations import HiddenName, OutputName
from ..network.files import NetworkFile, Orientation
from ..network.inputs import Inputs
from ..network.mlp import MLP
from ..network.targets import Codes
from ..options import options, shorthand
from ..runtime.devices import Precision, type_of
from ..runtime.timing import phase
from ..training import Autoencoder, Training, TrainingRule, reconstructed
from .python_network import PythonNetwork

Control = Literal["random_weights", "permuted_labels"]
"""A network that has learnt nothing: never trained, or trained with labels in random order."""


@options
class NetworkConfig:
    """A fully connected network between the ends that the data gives.

    Args:
        hidden: units of every hidden layer, first to last; empty for none.
        activation: of the hidden layers, one name for all or one for each.
        output: activation of the output layer.
        bias: whether layers have biases.
        control: a network that has learnt nothing, to compare with: ``random_weights``, never
            trained, or ``permuted_labels``, trained with the training labels in random order.
    """

    hidden: tuple[Annotated[int, Gt(0)], ...] = (200,)
    activation: HiddenName | tuple[HiddenName, ...] = "sigmoid"
    output: OutputName = "sigmoid"
    bias: bool = True
    control: Literal["none"] | Control = "none"

    def build(self, data: Dataset) -> MLP:
        """Make the specification of a network for this data."""
        sizes = (data.space.pixels, *self.hidden, data.classes)
        return MLP(sizes, self.activation, self.output, self.bias)

    def seen(self, data: Dataset) -> Dataset:
        """Return the data as the network sees them: as they are."""
        return data


@options
class FileNetwork:
    """A trained network in a file, jaxbq's own or another library's; nothing is trained.

    ``network = "file:net.npz"`` is short for it.

    Args:
        file: path, meant from the folder in which the command is given; the formats are those of
            :func:`~jaxbq.import_network`.
        activation: of the hidden layers, one name for all or one for each, where the file does not
            say; by default sigmoid.
        output: of the outputs, likewise; or what to read logits as.
        orientation: of plain weights, ``in_out`` or ``out_in``; by default found from the shapes.
        pixel_range: that it was trained on; by default the file's, else the data's own.
        inputs: how it was given its images, where not as jaxbq keeps them.
        turned: numbers of layers whose square weights are the other way round than the others'.
        class_names: one an output; by default the file's, else the data's.
    """

    file: str
    activation: HiddenName | tuple[HiddenName, ...] | None = None
    output: OutputName | None = None
    orientation: Orientation | None = None
    pixel_range: tuple[float, float] | None = None
    inputs: Inputs = Inputs()
    turned: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    control = "none"

    @property
    def source(self) -> str:
        """Where it comes from."""
        return self.file

    def open(self, data: Dataset) -> NetworkFile:
        """Read the network, for each data once: all that is done is done with one version of it.

        Raises:
            JaxbqError: the file cannot be read, or does not fit the data.
        """
        return self._matched(data)[0]

    def _matched(self, data: Dataset) -> tuple[NetworkFile, Dataset]:
        wide = jax.config.read("jax_enable_x64")
        return data.once((self, wide), lambda: self._read(data))

    def _read(self, data: Dataset) -> tuple[NetworkFile, Dataset]:
        return open_for(
            str(Path(self.file).expanduser()),
            data,
            hidden=self.activation,
            output=self.output,
            orientation=self.orientation,
            pixel_range=self.pixel_range,
            inputs=None if self.inputs == Inputs() else self.inputs,
            turned=self.turned or None,
            class_names=self.class_names or None,
        )

    def build(self, data: Dataset) -> MLP:
        """Read the specification of the network."""
        return self.open(data).model

    def seen(self, data: Dataset) -> Dataset:
        """Return the data in the network's pixel range and order of the classes."""
        return self._matched(data)[1]


def _network_kind(given: Any) -> str:
    """Tell which a table or an object means: one with ``file`` is a file, and so on."""
    for kind in ("file", "python"):
        if kind in given if isinstance(given, dict) else hasattr(given, kind):
            return kind
    return "trained"


def expand_network(given: Any) -> Any:
    """Expand the shorthand of a section ``network``."""
    if not isinstance(given, str):
        return given
    kind, _, place = given.partition(":")
    if kind == "file" and place:
        return {"file": place}
    python, _, name = place.rpartition(":")
    if kind == "python" and python and name:
        return {"python": python, "name": name}
    raise ValueError('a network is a table, "file:PATH", or "python:FILE.py:NAME"')


AnyNetwork = Annotated[
    Annotated[NetworkConfig, Tag("trained")]
    | Annotated[FileNetwork, Tag("file")]
    | Annotated[PythonNetwork, Tag("python")],
    Discriminator(_network_kind),
    shorthand(expand_network),
]


@options
class Scoring:
    """What images are scored by, beside fidelity and distances, which are always measured.

    ``scores = "quick"`` is short for none of it.

    Args:
        judges: let classifiers that never saw the network read every image. They are trained once
            for a data set.
        transfer: ask independently trained networks; likewise.
        autoencoder: measure what an autoencoder, trained on the images alone, does not give back;
            likewise.
        components: principal components of the training images, outside of which lies the residual.
        network: file of a network of your own that reads every image too, as one more judge.
    """

    judges: bool = True
    transfer: bool = True
    autoencoder: bool = True
    components: Annotated[int, Gt(0)] = 50
    network: str | None = None

    def given(self, data: Dataset) -> NetworkFile | None:
        """Read the network that was given.

        Raises:
            JaxbqError: it cannot be read, or does not fit the images.
        """
        if self.network is None:
            return None
        network = FileNetwork(file=self.network).open(data)
        if network.space != data.space:
            raise JaxbqError(
                f"scores.network {self.network}: was trained on pixels in "
                f"[{network.space.low:g}, {network.space.high:g}], these images are in "
                f"[{data.space.low:g}, {data.space.high:g}]; give one trained on such images"
            )
        return network

    def check(self, data: Dataset) -> None:
        """Refuse, before anything is computed, what images cannot be scored by.

        Raises:
            JaxbqError: images have too many pixels, or as :meth:`given`.
        """
        self.given(data)
        # Naturalness needs a covariance, and makes it once.
        _ = data.reference.moments

    def judges_of(self, data: Dataset) -> tuple[Judge, ...]:
        """Make the judges.

        Raises:
            JaxbqError: as :meth:`given`.
        """
        with phase("judges"):
            judges = trained_judges(data) if self.judges else ()
        network = self.given(data)
        return judges if network is None else (*judges, given_judge(network, data))

    def panel(self, data: Dataset) -> Panel | None:
        """Make the networks that an answer is to hold for too."""
        with phase("panel"):
            return Panel.trained_on(data) if self.transfer else None

    def scale(self, data: Dataset) -> NaturalnessScale:
        """Make the scale of naturalness."""
        key = ("naturalness", self.components, self.autoencoder)

        def make() -> NaturalnessScale:
            reconstruct, identity = _reconstruction(data) if self.autoencoder else (None, None)
            return NaturalnessScale(
                data, autoencoder=reconstruct, components=self.components, identity=identity
            )

        with phase("naturalness"):
            scale: NaturalnessScale = data.once(key, make)
        return scale


def expand_scores(given: Any) -> Any:
    """Expand the shorthand of a section ``scores``."""
    if not isinstance(given, str):
        return given
    if given not in ("quick", "full"):
        raise ValueError('scores is a table, or "quick", or "full"')
    off = ("judges", "transfer", "autoencoder")
    return dict.fromkeys(off, False) if given == "quick" else {}


def _reconstruction(data: Dataset) -> tuple[Any, Any]:
    """Encode and decode by the usual autoencoder, in float32 whatever is computed in; name it."""
    autoencoder = Autoencoder(code=min(Autoencoder().code, data.space.pixels))
    with jax.enable_x64(False):
        space = autoencoder.trained(data.reference, "float32")

    def reconstruct(images: np.ndarray) -> np.ndarray:
        with jax.enable_x64(False):
            return reconstructed(autoencoder, space, np.asarray(images, np.float32))

    return reconstruct, dataclasses.asdict(autoencoder)


@options
class Certifying:
    """What is proven for every trained network and every target of one class.

    See :func:`~jaxbq.certify`. By default over the whole pixel range.

    Args:
        objective: ``logit`` of the class, or its ``margin`` over the best of the others.
        seconds: after which each search stops; without ``nodes``, for those find the same always.
        gap: (proven − found) / |proven| at which it stops.
        nodes: number of boxes after which it stops, instead of a time: the same in every run.
        around: number of a test image, to search near that one alone.
        radius: how near, in units of the pixels.
        norm: of the distance: ``linf`` or ``l2``.
    """

    objective: Literal["logit", "margin"] = "logit"
    seconds: Annotated[float, Ge(0), Le(10**7)] = 5.0
    gap: Annotated[float, Ge(0), Lt(1)] = 0.05
    nodes: Annotated[int, Gt(0), Le(10**6)] | None = None
    around: Annotated[int, Ge(0)] | None = None
    radius: Annotated[float, Gt(0), Le(10**6)] | None = None
    norm: Literal["linf", "l2"] = "linf"

    def check(self, data: Dataset) -> None:
        """Refuse, before anything is computed, an image that is not there or has no radius."""
        alone = self.around is None and self.norm != "linf"
        if (self.around is None) != (self.radius is None) or alone:
            raise JaxbqError("certificate: around, a test image, and radius go together; set both")
        if self.around is not None and self.around >= len(data.test_images):
            raise JaxbqError(
                f"certificate.around: {self.around} is out of range; the data have test images 0 "
                f"to {len(data.test_images) - 1}"
            )


@options
class NetworksConfig:
    """How many networks of the one specification.

    Args:
        seeds: networks. The one numbered k is that of the same experiment with ``seed`` + k, and so
            is what methods find for it.
        together: train them in one compiled program; by default on accelerators, not on CPUs,
            which one network fills.
    """

    seeds: Annotated[int, Ge(1), Le(10**4)] = 1
    together: bool | None = None


@options
class Experiment:
    """One experiment: networks of one specification on a data set, back-queried by some methods.

    Args:
        name: first part of the run folder's name.
        seed: all randomness comes from it.
        precision: of the computation: ``float32``, ``float64``, or ``tf32``, which is float32
            whose matrix products in an ascent accelerators may round to TF32; on CPUs the same.
        data: where images come from.
        network: what is trained, or a file, or what Python code makes.
        networks: how many of them.
        training: how.
        targets: what is asked.
        methods: by which ways.
        controls: networks that have learnt nothing, of the same specification, asked the same by
            the same methods: what a method shows on them is its own prior.
        scores: what images are scored by.
        certificate: how to search what no image can exceed; by default nothing is proven.
    """

    name: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)
    ] = "run"
    seed: Annotated[int, Ge(0), Le(2**32 - 1)] = 0
    precision: Precision = "float32"
    data: Source = Mnist10k()
    network: AnyNetwork = NetworkConfig()
    networks: NetworksConfig = NetworksConfig()
    training: TrainingRule = Training()
    targets: Codes = Codes()
    methods: tuple[AnyMethod, ...] = ()
    controls: tuple[Control, ...] = ()
    scores: Annotated[Scoring, shorthand(expand_scores)] = Scoring()
    certificate: Certifying | None = None

    @property
    def dtype(self) -> str:
        """Type of all arrays."""
        return type_of(self.precision)

    def resolved(self) -> dict[str, Any]:
        """Every option with its value, as plain data."""
        return dataclasses.asdict(self)

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that change with every option."""
        text = json.dumps(self.resolved(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]
